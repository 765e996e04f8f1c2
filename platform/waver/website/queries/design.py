"""A study's design as a form: fields with what they do, and what was written in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from annotation.services import codebooks
from waver.core.errors import BadInput, Missing
from waver.studies.designs import STRUCTURE, Choices, choices_of, sentences
from waver.studies.models import Study, StudyDesign


@dataclass(frozen=True)
class Field:
    """One choice of the design. `kind` is number, share, text, choice or yes."""

    name: str
    title: str
    help: str
    kind: str
    value: str
    options: tuple[tuple[str, str], ...] = ()
    fixed: bool = False

    @property
    def is_set(self) -> bool:
        """Tell whether a yes-or-no choice says yes."""
        return self.value == "yes"


@dataclass(frozen=True)
class DesignPage:
    """The design in sentences, its fields in groups, and whether batches fix its structure."""

    sentences: list[str]
    groups: list[tuple[str, list[Field]]]
    is_fixed: bool
    passes: list[str]


# name -> (title, what it does, kind)
_WHO = {
    "overlap": ("Overlap", "Who codes how much.", "choice"),
    "raters_per_recording": (
        "Raters for each recording", "With a sample: for each recording of it.", "number",
    ),
    "reliability_share": (
        "Share of the sample", "Only with a sample: drawn at random, coded by several.", "share",
    ),
    "passes": ("Passes", "Of the codebook, in their order, with commas in between.", "text"),
    "prelabel_share": (
        "Share with cue candidates", "Their labels never count for agreement.", "share",
    ),
    "seed": ("Seed", "Draws everything; any whole number.", "number"),
}  # fmt: skip
_CONTROLS = {
    "qualification_minimum": (
        "Qualification", "Share of its labels that must equal the known answers. Empty: none.",
        "share",
    ),
    "gold_share": ("Known answers", "Share of each rater's work, added to it.", "share"),
    "repeat_share": ("Repeats", "Share of each rater's work that they meet again.", "share"),
    "repeat_gap": ("Gap before a repeat", "Other recordings in between, at least.", "number"),
}  # fmt: skip
_CARE = {
    "daily_limit": ("Recordings a day", "For each rater, at most. Empty: no limit.", "number"),
    "rater_figures_days": (
        "Days that figures about raters are kept", "After their last work.", "number",
    ),
    "consensus_takes_prelabelled": (
        "Labels given with candidates in sight may enter consensus", "Each is flagged.", "yes",
    ),
}  # fmt: skip
_GROUPS = {"Who labels what": _WHO, "Training and controls": _CONTROLS, "Care and use": _CARE}
_EMPTY = ("qualification_minimum", "daily_limit")


def page(study: Study, written: Mapping[str, str] | None) -> DesignPage:
    """Read the design; `written` is what a refused form held, which is kept."""
    row = StudyDesign.objects.filter(study=study).first() or StudyDesign(study=study)
    is_now = choices_of(row)
    try:
        passes = [part.id for part in codebooks.parsed(codebooks.current(study)).passes]
    except Missing:
        passes = []
    is_fixed = study.batches.exists()
    stored = {each.name: _written(getattr(is_now, each.name)) for each in fields(Choices)}
    values = {name: written.get(name, "") for name in stored} if written is not None else stored
    options = tuple((str(v), str(label)) for v, label in StudyDesign.Overlap.choices)
    return DesignPage(
        sentences=sentences(is_now),
        groups=[
            (
                group,
                [
                    Field(
                        name, title, what, kind, values[name],
                        options=options if kind == "choice" else (),
                        fixed=is_fixed and name in STRUCTURE,
                    )
                    for name, (title, what, kind) in content.items()
                ],
            )
            for group, content in _GROUPS.items()
        ],
        is_fixed=is_fixed,
        passes=passes,
    )  # fmt: skip


def read_form(posted: Mapping[str, str]) -> Choices:
    """Read the form. Raises BadInput for what is no number where one is wanted."""
    kinds = {name: (t, k) for group in _GROUPS.values() for name, (t, _, k) in group.items()}
    values = {name: _read(name, *kinds[name], posted.get(name, "").strip()) for name in kinds}
    return Choices(**values)  # type: ignore[arg-type]  # each was read by its own kind


def _read(name: str, title: str, kind: str, text: str) -> object:
    if kind == "choice":
        return text
    if kind == "yes":
        return text == "yes"
    if kind == "text":
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if not text and name in _EMPTY:
        return None
    try:
        return int(text) if kind == "number" else float(text.replace(",", "."))
    except ValueError as error:
        what = "a whole number" if kind == "number" else "a share from 0 to 1, such as 0.2"
        raise BadInput(f"“{text}” under “{title}” is not {what}. Correct it.") from error


def _written(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
