"""Raters with work to look at: submissions made directly, at chosen times, in real rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from annotation.models import Annotation, Assignment, Batch
from annotation.services import gold
from tests.factories import (
    AnnotationFactory,
    AssignmentFactory,
    BatchFactory,
    MembershipFactory,
    RecordingFactory,
    StudyFactory,
    consented_participant,
)
from waver.accounts.models import User
from waver.recordings.models import Recording
from waver.studies.models import Study

MONDAY = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SECOND = 1_000_000
Spans = Sequence[tuple[float, float]]


@dataclass
class World:
    """A study with three raters; recordings last 10 s. Passes: `main` (hesitancy) and `clip`."""

    study: Study
    raters: list[User]
    batches: dict[str, Batch] = field(default_factory=dict)
    made: int = 0

    def recordings(self, count: int) -> list[Recording]:
        """Make recordings of one participant."""
        participant = self.study.participants.first() or consented_participant(self.study)
        return [RecordingFactory(participant=participant) for _ in range(count)]

    def batch(self, pass_id: str) -> Batch:
        """Give the open batch of a pass."""
        if pass_id not in self.batches:
            self.batches[pass_id] = BatchFactory(study=self.study, pass_id=pass_id)
        return self.batches[pass_id]

    def mark(
        self, rater: User, recording: Recording, spans: Spans, *, lead: float = 60, **more: Any
    ) -> Annotation:
        """Let a rater mark stretches, in seconds."""
        found = [(round(a * SECOND), round(b * SECOND), "hesitancy") for a, b in spans]
        return self._submit("main", rater, recording, lead, more, segments=found)

    def answer(
        self, rater: User, recording: Recording, value: str, *, lead: float = 60, **more: Any
    ) -> Annotation:
        """Let a rater answer about the whole clip: yes or no."""
        return self._submit("clip", rater, recording, lead, more, clip_labels={"present": value})

    def know(self, recording: Recording, spans: Spans) -> None:
        """Set the known answer of a recording."""
        gold.set_answer(
            codebook=self.batch("main").codebook,
            recording=recording,
            pass_id="main",
            answer={
                "segments": [
                    {"start_us": round(a * SECOND), "end_us": round(b * SECOND),
                     "label": "hesitancy"}
                    for a, b in spans
                ]
            },
            rationale="It is plain to see.",
            set_by="lead",
        )  # fmt: skip

    def submit(self, pass_id: str, rater: User, recording: Recording, **said: Any) -> Annotation:
        """Let a rater say anything, in the words of AnnotationFactory."""
        return self._submit(pass_id, rater, recording, 60, {}, **said)

    def _submit(
        self, pass_id: str, rater: User, recording: Recording, lead: float, more: Any, **said: Any
    ) -> Annotation:
        at = more.pop("at", MONDAY + timedelta(minutes=10 * self.made))
        raw = more.pop("raw", {"result": []})
        self.made += 1
        assignment = AssignmentFactory(
            batch=self.batch(pass_id),
            recording=recording,
            rater=rater,
            order=self.made,
            state=Assignment.State.SUBMITTED,
            **more,
        )
        return AnnotationFactory(
            assignment=assignment,
            remote_updated_at=at,
            lead_time_us=round(lead * SECOND),
            raw=raw,
            **said,
        )


def make_world() -> World:
    """Make the study and its raters."""
    study = StudyFactory(code="voices", title="Voices")
    raters = [
        MembershipFactory(study=study, role="annotator", user__username=f"rater-{letter}").user
        for letter in "abc"
    ]
    return World(study, raters)
