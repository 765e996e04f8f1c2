"""Canonical tables, each as Parquet and as CSV with the same rows.

Times are integer microseconds on the recording's clock, 0 at the first frame, half-open spans.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from waver.datasets import answers
from waver.datasets.consensus import rows_of
from waver.datasets.content import Clip, Content
from waver.datasets.draft import Draft
from waver.datasets.snapshots import Item
from waver.recordings.models import Asset, CueCandidate

NAME = "tables"
BUILDER = "tables/2"
ON_REQUEST = False
TITLE = "Tables (Parquet and CSV)"
FOLDER = "tables"
_BATCH = 5000
_TIMES = (
    "Times are integer microseconds of the recording's clock (0 at the first frame, spans "
    "half-open). A row in `submissions` without rows in `segments` means that the rater marked "
    "nothing: an answer, not a gap."
)
_CONSENSUS = (
    "`consensus` is derived from the raters' answers, which stand beside it as they came: the "
    "majority's, with `share` of `raters` behind it; `value` is empty where they are undecided. "
    "`adjudicated` rows were decided by a person who saw the raters' answers without their names; "
    "the vote before is in `initial_value` and, with every decision, in `adjudications` (`share` "
    "of the raters had said what was decided). `prelabelled` tells whether a rater saw pre-labels. "
    "`model_value` and `model_share` are filled where the policy asks for a model of each rater's "
    "errors (Dawid and Skene): where they contradict the vote, the vote stands. `votes` is the "
    "distribution behind it all, for soft labels. `consensus.json` names method and versions."
)
_SOFT = (
    "TENTATIVE, so that no label stands in any table. `soft_labels` has how the raters who saw no "
    "pre-labels voted: for clips a row for each value that anybody gave, for segments a row for "
    "each stretch that anybody marked, with the share of them behind it."
)
_CSV = (
    "In the CSV files a text that begins with =, +, -, @, a tab or a line break has a ' put before "
    "it, because spreadsheets would run it as a formula."
)
_FRAME_MAPS = (
    f"`{FOLDER}/frame_maps/` tells for each frame of a video its time in the original file and "
    "whether it repeats the frame before."
)
_UNTESTED = (
    "Cues and the certainty of segments are the raters' notes on a released label. Agreement on "
    "them was not tested."
)

Row = tuple[Any, ...]
Rows = Callable[[Content], Iterator[Row]]
_TEXT, _WHOLE, _REAL, _YES_NO = "string", "int64", "float64", "bool"


def applies(content: Content) -> bool:
    """Every release has its tables."""
    return True


def write_shares(content: Content, draft: Draft) -> None:
    """Write each recording's map from proxy frames to the original's frame times."""
    for clip in content.clips:
        asset = clip.assets.get(Asset.Kind.FRAME_MAP)
        if asset is not None:
            path = f"{FOLDER}/frame_maps/{clip.participant}/{clip.code}.parquet"
            draft.share(clip, "frame_map", draft.copy(asset.blob, path))


def write_containers(content: Content, draft: Draft) -> None:
    """Write every table twice, a few thousand rows at a time."""
    for name, (columns, rows) in TABLES.items():
        _write(draft, name, columns, rows(content))
    if content.soft:
        columns, rows = SOFT_LABELS
        _write(draft, "soft_labels", columns, rows(content))


def describe(content: Content) -> list[str]:
    """Say what the tables hold."""
    said = [
        f"`{FOLDER}/` holds {', '.join(TABLES)}, each as Parquet and as CSV.",
        _TIMES,
        _CONSENSUS,
        _CSV,
        _FRAME_MAPS,
        _UNTESTED,
    ]
    if content.soft:
        said.append(f"{', '.join(content.soft)}: {_SOFT}")
    left = sum(not clip.may_infer for clip in content.clips)
    if left:
        said.append(
            "`cue_candidates` leaves out recordings whose participants do not allow computer "
            f"models to mark cues: {left} of {len(content.clips)}."
        )
    return said


# Rows


def _recordings(content: Content) -> Iterator[Row]:
    for clip in content.clips:
        found = clip.recording
        prompt = found.take.prompt
        yield (
            clip.code, clip.participant, clip.video_id, found.view,
            prompt.order if prompt else None, found.duration_us, clip.frames,
            clip.rate.numerator, clip.rate.denominator, found.width, found.height,
            found.is_synthetic,
        )  # fmt: skip


def _participants(content: Content) -> Iterator[Row]:
    people = {clip.participant: clip for clip in content.clips}
    for code in sorted(people):
        clip = people[code]
        yield code, clip.fold, clip.recording.participant.is_synthetic


def _raters(content: Content) -> Iterator[Row]:
    for code in sorted(content.raters.values()):
        yield code, code in content.synthetic_raters


def _submissions(content: Content) -> Iterator[Row]:
    clips = _by_recording(content)
    leaving = (*content.labels.values(), *content.soft.values())
    passes = {found.label.pass_id for found in leaving}
    for item in content.submissions:
        if item.pass_id in passes:
            yield clips[item.recording].code, content.raters[item.rater], item.pass_id, item.arm


def _segments(content: Content) -> Iterator[Row]:
    for item, code, one in _released_segments(content):
        yield (
            code, content.raters[item.rater], f"{item.pass_id}/{one.label}",
            one.start_us, one.end_us, one.certainty, item.arm,
        )  # fmt: skip


def _cues(content: Content) -> Iterator[Row]:
    for item, code, one in _released_segments(content, cues=True):
        for modality, cue in one.cues:
            yield code, content.raters[item.rater], one.start_us, one.end_us, modality, cue


def _clip_labels(content: Content) -> Iterator[Row]:
    clips = _by_recording(content)
    wanted = [found.label for found in content.labels.values() if found.label.data == "clips"]
    scales = {label.source for label in wanted}
    for batch in _batches(iter(content.submissions)):
        items = {item.annotation: item for item in batch}
        rows = list(answers.answered(batch, content.codebook_version, scales))
        for label in wanted:
            for row in rows:
                item = items[row.annotation]
                if row.scale != label.source or item.pass_id != label.pass_id:
                    continue
                value = _stored_value(row, label.is_certainty)
                if value is not None and label.answer in ("", value):
                    rater = content.raters[item.rater]
                    yield clips[item.recording].code, rater, label.key, value, item.arm


def _consensus(content: Content) -> Iterator[Row]:
    clips = {clip.key: clip for clip in content.clips}
    for key, found in content.labels.items():
        method = found.made.method
        for recording, one in rows_of(found.made):
            yield (
                clips[recording].code, key, one.start_us, one.end_us, one.value, one.share,
                one.raters, "adjudicated" if one.adjudicated else method, one.adjudicated,
                one.initial, one.prelabelled, one.model_value, one.model_share,
                found.standing.verdict,
            )  # fmt: skip


def _adjudications(content: Content) -> Iterator[Row]:
    """Every decision; neither who decided nor the reasons, which are free text."""
    clips = {clip.key: clip for clip in content.clips}
    for key, found in content.labels.items():
        for one in found.made.decisions:
            yield (
                clips[one.recording].code, key, one.start_us, one.end_us, one.value,
                one.decided_start_us, one.decided_end_us, one.initial, one.share, one.is_synthetic,
            )  # fmt: skip


def _votes(content: Content) -> Iterator[Row]:
    clips = {clip.key: clip for clip in content.clips}
    for key, found in content.labels.items():
        for one in found.made.votes:
            yield (
                clips[one.recording].code, key, one.start_us, one.end_us, one.value, one.votes,
                one.raters,
            )  # fmt: skip


def _soft_labels(content: Content) -> Iterator[Row]:
    """How the raters voted on labels that are tentative; every row carries the stamp."""
    clips = {clip.key: clip for clip in content.clips}
    for key, found in content.soft.items():
        for one in found.made.votes:
            yield (
                clips[one.recording].code, key, one.start_us, one.end_us, one.value,
                one.votes / one.raters, one.votes, one.raters, "TENTATIVE",
            )  # fmt: skip


def _cue_candidates(content: Content) -> Iterator[Row]:
    for clip in content.clips:
        if clip.may_infer:
            rows = CueCandidate.objects.filter(recording=clip.recording).select_related("run__card")
            for row in rows.order_by("start_us", "cue", "pk"):
                yield (
                    clip.code, row.start_us, row.end_us, row.cue, row.score, row.detail,
                    str(row.run.card),
                )  # fmt: skip


def _splits(content: Content) -> Iterator[Row]:
    for clip in content.clips:
        yield clip.code, clip.participant, clip.fold


TABLES: dict[str, tuple[dict[str, str], Rows]] = {
    "recordings": (
        {
            "recording": _TEXT, "participant": _TEXT, "video_id": _TEXT, "view": _TEXT,
            "prompt": _WHOLE, "duration_us": _WHOLE, "frames": _WHOLE, "rate_numerator": _WHOLE,
            "rate_denominator": _WHOLE, "width": _WHOLE, "height": _WHOLE, "is_synthetic": _YES_NO,
        },
        _recordings,
    ),
    "participants": (
        {"participant": _TEXT, "fold": _TEXT, "is_synthetic": _YES_NO}, _participants,
    ),
    "raters": ({"rater": _TEXT, "is_synthetic": _YES_NO}, _raters),
    "submissions": (
        {"recording": _TEXT, "rater": _TEXT, "pass": _TEXT, "arm": _TEXT}, _submissions,
    ),
    "segments": (
        {
            "recording": _TEXT, "rater": _TEXT, "label": _TEXT, "start_us": _WHOLE,
            "end_us": _WHOLE, "certainty": _WHOLE, "arm": _TEXT,
        },
        _segments,
    ),
    "cues": (
        {
            "recording": _TEXT, "rater": _TEXT, "segment_start_us": _WHOLE,
            "segment_end_us": _WHOLE, "modality": _TEXT, "cue": _TEXT,
        },
        _cues,
    ),
    "clip_labels": (
        {"recording": _TEXT, "rater": _TEXT, "label": _TEXT, "value": _TEXT, "arm": _TEXT},
        _clip_labels,
    ),
    "consensus": (
        {
            "recording": _TEXT, "label": _TEXT, "start_us": _WHOLE, "end_us": _WHOLE,
            "value": _TEXT, "share": _REAL, "raters": _WHOLE, "method": _TEXT,
            "adjudicated": _YES_NO, "initial_value": _TEXT, "prelabelled": _YES_NO,
            "model_value": _TEXT, "model_share": _REAL, "verdict": _TEXT,
        },
        _consensus,
    ),
    "adjudications": (
        {
            "recording": _TEXT, "label": _TEXT, "start_us": _WHOLE, "end_us": _WHOLE,
            "value": _TEXT, "decided_start_us": _WHOLE, "decided_end_us": _WHOLE,
            "initial_value": _TEXT, "share": _REAL, "is_synthetic": _YES_NO,
        },
        _adjudications,
    ),
    "votes": (
        {
            "recording": _TEXT, "label": _TEXT, "start_us": _WHOLE, "end_us": _WHOLE,
            "value": _TEXT, "votes": _WHOLE, "raters": _WHOLE,
        },
        _votes,
    ),
    "cue_candidates": (
        {
            "recording": _TEXT, "start_us": _WHOLE, "end_us": _WHOLE, "cue": _TEXT, "score": _REAL,
            "detail": _TEXT, "made_by": _TEXT,
        },
        _cue_candidates,
    ),
    "splits": ({"recording": _TEXT, "participant": _TEXT, "fold": _TEXT}, _splits),
}  # fmt: skip


SOFT_LABELS: tuple[dict[str, str], Rows] = (
    {
        "recording": _TEXT, "label": _TEXT, "start_us": _WHOLE, "end_us": _WHOLE, "value": _TEXT,
        "share": _REAL, "votes": _WHOLE, "raters": _WHOLE, "stamp": _TEXT,
    },
    _soft_labels,
)  # fmt: skip
"""Written only where a label is tentative and its policy lets it leave so."""


def _by_recording(content: Content) -> dict[UUID, Clip]:
    return {clip.recording.pk: clip for clip in content.clips}


def _released_segments(
    content: Content, *, cues: bool = False
) -> Iterator[tuple[Item, str, answers.Marked]]:
    """Every rater's segments of released labels, with the recording's name."""
    clips = _by_recording(content)
    by_pass: dict[str, list[str]] = {}
    for found in content.labels.values():
        if found.label.data == "segments":
            by_pass.setdefault(found.label.pass_id, []).append(found.label.source)
    for pass_id, wanted in by_pass.items():
        chosen = (item for item in content.submissions if item.pass_id == pass_id)
        for batch in _batches(chosen):
            items = {item.annotation: item for item in batch}
            for one in answers.marked(batch, content.codebook_version, wanted, cues=cues):
                item = items[one.annotation]
                yield item, clips[item.recording].code, one


def _stored_value(row: answers.Answered, is_certainty: bool) -> str | None:
    if not is_certainty:
        return row.value
    return None if row.confidence is None else f"{row.confidence:g}"


def _batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(itertools.islice(rows, _BATCH)):
        yield batch


# Writing


def _write(draft: Draft, name: str, columns: dict[str, str], rows: Iterator[Row]) -> None:
    """Write one table in both forms, side by side, so that the rows are read once."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        _TEXT: pa.string(), _WHOLE: pa.int64(), _REAL: pa.float64(), _YES_NO: pa.bool_(),
    }  # fmt: skip
    schema = pa.schema([(column, types[kind]) for column, kind in columns.items()])
    with (
        draft.container(f"{FOLDER}/{name}.parquet", BUILDER) as parquet,
        draft.text_container(f"{FOLDER}/{name}.csv", BUILDER) as text,
        pq.ParquetWriter(parquet, schema) as writer,
    ):
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(columns)
        for batch in _batches(rows):
            values = [list(column) for column in zip(*batch, strict=True)]
            arrays = [
                pa.array(column, type=field.type)
                for column, field in zip(values, schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            lines.writerows([harmless(cell) for cell in row] for row in batch)


def harmless(cell: Any) -> Any:
    """Keep a spreadsheet from running a text as a formula; None is an empty cell."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r", "\n"):
        return f"'{cell}"
    return cell
