"""Bring work from ELAN into a study: `manage.py import_elan STUDY FILE … --rater NAME`."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from annotation import elan as files
from annotation.services import elan
from waver.accounts.models import User
from waver.core.errors import BadInput, Missing, WaverError
from waver.recordings.models import Recording
from waver.studies.access import study_called
from waver.studies.models import Study, StudyDesign


class Command(BaseCommand):
    help = (
        "Bring one rater's work from ELAN files (.eaf) into a study. Each file is checked against "
        "the study's codebook and stored whole or not at all; the same file twice stores nothing "
        "twice. The recording is found by the file's name or by that of its linked video. Bring "
        "in only work that each rater did alone. Exits with 1 when a file was refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("study", help="the study's code")
        parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="the ELAN files")
        parser.add_argument("--rater", required=True, help="the sign-in name of who did the work")
        parser.add_argument(
            "--recording", type=UUID, help="the recording's id; default: found by name"
        )
        parser.add_argument(
            "--annotator", default="", help="whose tiers (“…@NAME”) to take, if several"
        )
        parser.add_argument(
            "--ignore", action="append", default=[], metavar="TIER", help="a tier to leave out"
        )
        parser.add_argument(
            "--shift-ms", type=int, default=0, help="milliseconds to add to every time"
        )
        parser.add_argument(
            "--empty-means-none",
            action="store_true",
            help="an empty tier of segments says that there was nothing to mark",
        )
        parser.add_argument(
            "--prelabelled",
            action="store_true",
            help="the rater saw pre-labels; such work does not count for agreement",
        )
        parser.add_argument(
            "--actor", default=getpass.getuser(), help="who does this; default: your user name"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        refused = 0
        try:
            study = study_called(options["study"])
            rater = _rater(options["rater"])
        except WaverError as error:
            raise CommandError(error.sentence) from error
        if options["recording"] and len(options["files"]) > 1:
            raise CommandError("--recording names one recording; give one file with it.")
        for path in options["files"]:
            try:
                for sentence in _bring_in(study, rater, path, options):
                    self.stdout.write(f"{path.name}: {sentence}")
            except WaverError as error:
                refused += 1
                self.stderr.write(f"{path.name}: {error.sentence}")
        if refused:
            total = len(options["files"])
            raise CommandError(f"{refused} of {total} files were refused; the reasons stand above.")


def _bring_in(study: Study, rater: User, path: Path, options: dict[str, Any]) -> list[str]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"The file cannot be read ({error.strerror}).") from error
    recording = _recording(study, path, data, options["recording"])
    stored = elan.import_eaf(
        study,
        data,
        recording,
        rater,
        actor=options["actor"],
        annotator=options["annotator"],
        ignore=options["ignore"],
        shift_ms=options["shift_ms"],
        empty_means_none=options["empty_means_none"],
        arm=StudyDesign.Arm.PRELABEL if options["prelabelled"] else StudyDesign.Arm.BLIND,
    )
    return [
        f"the pass {each.pass_id!r} was "
        + (f"stored as version {each.annotation.version}." if each.is_new else "here already.")
        for each in stored
    ]


def _rater(name: str) -> User:
    found = User.objects.filter(username=name).first()
    if found is None:
        raise Missing(f"Nobody signs in as {name!r}. Check the name.")
    return found


def _recording(study: Study, path: Path, data: bytes, wanted: UUID | None) -> Recording:
    """Find the recording that a file is about, by its own name or its linked video's."""
    recordings = Recording.objects.select_related("take__participant", "study").filter(study=study)
    if wanted is not None:
        named = recordings.filter(pk=wanted).first()
        if named is None:
            raise Missing(f"The study has no recording {wanted}.")
        return named
    try:
        linked = [Path(media.relative_url or media.url).stem for media in files.read(data).media]
    except files.ElanProblem as problem:
        raise BadInput(str(problem)) from problem
    names = {name for name in (path.stem, *linked) if name}
    found = [
        row for row in recordings if str(row.pk) in names or Path(row.original_name).stem in names
    ]
    if len(found) != 1:
        many = "no recording" if not found else f"{len(found)} recordings"
        raise BadInput(
            f"The study has {many} called {' or '.join(sorted(names))}. Name it with --recording."
        )
    return found[0]
