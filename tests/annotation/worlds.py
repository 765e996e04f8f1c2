"""A study with raters and recordings, as many as a test wants, planned by its design."""

from __future__ import annotations

from typing import Any

from annotation.codebooks import shipped
from annotation.models import GoldItem, RaterProfile
from annotation.services import assign, codebooks, gold
from tests.factories import (
    MembershipFactory,
    PromptFactory,
    RecordingFactory,
    StudyFactory,
    TakeFactory,
    consented_participant,
)
from waver.accounts.models import User
from waver.consent.models import Participant
from waver.recordings.models import Recording
from waver.studies.models import Membership, Study

BAH = shipped()["bah"].read_text(encoding="utf-8")


class World:
    """A study with raters and recordings, as many as a test wants."""

    def __init__(self, *, raters: int, recordings: int, **design: Any) -> None:
        languages = design.pop("languages", ["en"])
        self.study: Study = StudyFactory(design={"seed": 7, **design}, languages=languages)
        codebooks.install_codebook(self.study, BAH, "tests")
        self.raters = [self.rater() for _ in range(raters)]
        self.person: Participant = consented_participant(self.study)
        self.prompts = [PromptFactory(study=self.study) for _ in range(2)]
        self.recordings = [self.recording(number) for number in range(recordings)]

    def rater(self) -> User:
        user: User = MembershipFactory(study=self.study, role=Membership.Role.ANNOTATOR).user
        return user

    def recording(self, number: int = 0, *, of: Participant | None = None, language: str = ""):
        take = TakeFactory(
            participant=of or self.person, prompt=self.prompts[number % 2], language=language
        )
        made: Recording = RecordingFactory(take=take)
        return made

    def known(self, recording: Recording, pass_id: str = "segments") -> GoldItem:
        answer = (
            {"segments": []}
            if pass_id == "segments"
            else {"clip_labels": [{"scale": "ah", "value": "present"}]}
        )
        return gold.set_answer(
            codebook=codebooks.current(self.study), recording=recording, pass_id=pass_id,
            answer=answer, rationale="Nothing shows.", set_by="lead",
        )  # fmt: skip

    def plan(self, raters: list[User] | None = None, pass_id: str = "segments", **more: Any):
        return assign.plan_batch(
            self.study, pass_id, self.raters if raters is None else raters, "lead", **more
        )

    def profile(self, rater: User, **fields: Any) -> RaterProfile:
        return RaterProfile.objects.create(study=self.study, user=rater, **fields)
