"""What raters said, in the words of one codebook version.

Work done with that version is read as it is stored. Work done with an earlier one is carried over
through the migrations in between, each time it is read: raw rows never change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from annotation.codebooks import Migration
from annotation.codebooks.migration import Migrated, migrate_through
from annotation.codebooks.parsed import (
    ParsedAnnotation,
    ParsedClipLabel,
    ParsedCue,
    ParsedSegment,
)
from annotation.models import ClipLabel, CodebookVersion, Segment, SegmentCue
from annotation.services import codebooks

if TYPE_CHECKING:
    from waver.datasets.snapshots import Item

_BATCH = 2000


@dataclass(frozen=True, slots=True)
class Marked:
    """A stretch that a rater marked; `cues` are (modality, cue), if they were asked for."""

    annotation: UUID
    start_us: int
    end_us: int
    label: str
    certainty: int | None
    cues: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer about a whole recording."""

    annotation: UUID
    scale: str
    value: str
    confidence: float | None


def way_from(old: UUID, new: UUID) -> tuple[Migration, ...]:
    """Give the migrations between two stored codebook versions, oldest first."""
    return () if old == new else _way_from(old, new)


@lru_cache(maxsize=64)
def _way_from(old: UUID, new: UUID) -> tuple[Migration, ...]:
    # Versions never change, so the way between two of them does not either.
    rows = CodebookVersion.objects.in_bulk([old, new])
    return codebooks.way_between(rows[old], rows[new])


def pass_after(way: Iterable[Migration], pass_id: str) -> str:
    """Give what a pass is called at the end of the way; "" where it was dropped."""
    for migration in way:
        change = migration.passes.get(pass_id)
        if change is None:
            return ""
        pass_id = change.to
        if not pass_id:
            return ""
    return pass_id


def in_terms_of(items: Iterable[Item], codebook: UUID) -> Iterator[Item]:
    """Give items with their pass as that version calls it; those of dropped passes are left out."""
    for item in items:
        name = pass_after(way_from(item.codebook, codebook), item.pass_id)
        if name:
            yield item if name == item.pass_id else replace(item, pass_id=name)


def carry(items: Iterable[tuple[UUID, UUID, str]], codebook: UUID) -> dict[UUID, Migrated]:
    """Carry whole annotations over: annotation -> its answers in that version.

    `items` are (annotation, the version that it was made with, its pass there).
    """
    wanted = {annotation: (version, part) for annotation, version, part in items}
    found = {}
    for keys in _batches(wanted):
        read = _read(keys)
        for annotation in keys:
            version, part = wanted[annotation]
            way = way_from(version, codebook)
            found[annotation] = migrate_through(read[annotation], way, part)
    return found


def marked(
    items: Collection[Item], codebook: UUID, labels: Collection[str], *, cues: bool = False
) -> Iterator[Marked]:
    """Give the stretches with these labels, in the order of annotations and times."""
    for batch in _batches(items):
        own = [item.annotation for item in batch if item.codebook == codebook]
        rows = Segment.objects.filter(annotation__in=own, label__in=labels)
        noted = _cues(rows.values("pk")) if cues else {}
        for pk, annotation, start, end, label, sure in rows.order_by(
            "annotation", "start_us", "pk"
        ).values_list("pk", "annotation", "start_us", "end_us", "label", "certainty"):
            yield Marked(annotation, start, end, label, sure, tuple(noted.get(pk, ())))
        for annotation, said in _carried(batch, codebook):
            for one in said.segments:
                if one.label in labels:
                    named = tuple((cue.modality, cue.cue) for cue in one.cues) if cues else ()
                    yield Marked(
                        annotation, one.start_us, one.end_us, one.label, one.certainty, named
                    )


def answered(
    items: Collection[Item], codebook: UUID, scales: Collection[str]
) -> Iterator[Answered]:
    """Give the answers to these questions."""
    for batch in _batches(items):
        own = [item.annotation for item in batch if item.codebook == codebook]
        rows = ClipLabel.objects.filter(annotation__in=own, scale__in=scales).order_by("pk")
        for columns in rows.values_list("annotation", "scale", "value", "confidence"):
            yield Answered(*columns)
        for annotation, said in _carried(batch, codebook):
            for one in said.clip_labels:
                if one.scale in scales:
                    yield Answered(annotation, one.scale, one.value, one.confidence)


def _carried(items: Iterable[Item], codebook: UUID) -> Iterator[tuple[UUID, ParsedAnnotation]]:
    old = [
        (item.annotation, item.codebook, item.stored_pass)
        for item in items
        if item.codebook != codebook
    ]
    for annotation, found in sorted(carry(old, codebook).items()):
        yield annotation, found.annotation


def _read(annotations: Collection[UUID]) -> dict[UUID, ParsedAnnotation]:
    """Read annotations as they are stored, without free texts, which no figure rests on."""
    rows = Segment.objects.filter(annotation__in=annotations).order_by(
        "start_us", "end_us", "label"
    )
    noted = _full_cues(rows.values("pk"))
    segments: dict[UUID, list[ParsedSegment]] = defaultdict(list)
    for row in rows:
        segments[row.annotation_id].append(
            ParsedSegment(
                row.start_us, row.end_us, row.label, row.certainty, tuple(noted.get(row.pk, ()))
            )
        )
    clips: dict[UUID, list[ParsedClipLabel]] = defaultdict(list)
    for one in ClipLabel.objects.filter(annotation__in=annotations).order_by("pk"):
        clips[one.annotation_id].append(
            ParsedClipLabel(one.scale, one.value, one.confidence, one.grade)
        )
    return {
        key: ParsedAnnotation(tuple(segments.get(key, ())), tuple(clips.get(key, ())))
        for key in annotations
    }


def _cues(segments: Any) -> Mapping[UUID, list[tuple[str, str]]]:
    found: dict[UUID, list[tuple[str, str]]] = defaultdict(list)
    rows = SegmentCue.objects.filter(segment__in=segments).order_by("segment", "modality", "cue")
    for segment, modality, cue in rows.values_list("segment", "modality", "cue"):
        found[segment].append((modality, cue))
    return found


def _full_cues(segments: Any) -> Mapping[UUID, list[ParsedCue]]:
    found: dict[UUID, list[ParsedCue]] = defaultdict(list)
    rows = SegmentCue.objects.filter(segment__in=segments).order_by("segment", "modality", "cue")
    for row in rows:
        found[row.segment_id].append(ParsedCue(row.modality, row.cue, row.confidence, row.grade))
    return found


def _batches(things: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(things)
    while batch := list(islice(rest, _BATCH)):
        yield batch
