"""The coefficients that a policy wants to read beside alpha. They are reported, never judged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from annotation.agreement import (
    Coefficients,
    Segments,
    Undefined,
    UnitizingAlpha,
    event_agreement,
    u_alpha,
)
from annotation.agreement.results import Value
from waver.datasets.measures import Measured

_SIMPLE: Mapping[str, tuple[str, Callable[[Coefficients], Any]]] = {
    "percent": ("percent", lambda found: found.percent),
    "pabak": ("pabak", lambda found: found.pabak),
    "ac1": ("gwet", lambda found: found.gwet),
    "fleiss": ("fleiss", lambda found: found.fleiss),
    "specific": ("specific", lambda found: found.specific),
    "alpha_by_category": ("alpha_by_category", lambda found: found.alpha_by_category),
    "n": ("units", lambda found: found.n_units),
}


def reported(wanted: Iterable[str], found: Coefficients, measured: Measured) -> dict[str, Any]:
    """Give what the policy's `report` asks for, in the form of a receipt.

    `ac1` stands under “gwet” (AC2 where the values have an order), `n` under “units”, everything
    else under its own name. Segment measures are computed on the spans as they were marked, those
    of one rater that touch or overlap joined; they count every recording once.
    """
    segments = joined(measured.segments) if measured.segments is not None else None
    values: dict[str, Any] = {}
    for name in wanted:
        if name in _SIMPLE:
            key, read = _SIMPLE[name]
            values[key] = _of(read(found))
        elif segments is not None:
            values[name] = _of_segments(name, segments)
    return values


def joined(segments: Segments) -> Segments:
    """The same spans, with those of one rater and label that touch or overlap made one.

    Unitizing alpha falls when a span is cut in two, and how often a rater lifted the mouse is no
    judgement.
    """
    groups: dict[tuple[int, int, int], list[tuple[int, int]]] = defaultdict(list)
    columns = zip(
        segments.recording.tolist(), segments.rater.tolist(), segments.label.tolist(),
        segments.start_us.tolist(), segments.end_us.tolist(), strict=True,
    )  # fmt: skip
    for recording, rater, label, start, end in sorted(columns):
        spans = groups[recording, rater, label]
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    rows = [(*key, *span) for key, spans in groups.items() for span in spans]
    table = np.array(rows, dtype=np.int64).reshape(-1, 5)
    return replace(
        segments,
        recording=table[:, 0].astype(np.int32),
        rater=table[:, 1].astype(np.int32),
        label=table[:, 2].astype(np.int32),
        start_us=table[:, 3],
        end_us=table[:, 4],
    )


def in_json(value: Value | None) -> Any:
    """Write a value for JSON: 12 digits, no negative zero, a reason in place of no number."""
    if isinstance(value, Undefined):
        return {"undefined": value.reason}
    return None if value is None else round(float(value), 12) + 0.0


def _of(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): in_json(one) for name, one in value.items()}
    return in_json(value)


def _of_segments(name: str, segments: Segments) -> Any:
    if name.startswith("event_f1@"):
        how = name.removeprefix("event_f1@")
        if how.startswith("tol"):
            tolerance = round(float(how[3:-1]) * 1_000_000)
            return in_json(event_agreement(segments, iou=None, tolerance_us=tolerance).f1)
        return in_json(event_agreement(segments, iou=float(how)).f1)
    found: UnitizingAlpha = u_alpha(segments)
    return {
        "value": in_json(found.u if name == "u_alpha" else found.bar_u),
        "tick_us": found.tick_us,
    }
