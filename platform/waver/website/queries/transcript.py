"""What a recording's page shows of its transcript: the words, the form, the versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from waver.recordings import transcribing
from waver.recordings.models import Recording, Stage, Transcript
from waver.recordings.transcripts import correcting, differences, versions
from waver.recordings.transcripts.correcting import Row
from waver.recordings.transcripts.differences import Differences
from waver.recordings.transcripts.said import Said, words_per_minute

_HEARD = (Recording.View.WEBCAM, Recording.View.SECOND_CAMERA)


@dataclass(frozen=True)
class Form:
    """The form as it was typed so far. `based_on` is the version it began from, 0 for none.

    `theirs` says how a version that somebody saved meanwhile differs from what was typed.
    """

    rows: Sequence[Row]
    language: str
    based_on: int
    problem: str = ""
    theirs: Differences | None = None


@dataclass(frozen=True)
class Panel:
    """The transcript on a recording's page; `form` where somebody is correcting it."""

    standing: Transcript | None
    said: Said | None
    form: Form | None = None
    problem: str = ""
    # Why no model can be asked, or "".
    no_model: str = ""
    asked: Stage | None = None
    too_long: bool = False
    speaking: str = ""
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def has_words(self) -> bool:
        """Tell whether each word has a time of its own."""
        return bool(self.said and self.said.words)


@dataclass(frozen=True)
class Version:
    """A line of the list of versions: who made it, when, from what, and how much it changed."""

    row: Transcript
    against_former: Differences | None


@dataclass(frozen=True)
class Compared:
    """Two versions and how they differ."""

    older: Transcript
    newer: Transcript
    differences: Differences


def panel(recording: Recording, *, form: Form | None = None, problem: str = "") -> Panel:
    """Read the transcript of a recording that may be shown; the caller has asked consent."""
    row = versions.standing(recording)
    said = versions.said_in(row) if row is not None else None
    return Panel(
        standing=row,
        said=said,
        form=form,
        problem=problem,
        no_model=transcribing.refusal(recording),
        asked=_stage(recording, transcribing.STAGE),
        too_long=said is not None and len(said.segments) > correcting.MOST_ROWS,
        speaking=_speaking(recording, said),
    )


def panel_of(recording: Recording, *, correcting: bool) -> Panel | None:
    """Give the panel of a camera's recording, with its form where somebody begins to correct it."""
    if recording.view not in _HEARD:
        return None
    begin = correcting and recording.duration_us is not None
    return panel(recording, form=first_form(recording) if begin else None)


def first_form(recording: Recording) -> Form:
    """Give the form of the version that stands, or an empty one with a first row."""
    row = versions.standing(recording)
    if row is None:
        rows = correcting.add([], -1, at_us=0, duration_us=versions.length_of(recording))
        return Form(rows, recording.take.language, 0)
    said = versions.said_in(row)
    return Form(correcting.rows_of(said), row.language, row.version)


def history(recording: Recording) -> list[Version]:
    """Give every version, the newest first, with what each changed."""
    rows = versions.versions(recording)
    said = {row.version: versions.said_in(row) for row in rows}
    former = {row.version: rows[n + 1].version for n, row in enumerate(rows[:-1])}
    return [
        Version(
            row,
            differences.between(said[former[row.version]], said[row.version])
            if row.version in former
            else None,
        )
        for row in rows
    ]


def compare(recording: Recording, *, older: int, newer: int) -> Compared:
    """Compare two versions. Raises Missing."""
    rows = [versions.version(recording, number) for number in (older, newer)]
    first, second = (versions.said_in(row) for row in rows)
    return Compared(rows[0], rows[1], differences.between(first, second))


def _stage(recording: Recording, name: str) -> Stage | None:
    return next((row for row in recording.stages.all() if row.name == name), None)


def _speaking(recording: Recording, said: Said | None) -> str:
    """How fast somebody speaks: words a minute where they are written down, else syllables."""
    rate = words_per_minute(said) if said is not None else None
    if rate is not None:
        return f"{rate:.0f} words per minute"
    speech = _stage(recording, "speech")
    heard = speech.figures.get("syllables_per_second") if speech is not None else None
    return f"{heard:.1f} syllables per second" if isinstance(heard, float) else ""
