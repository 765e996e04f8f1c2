"""Work and decisions made with an earlier version of a codebook, in the words of a later one.

Rows never change: they are carried over through the versions' migrations each time they are read.
What a migration leaves open is not guessed.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from uuid import UUID

from annotation.codebooks import Migration, ParsedAnnotation, ParsedClipLabel, ParsedCue
from annotation.codebooks.migration import Migrated, Target, migrate_through
from annotation.codebooks.parsed import ParsedSegment
from annotation.models import Adjudication, Annotation, CodebookVersion
from annotation.services import codebooks

_SAME = ("kept", "renamed")


def newest_of(codebook: CodebookVersion) -> CodebookVersion:
    """Give the version that supersedes all others after this one; itself where none does."""
    while (later := CodebookVersion.objects.filter(supersedes=codebook).first()) is not None:
        codebook = later
    return codebook


def versions_of(codebook: CodebookVersion) -> list[CodebookVersion]:
    """Give a version and those before it, newest first."""
    found = [codebook]
    while found[-1].supersedes is not None:
        found.append(found[-1].supersedes)
    return found


def way(old: UUID, new: UUID) -> tuple[Migration, ...]:
    """Give the migrations between two versions, oldest first."""
    return () if old == new else _way(old, new)


@lru_cache(maxsize=64)
def _way(old: UUID, new: UUID) -> tuple[Migration, ...]:
    # Versions never change, so the way between two of them does not either.
    rows = CodebookVersion.objects.in_bulk([old, new])
    return codebooks.way_between(rows[old], rows[new])


def stored_passes(codebook: CodebookVersion, pass_id: str) -> dict[UUID, list[str]]:
    """Give what a pass was called in each version, by the version."""
    found = {codebook.pk: [pass_id]}
    for version in versions_of(codebook)[1:]:
        steps = way(version.pk, codebook.pk)
        names = steps[0].passes if steps else {}
        found[version.pk] = [name for name in names if _pass_after(steps, name) == pass_id]
    return found


def _pass_after(steps: Iterable[Migration], name: str) -> str:
    for step in steps:
        change = step.passes.get(name)
        name = change.to if change is not None else ""
        if not name:
            return ""
    return name


def read(annotation: Annotation) -> ParsedAnnotation:
    """Read a stored annotation; prefetch its segments, their cues and its clip labels."""
    return ParsedAnnotation(
        segments=tuple(
            ParsedSegment(
                start_us=row.start_us,
                end_us=row.end_us,
                label=row.label,
                certainty=row.certainty,
                cues=tuple(ParsedCue(cue.modality, cue.cue) for cue in row.cues.all()),
                note=row.note,
            )
            for row in annotation.segments.all()
        ),
        clip_labels=tuple(
            ParsedClipLabel(row.scale, row.value, row.confidence)
            for row in annotation.clip_labels.all()
        ),
    )


def read_in(annotation: Annotation, stored_pass: str, codebook: CodebookVersion) -> Migrated:
    """Read a stored annotation in the words of a later version of its codebook."""
    steps = way(annotation.codebook_id, codebook.pk)
    return migrate_through(read(annotation), steps, stored_pass)


def decision_in(row: Adjudication, codebook: CodebookVersion) -> tuple[str, str, str] | None:
    """Give a decision's (pass, label, value) in a later version; None where it is another thing.

    A decision is carried over where its label or answer was kept or renamed. Where it was merged,
    split or dropped, the question is a new one.
    """
    part, label, value = row.pass_id, row.label, row.value
    for step in way(row.codebook_id, codebook.pk):
        change = step.passes.get(part)
        if change is None or not change.to:
            return None
        name, _, answer = label.partition("/")
        if row.start_us is not None:
            target = change.labels.get(name)
            if not _is_same(target):
                return None
            label = target.to if target is not None else name
        else:
            asked = change.questions.get(name)
            said = change.answers.get((name, answer or value))
            if not _is_same(asked) or not _is_same(said):
                return None
            label = asked.to if asked is not None else name
            chosen = said.to if said is not None else answer or value
            label, value = (f"{label}/{chosen}", value) if answer else (label, chosen)
        part = change.to
    return part, label, value


def _is_same(target: Target | None) -> bool:
    return target is not None and target.fate in _SAME
