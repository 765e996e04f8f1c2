"""Set up a study from one file: `manage.py create_study STUDY_FILE`.

The command lies in `datasets` and not in `studies` because a study file also names a codebook, a
gate policy and consent documents, which `studies`, two layers from the bottom, cannot know.
"""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from waver.core.errors import WaverError
from waver.datasets.setup import read_study_file, set_up


class Command(BaseCommand):
    help = (
        "Set up a study from a YAML file: ethics approval, codebook, gate policy, design, prompts, "
        "consent documents and members (docs/examples/study.yaml shows one). All or nothing. Run "
        "again, it applies what may still change, and refuses the rest with a sentence."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("study_file", type=Path, help="the study, as a YAML file")
        parser.add_argument(
            "--actor", default=getpass.getuser(), help="who does this; default: your user name"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["study_file"]
        try:
            done = set_up(file=read_study_file(path), actor=options["actor"])
        except WaverError as error:
            raise CommandError(f"{path.name} was not applied.\n{error.sentence}") from error
        for sentence in (*done.changes, *done.notes):
            self.stdout.write(sentence)
        study = f"“{done.study.title}” ({done.study.code})"
        if done.created:
            self.stdout.write(f"The study {study} is set up.")
        elif done.changes:
            self.stdout.write(f"The study {study} is up to date with {path.name}.")
        else:
            self.stdout.write(f"Nothing changed: the study {study} is as {path.name} says.")
