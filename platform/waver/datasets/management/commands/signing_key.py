"""`manage.py signing_key`: print the public keys that this installation's receipts fit."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from waver.datasets import receipts


class Command(BaseCommand):
    help = "Print the public key that receipts are signed with, then those used before."

    def handle(self, **options: Any) -> None:
        for key in receipts.known_keys():
            self.stdout.write(key)
