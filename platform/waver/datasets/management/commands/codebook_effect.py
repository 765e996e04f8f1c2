"""`manage.py codebook_effect STUDY`: what a new codebook version does to agreement."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from waver.datasets import migration
from waver.datasets.snapshots import newest_of
from waver.studies.models import Study


class Command(BaseCommand):
    help = "Compare alpha before and after the newest codebook version, on the same work."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("study", help="the study's code")

    def handle(self, *, study: str, **options: Any) -> None:
        found = Study.objects.filter(code=study).first()
        if found is None:
            raise CommandError(f"There is no study “{study}”. The studies page lists them.")
        snapshot = found.snapshots.select_related("codebook", "study").order_by("-number").first()
        if snapshot is None:
            raise CommandError("No labels were frozen yet, so there is nothing to compare.")
        newest = newest_of(snapshot.codebook)
        if newest.pk == snapshot.codebook_id:
            self.stdout.write(f"No later version than {newest} is installed: nothing changed.")
            return
        self.stdout.write(f"From {snapshot.codebook} (snapshot {snapshot.number}) to {newest}:")
        for one in migration.effect(snapshot, newest):
            self.stdout.write(one.sentence)
