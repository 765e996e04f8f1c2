"""Cue candidates: moments that may be worth a rater's look, found by documented formulas.

Each candidate names the one cue that fired, with what was measured. A cue is not a label: nothing
here scores hesitation or ambivalence, and nothing knows where the eyes look.

Every cue has a measure x and a threshold T, both in the cue's unit, T taken from the same
recording so that people are compared with themselves, but kept between a floor and a ceiling. A
candidate needs x >= T and scores x / (x + T): 0.5 at the threshold, towards 1 far above it.

long_pause   x: a silence between speech segments, in seconds.
             T: `pause_factor` times the median of the other pauses and of two ordinary pauses of
             `ordinary_pause_s`, so that one or two pauses alone do not set the measure.
head_turn    x: the furthest yaw from the person's median yaw within the span, in degrees.
             T: `turn_factor` robust standard deviations of yaw.
face_motion  x: the highest speed of the landmarks within the span, in inter-eye distances per
             second over `motion_over_s` (workers.prelabel.signals.face_speed).
             T: the median speed plus `motion_factor` robust standard deviations of speed.

The spans of the last two are the frames at or above T; spans closer than `join_s` are one, and
spans shorter than `shortest_s` are dropped.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from types import MappingProxyType

import numpy as np

from workers.prelabel.cards import Candidate, ModelCard, ModelKind, parameters_sha256
from workers.prelabel.signals import Doubles, FaceSignals, face_speed, read_signals, spread
from workers.speech.spans import Speech

PARAMETERS = MappingProxyType(
    {
        "ordinary_pause_s": 0.5,
        "pause_floor_s": 1.0,
        "pause_ceiling_s": 2.5,
        "pause_factor": 2.0,
        "turn_floor_deg": 15.0,
        "turn_ceiling_deg": 40.0,
        "turn_factor": 3.0,
        "motion_over_s": 0.2,
        "motion_floor": 1.0,
        "motion_ceiling": 3.0,
        "motion_factor": 4.0,
        "join_s": 0.2,
        "shortest_s": 0.2,
    }
)
CUE_CARD = ModelCard(
    id="waver-cues",
    version="1",
    kind=ModelKind.RULE,
    sha256=parameters_sha256(PARAMETERS),
    licence="GPL-3.0-or-later",
    describes=(
        "Marks long pauses inside the answer, head turns and fast face motion by fixed formulas; "
        "it does not judge hesitation, ambivalence or gaze."
    ),
    outputs=("long_pause", "head_turn", "face_motion"),
    parameters=PARAMETERS,
)


def find_cues(
    *, face_table: Path, speech: Speech, card: ModelCard = CUE_CARD
) -> tuple[Candidate, ...]:
    """All cue candidates of a recording, in order of start, then of the card's outputs.

    `face_table` is the Parquet file of workers.faces. The same input always gives the same answer.
    Raises PrelabelError when the table cannot be read or the card lacks a parameter.
    """
    signals = read_signals(face_table)
    found = [
        *long_pauses(speech, card),
        *head_turns(signals, card),
        *face_motions(signals, card),
    ]
    return tuple(sorted(found, key=lambda c: (c.start_us, card.outputs.index(c.cue), c.end_us)))


def long_pauses(speech: Speech, card: ModelCard) -> list[Candidate]:
    """Pauses inside the answer that are long in themselves and for this recording."""
    bounds = card.parameter("pause_floor_s"), card.parameter("pause_ceiling_s")
    ordinary = [card.parameter("ordinary_pause_s")] * 2
    lengths = [pause.duration_us / 1e6 for pause in speech.pauses]
    found = []
    for i, pause in enumerate(speech.pauses):
        others = lengths[:i] + lengths[i + 1 :]
        usual = median(others + ordinary)
        threshold = _between(card.parameter("pause_factor") * usual, *bounds)
        if lengths[i] >= threshold:
            detail = f"Pause of {lengths[i]:.1f} s inside the answer."
            score = _score(lengths[i], threshold)
            found.append(Candidate(pause.start_us, pause.end_us, "long_pause", score, detail))
    return found


def head_turns(signals: FaceSignals, card: ModelCard) -> list[Candidate]:
    """Stretches in which the head is turned far from where this person mostly holds it."""
    known = signals.yaw[np.isfinite(signals.yaw)]
    if len(known) == 0:
        return []
    away = signals.yaw - np.median(known)
    threshold = _between(
        card.parameter("turn_factor") * spread(known),
        card.parameter("turn_floor_deg"),
        card.parameter("turn_ceiling_deg"),
    )
    found = []
    for first, end in _spans(np.abs(away), threshold, signals, card):
        furthest = away[first:end][np.nanargmax(np.abs(away[first:end]))]
        side = "right" if furthest > 0 else "left"
        detail = (
            f"Head turned up to {abs(furthest):.0f} degrees to the picture's {side}, from where "
            "this person mostly holds it."
        )
        score = _score(abs(float(furthest)), threshold)
        found.append(_candidate(signals, first, end, "head_turn", score, detail))
    return found


def face_motions(signals: FaceSignals, card: ModelCard) -> list[Candidate]:
    """Stretches in which the face moves fast for this person."""
    speed = face_speed(signals, over_us=1e6 * card.parameter("motion_over_s"))
    known = speed[np.isfinite(speed)]
    if len(known) == 0:
        return []
    usual = float(np.median(known))
    threshold = _between(
        usual + card.parameter("motion_factor") * spread(known),
        card.parameter("motion_floor"),
        card.parameter("motion_ceiling"),
    )
    found = []
    for first, end in _spans(speed, threshold, signals, card):
        fastest = float(np.nanmax(speed[first:end]))
        detail = (
            f"Face moving at up to {fastest:.1f} inter-eye distances a second, "
            f"against {usual:.1f} mostly."
        )
        score = _score(fastest, threshold)
        found.append(_candidate(signals, first, end, "face_motion", score, detail))
    return found


def _between(value: float, floor: float, ceiling: float) -> float:
    return min(max(value, floor), ceiling)


def _score(measure: float, threshold: float) -> float:
    return measure / (measure + threshold)


def _spans(
    values: Doubles, threshold: float, signals: FaceSignals, card: ModelCard
) -> list[tuple[int, int]]:
    """Half-open spans of frames at or above the threshold, joined and long enough."""
    frames_at = np.flatnonzero(np.nan_to_num(values, nan=-1.0) >= threshold)
    if len(frames_at) == 0 or signals.frame_us == 0:
        return []
    join = 1e6 * card.parameter("join_s") / signals.frame_us
    breaks = np.flatnonzero(np.diff(frames_at) - 1 > join)
    firsts = frames_at[np.concatenate([[0], breaks + 1])]
    lasts = frames_at[np.concatenate([breaks, [-1]])]
    shortest = 1e6 * card.parameter("shortest_s")
    return [
        (int(a), int(b) + 1)
        for a, b in zip(firsts, lasts, strict=True)
        if (b - a + 1) * signals.frame_us >= shortest
    ]


def _candidate(
    signals: FaceSignals, first: int, end: int, cue: str, score: float, detail: str
) -> Candidate:
    start_us = int(signals.time_us[first])
    last = int(signals.time_us[end - 1]) + round(signals.frame_us)
    end_us = int(signals.time_us[end]) if end < len(signals.time_us) else last
    return Candidate(start_us, end_us, cue, score, detail)
