from __future__ import annotations

import dataclasses
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.faces.pose import AVERAGE_FACE, Pose, rotation
from workers.faces.table import ROW, STATUSES, FaceStatus, FaceTable
from workers.prelabel.cards import Candidate, PrelabelError, parameters_sha256
from workers.prelabel.cues import CUE_CARD, find_cues, long_pauses
from workers.speech.spans import Span, Speech

RATE = 30
SECONDS = 20
FRAMES = RATE * SECONDS
NO_SPEECH = Speech((), (), SECONDS * 1_000_000, 0.0, (), {}, {})


def face_table(
    path: Path,
    *,
    yaw: np.ndarray | None = None,
    centre: np.ndarray | None = None,
    absent: range = range(0),
    noise: float = 0.3,
) -> Path:
    """A table as workers.faces writes it: a face of 80 pixels between the eyes, with jitter."""
    chance = np.random.default_rng(11)
    yaw = np.zeros(FRAMES) if yaw is None else yaw
    centre = np.full((FRAMES, 2), 200.0) if centre is None else centre
    shape = (AVERAGE_FACE - AVERAGE_FACE.mean(axis=0)) * 80 / 63
    rows = np.zeros(2 * FRAMES, dtype=ROW)
    for name in ("score", "box", "landmarks", "yaw", "pitch", "roll", "sharpness", "brightness"):
        rows[name] = np.nan
    rows["frame"] = np.repeat(np.arange(FRAMES), 2)
    rows["track_id"] = np.tile([1, 2], FRAMES)
    rows["status"] = STATUSES.index(FaceStatus.DETECTED)
    own, other = rows[0::2], rows[1::2]
    for frame in range(FRAMES):
        seen = (shape @ rotation(Pose(yaw[frame], 0, 0)).T)[:, :2] + centre[frame]
        own["landmarks"][frame] = seen + chance.normal(0, noise, (5, 2))
        own["yaw"][frame] = yaw[frame] + chance.normal(0, 1)
        # A second person who turns and moves all the time must not matter.
        other["landmarks"][frame] = frame % 7 * 50.0
        other["yaw"][frame] = 90.0 * (frame % 2)
    rows = rows[~((rows["track_id"] == 1) & np.isin(rows["frame"], list(absent)))]
    with FaceTable(path, frame_us=lambda frame: round(frame * 1e6 / RATE)) as table:
        table.add(rows, participant=1, until=FRAMES)
    return path


def bump(centre_s: float, width_s: float, height: float) -> np.ndarray:
    """A smooth excursion over time: one period of a raised cosine."""
    t = (np.arange(FRAMES) / RATE - centre_s) / width_s
    return np.where(np.abs(t) < 0.5, height * (1 + np.cos(2 * np.pi * t)) / 2, 0)


def spoken(*pauses_s: tuple[float, float]) -> Speech:
    spans = tuple(Span(round(a * 1e6), round(b * 1e6)) for a, b in pauses_s)
    return dataclasses.replace(NO_SPEECH, pauses=spans)


def test_a_still_face_and_steady_speech_give_no_candidate(tmp_path: Path) -> None:
    table = face_table(tmp_path / "faces.parquet")
    speech = spoken((2, 2.3), (5, 5.4), (9, 9.3))
    assert find_cues(face_table=table, speech=speech) == ()


def test_a_planted_pause_is_found_with_its_length(tmp_path: Path) -> None:
    table = face_table(tmp_path / "faces.parquet")
    speech = spoken((2, 2.3), (5, 6.6), (9, 9.3))
    (found,) = find_cues(face_table=table, speech=speech)
    assert found == Candidate(
        5_000_000, 6_600_000, "long_pause", found.score, "Pause of 1.6 s inside the answer."
    )
    assert found.score == pytest.approx(1.6 / 2.6)


def test_a_planted_turn_is_found_on_the_right_side(tmp_path: Path) -> None:
    usual = 8.0
    for sign, side in ((1, "right"), (-1, "left")):
        yaw = usual + bump(10, 2, sign * 40)
        table = face_table(tmp_path / f"{side}.parquet", yaw=yaw)
        turns = [c for c in find_cues(face_table=table, speech=NO_SPEECH) if c.cue == "head_turn"]
        (found,) = turns
        assert 9_000_000 < found.start_us < 9_800_000
        assert 10_200_000 < found.end_us < 11_000_000
        assert f"to the picture's {side}" in found.detail
        assert found.score > 0.65


