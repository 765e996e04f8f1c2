"""What a study's design can be: its choices with their limits, and the design in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from waver.studies.models import StudyDesign

_SAMPLE = StudyDesign.Overlap.SAMPLE
# On these the labels that are there already were drawn; the others may change at any time.
STRUCTURE = (
    "overlap", "raters_per_recording", "reliability_share", "prelabel_share", "passes", "seed",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How a study is annotated, as StudyDesign stores it. Shares lie from 0 to 1."""

    raters_per_recording: int
    prelabel_share: float
    passes: tuple[str, ...]
    seed: int
    overlap: str = StudyDesign.Overlap.FULL.value
    reliability_share: float = 0.2
    gold_share: float = 0.0
    repeat_share: float = 0.0
    repeat_gap: int = 50
    daily_limit: int | None = None
    qualification_minimum: float | None = None
    consensus_takes_prelabelled: bool = False
    rater_figures_days: int = 365

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what cannot be: the name of the choice and a sentence."""
        if self.overlap not in StudyDesign.Overlap.values:
            yield "overlap", f"“{self.overlap}” is no overlap. Use one of: full, sample."
        if self.raters_per_recording < 1:
            yield (
                "raters_per_recording",
                "A recording needs at least one rater. Agreement needs two or more.",
            )
        elif self.overlap == _SAMPLE and self.raters_per_recording < 2:
            yield (
                "raters_per_recording",
                (
                    "A sample that measures reliability needs at least two raters for each of its "
                    "recordings. Raise the number, or take full overlap."
                ),
            )
        yield from self._share_problems()
        if not self.passes or len(set(self.passes)) != len(self.passes):
            yield "passes", "A design names at least one pass of the codebook, each once."
        for name, least, what in (
            ("repeat_gap", 1, "other recordings between one and its repeat"),
            ("daily_limit", 1, "recordings a day"),
            ("rater_figures_days", 1, "days that figures about raters are kept"),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                yield name, f"The number of {what} is {value}. It is at least {least}."

    def _share_problems(self) -> Iterator[tuple[str, str]]:
        for name, what in (
            ("prelabel_share", "share with pre-labels"),
            ("reliability_share", "share of the reliability sample"),
            ("gold_share", "share of controls with a known answer"),
            ("repeat_share", "share of repeats"),
            ("qualification_minimum", "minimum of the qualification"),
        ):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                yield name, f"The {what} is {value:g}. It lies from 0 to 1."
        if self.overlap == _SAMPLE and self.reliability_share == 0:
            yield (
                "reliability_share",
                (
                    "A sample of 0 measures nothing. Give the share of recordings that several "
                    "code, such as 0.2."
                ),
            )
        if self.qualification_minimum == 0:
            yield (
                "qualification_minimum",
                "A minimum of 0 lets everybody through. Leave it out for no qualification.",
            )


def choices_of(design: StudyDesign) -> Choices:
    """Read the choices from a stored design."""
    values: dict[str, Any] = {each.name: getattr(design, each.name) for each in fields(Choices)}
    return Choices(**{**values, "passes": tuple(design.passes)})


def sentences(design: Choices) -> list[str]:
    """Say a design in words, for whoever plans by it."""
    n = design.raters_per_recording
    found = [
        f"Each recording is coded by one rater; {design.reliability_share:.0%} of the recordings, "
        f"drawn at random, by {n}."
        if design.overlap == _SAMPLE
        else f"Each recording is coded by {n} rater{'s' if n > 1 else ''}."
    ]
    found.append(
        f"In {design.prelabel_share:.0%} of the recordings, drawn by lot, raters see the cue "
        "candidates; agreement is judged on the others."
        if design.prelabel_share
        else "No rater sees cue candidates."
    )
    if len(design.passes) > 1:
        found.append(f"Passes, in this order: {', '.join(design.passes)}.")
    if design.gold_share or design.repeat_share:
        found.append(
            f"Controls among each rater's work: {design.gold_share:.0%} with a known answer, "
            f"{design.repeat_share:.0%} repeats with at least {design.repeat_gap} other recordings "
            "in between."
        )
    if design.qualification_minimum is not None:
        found.append(
            f"Real work opens when {design.qualification_minimum:.0%} of a qualification's labels "
            "equal the known answers."
        )
    if design.daily_limit is not None:
        found.append(f"At most {design.daily_limit} recordings a day for each rater.")
    return found
