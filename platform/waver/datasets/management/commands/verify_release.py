"""`manage.py verify_release FOLDER`: find every changed, missing or extra file of a release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import OperationalError

from waver.datasets import receipts
from waver.datasets.models import Release
from waver.datasets.verify import MANIFEST, Problem, signing_key, verify


class Command(BaseCommand):
    help = "Check a release's folder: every changed, missing or extra file is named."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="the release's folder")
        parser.add_argument("--key", help="the publisher's public key, 64 hexadecimal digits")

    def handle(self, *, folder: Path, key: str | None = None, **options: Any) -> None:
        try:
            known, why_not = _published(folder), "does not know this release"
        except OperationalError:  # the stack is down: the folder can be checked all the same
            known, why_not = None, "is not running"
        if key is None and known is not None:
            key = _own_key(folder)
        problems = verify(folder, root=known.root if known else None, seal=_seal(known), key=key)
        for problem in problems:
            self.stdout.write(problem.sentence)
        if problems:
            self.stdout.write(_count(problems))
            raise SystemExit(1)
        if known is None:
            self.stdout.write(
                f"Waver's database here {why_not}, so the release was checked against its own "
                "manifest only."
            )
        self.stdout.write(
            "Nothing is changed, missing or extra: the release is as it was published."
        )


def _published(folder: Path) -> Release | None:
    """The database's row of the release that the folder claims to be, if there is one."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        claimed = manifest["dataset"]
        key = {name: str(claimed[name]) for name in ("version", "purpose")}
        study = str(claimed["study"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # verify() says what is wrong with the manifest
    return Release.objects.filter(
        study__code=study, state__in=[Release.State.PUBLISHED, Release.State.HELD], **key
    ).first()


def _own_key(folder: Path) -> str:
    """The key of ours that the release says it was signed with; the present one for any other."""
    claimed, own = signing_key(folder), receipts.known_keys()
    return claimed if claimed in own else own[0]


def _seal(release: Release | None) -> str | None:
    return release.figures.get("seal") if release else None


def _count(problems: list[Problem]) -> str:
    return (
        f"{len(problems)} problem{'s' if len(problems) > 1 else ''}. "
        "This is not the release as published: get it again, or ask its publisher."
    )
