"""`manage.py demo`: the whole way, from recordings to a released dataset."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from waver.core.errors import WaverError
from waver.demo.report import Report
from waver.stack.client import Stack
from waver.stack.errors import StackError


class Command(BaseCommand):
    help = (
        "Run the main job on sample recordings or on a folder of videos: set up a study, import, "
        "prepare, annotate with scripted raters (synthetic), check agreement, release. Starts the "
        "stack and leaves it running until Ctrl-C."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--media", type=Path, help="a folder of videos to work on")
        parser.add_argument("--once", action="store_true", help="stop the stack after the job")

    def handle(self, *args: Any, **options: Any) -> None:
        report = Report()
        stack = Stack(root=settings.ROOT, var=settings.VAR)
        own = not stack.is_up
        if own:
            stack.start()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            self._run(report, stack, options["media"])
            if not options["once"] and own:
                report.console.print("The stack keeps running. Ctrl-C ends it.")
                while stack.is_up:
                    time.sleep(1)
        except KeyboardInterrupt:
            report.console.print("Stopping.")
        except (WaverError, StackError) as error:
            raise CommandError(str(error)) from error
        finally:
            if own:
                stack.stop()

    def _run(self, report: Report, stack: Stack, media: Path | None) -> None:
        from waver.demo import deciding, ending, material, people, steps

        demo = settings.VAR / "demo"
        with report.step("1. Recordings"):
            if media is not None:
                found = material.own_media(media, notes=demo)
                report.say(f"{len(found.rows)} videos in {found.folder}.")
            else:
                with report.bar("making samples", total=1) as bar:
                    found = material.make_samples(
                        demo / "samples",
                        on_progress=lambda done, of, _: bar.update(
                            bar.task_ids[0], completed=done, total=of
                        ),
                    )
                report.say(
                    f"{len(found.rows)} sample recordings (synthetic) in {found.folder}; what was "
                    "planted in them is in truth.json."
                )
        with report.step("2. The stack"):
            stack.wait_until(web=True, timeout=120)
            report.say(f"Waver answers at {settings.WAVER_URL}.")
            logins = people.make_people()
        with report.step("3. Study, participants and consent"):
            study = steps.set_up_study(report, found)
        with report.step("4. Import"):
            steps.import_recordings(report, study, found)
        with report.step("5. Proxies, faces, speech, cue candidates"):
            steps.prepare_recordings(report, study)
            steps.compare_with_truth(report, study, found)
        with report.step("6. Label Studio"):
            stack.wait_until(label_studio=True, timeout=300)
            steps.send_to_raters(report, study)
        with report.step("7. Annotation"):
            steps.label_by_script(report, study, found)
        with report.step("8. Agreement and the gate"):
            run = steps.judge(report, study)
            deciding.decide_one(report, run)
        with report.step("9. Release"):
            folder = ending.release(report, run)
        ending.say_where(report, study, logins, folder)
