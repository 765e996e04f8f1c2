"""Enter a participant's withdrawal: `manage.py withdraw STUDY PARTICIPANT [--erase]`."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from waver.consent import services
from waver.consent.models import Participant, Purpose
from waver.core import holders
from waver.core.errors import Missing, WaverError
from waver.studies.access import study_called
from waver.studies.models import Study


class Command(BaseCommand):
    help = (
        "Withdraw a participant's consent, altogether or for one purpose, and with --erase remove "
        "what is held about them. Says what every part of Waver holds, asks before it does "
        "anything, and says what is left. Exits with 1 when something could not be removed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("study", help="the study's code")
        parser.add_argument("participant", help="the participant's code")
        parser.add_argument(
            "--purpose", help=f"withdraw only this: {', '.join(Purpose.values)}", default=None
        )
        parser.add_argument(
            "--erase", action="store_true", help="also remove everything held about the participant"
        )
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument(
            "--actor", default=getpass.getuser(), help="who enters it; default: your user name"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        purpose, erase = options["purpose"], options["erase"]
        if purpose and erase:
            raise CommandError(
                "An erasure removes everything, so it cannot be for one purpose. Give either "
                "--purpose or --erase."
            )
        try:
            participant = _participant(study_called(options["study"]), options["participant"])
            self._say_what_is_held(participant)
            if not options["yes"]:
                self._ask(_question(participant.code, purpose, erase=erase))
            if erase:
                self._erase(participant, options["actor"])
            else:
                self._withdraw(participant, purpose, options["actor"])
        except WaverError as error:
            raise CommandError(error.sentence) from error

    def _say_what_is_held(self, participant: Participant) -> None:
        self.stdout.write(f"Held about {participant.code}:")
        for holder in holders.all_holders():
            self.stdout.write(f"  {holder.name}: {_counted(holder.list(participant.pk))}")

    def _ask(self, question: str) -> None:
        try:
            answer = input(f"{question} Type yes to go on: ")
        except EOFError:
            answer = ""
        if answer.strip().lower() != "yes":
            raise CommandError("Nothing was changed. Give --yes where nobody can answer.")

    def _withdraw(self, participant: Participant, purpose: str | None, actor: str) -> None:
        services.withdraw(participant=participant, purpose=purpose, actor=actor)
        if purpose:
            self.stdout.write(
                f"{participant.code} no longer consents to “{Purpose(purpose).label}”. What rested "
                "on it has stopped; the rest goes on."
            )
            return
        self.stdout.write(
            f"{participant.code} has withdrawn. Nothing of theirs is used any more: raters no "
            "longer get their clips, and releases that hold them are held back."
        )
        self._say_what_is_left(participant)
        self.stdout.write("It is kept, unused, until --erase removes it.")

    def _erase(self, participant: Participant, actor: str) -> None:
        code = participant.code
        left = services.erase(participant=participant, actor=actor)
        self._say_what_is_left(participant)
        if left:
            raise CommandError(
                f"The erasure of {code} is not complete. Run the command again, for "
                f"{participant.code}; if this stays, an administrator must look at what is named."
            )
        self.stdout.write(
            f"{code} is erased. The evidence of their consent stays, as {participant.code}: strike "
            f"{code} from your own lists."
        )

    def _say_what_is_left(self, participant: Participant) -> None:
        self.stdout.write("Left to remove:")
        for holder in holders.all_holders():
            self.stdout.write(f"  {holder.name}: {_counted(holder.verify_absent(participant.pk))}")


def _participant(study: Study, code: str) -> Participant:
    found = Participant.objects.filter(study=study, code=code).first()
    if found is None:
        raise Missing(
            f"The study “{study.title}” has no participant {code}. Check the code; somebody who "
            "was erased has it no longer."
        )
    return found


def _question(code: str, purpose: str | None, *, erase: bool) -> str:
    if erase:
        return f"This withdraws {code} and removes all of it for good."
    if purpose:
        return f"This withdraws {code}'s consent to “{purpose}”."
    return f"This withdraws {code} from the study altogether; it cannot be undone."


def _counted(held: Iterable[holders.Held]) -> str:
    count = Counter((thing.kind, thing.where) for thing in held)
    return "; ".join(f"{n} × {kind} ({where})" for (kind, where), n in count.items()) or "nothing"