def test_who_turns_all_the_time_needs_a_larger_turn(tmp_path: Path) -> None:
    restless = 10 * np.sin(np.arange(FRAMES) / 20)
    small, large = restless + bump(10, 2, 10), restless + bump(10, 2, 60)
    for yaw, expected in ((small, 0), (large, 1)):
        table = face_table(tmp_path / "faces.parquet", yaw=yaw)
        turns = [c for c in find_cues(face_table=table, speech=NO_SPEECH) if c.cue == "head_turn"]
        assert len(turns) == expected


def test_a_planted_fast_move_is_found_and_a_slow_one_is_not(tmp_path: Path) -> None:
    for height, expected in ((200, ["face_motion"]), (15, [])):
        centre = np.full((FRAMES, 2), 200.0)
        centre[:, 0] += bump(10, 2, height)
        table = face_table(tmp_path / "faces.parquet", centre=centre)
        found = find_cues(face_table=table, speech=NO_SPEECH)
        assert sorted({c.cue for c in found}) == expected
        assert all(9_000_000 <= c.start_us < c.end_us <= 11_000_000 for c in found)


def test_a_face_that_comes_back_elsewhere_did_not_move_fast(tmp_path: Path) -> None:
    centre = np.full((FRAMES, 2), 200.0)
    centre[330:] += 300
    table = face_table(tmp_path / "faces.parquet", centre=centre, absent=range(300, 330))
    assert find_cues(face_table=table, speech=NO_SPEECH) == ()


def test_no_face_at_all_leaves_the_pauses(tmp_path: Path) -> None:
    table = face_table(tmp_path / "faces.parquet", absent=range(FRAMES))
    found = find_cues(face_table=table, speech=spoken((5, 7)))
    assert [c.cue for c in found] == ["long_pause"]


def test_candidates_come_in_order_and_always_the_same(tmp_path: Path) -> None:
    yaw = bump(4, 2, 50) + bump(15, 2, -50)
    table = face_table(tmp_path / "faces.parquet", yaw=yaw)
    speech = spoken((9, 11), (4, 5.5))
    found = find_cues(face_table=table, speech=speech)
    assert {"head_turn", "long_pause"} <= {c.cue for c in found}
    assert [c.start_us for c in found] == sorted(c.start_us for c in found)
    assert found == find_cues(face_table=table, speech=speech)


LENGTHS = st.lists(st.integers(250_000, 8_000_000), min_size=1, max_size=8)


@given(lengths=LENGTHS, extra=st.integers(1, 3_000_000))
def test_a_longer_pause_never_scores_less(lengths: list[int], extra: int) -> None:
    def score(first: int) -> float:
        spans, at = [], 0
        for length in [first, *lengths[1:]]:
            spans.append(Span(at, at + length))
            at += length + 1_000_000
        speech = dataclasses.replace(NO_SPEECH, pauses=tuple(spans))
        return next((c.score for c in long_pauses(speech, CUE_CARD) if c.start_us == 0), 0.0)

    shorter, longer = score(lengths[0]), score(lengths[0] + extra)
    assert 0 <= shorter <= longer <= 1
    assert shorter == 0 or shorter >= 0.5
    assert lengths[0] >= 1_000_000 or shorter == 0
    assert lengths[0] < 2_500_000 or shorter >= 0.5


def test_the_card_says_what_the_cues_are_not() -> None:
    assert CUE_CARD.sha256 == parameters_sha256(CUE_CARD.parameters)
    assert "does not judge hesitation, ambivalence or gaze" in CUE_CARD.describes
    assert CUE_CARD.outputs == ("long_pause", "head_turn", "face_motion")


def test_a_card_without_a_parameter_and_a_file_that_is_no_table_are_refused(
    tmp_path: Path,
) -> None:
    table = face_table(tmp_path / "faces.parquet")
    bare = dataclasses.replace(CUE_CARD, parameters=MappingProxyType({}))
    with pytest.raises(PrelabelError, match="lacks the parameter"):
        find_cues(face_table=table, speech=NO_SPEECH, card=bare)
    with pytest.raises(PrelabelError, match="cannot be read as a face table"):
        find_cues(face_table=Path(__file__), speech=NO_SPEECH)
    with pytest.raises(PrelabelError, match="cannot be read"):
        find_cues(face_table=tmp_path / "missing.parquet", speech=NO_SPEECH)


def test_an_empty_span_or_a_score_out_of_range_is_refused() -> None:
    with pytest.raises(PrelabelError, match="empty"):
        Candidate(5, 5, "long_pause", 0.5, "")
    with pytest.raises(PrelabelError, match="between 0 and 1"):
        Candidate(5, 6, "long_pause", float("nan"), "")
