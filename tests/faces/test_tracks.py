from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import savgol_filter

from workers.faces.align import ARCFACE_TEMPLATE
from workers.faces.detectors import Detections
from workers.faces.errors import FaceError
from workers.faces.tracks import (
    ABSENT,
    DETECTED,
    INTERPOLATED,
    Sightings,
    Track,
    Tracker,
    choose_participant,
    complete,
    max_gap_frames,
    reach,
    runs,
    smooth,
)

RATE = Fraction(30)


def faces(*places: tuple[float, float, float], score: float = 0.9) -> Detections:
    """Detections of faces given as centre x, centre y and size in pixels."""
    boxes = np.array([[x - s / 2, y - s / 2, x + s / 2, y + s / 2] for x, y, s in places])
    marks = np.array([(ARCFACE_TEMPLATE / 112 - 0.5) * s + [x, y] for x, y, s in places])
    return Detections(
        boxes.reshape(-1, 4).astype(np.float32),
        np.full(len(places), score, dtype=np.float32),
        marks.reshape(-1, 5, 2).astype(np.float32),
    )


def follow(sequence: list[Detections], rate: Fraction = RATE) -> list[Track]:
    tracker = Tracker(rate=rate)
    for frame, found in enumerate(sequence):
        tracker.add(frame, found)
    return [complete(sightings, rate=rate) for sightings in tracker.everybody()]


def centres(track: Track) -> np.ndarray:
    return (track.boxes[:, 0] + track.boxes[:, 2]) / 2


def test_two_people_who_cross_keep_their_ids() -> None:
    # One walks right, the other left; while one hides the other, a single face is found.
    sequence = []
    for n in range(90):
        left, right = (60 + 4 * n, 100, 50), (420 - 4 * n, 110, 54)
        hidden = abs(left[0] - right[0]) < 20
        sequence.append(faces(right) if hidden else faces(right, left))
    tracks = follow(sequence)
    assert len(tracks) == 2
    goals = {track.track_id: centres(track)[-1] - centres(track)[0] for track in tracks}
    assert sorted(np.sign(list(goals.values()))) == [-1, 1]
    assert all(abs(way) > 300 for way in goals.values())


def test_a_face_that_was_away_for_a_while_keeps_its_id_and_its_gap_stays_empty() -> None:
    here, nobody = faces((200, 100, 60)), faces()
    (track,) = follow([here] * 20 + [nobody] * 60 + [here] * 20)
    assert track.present() == 40
    assert (track.state[20:80] == ABSENT).all()
    assert np.isnan(track.boxes[20:80]).all()
    assert np.isnan(track.landmarks[20:80]).all()


def test_a_face_that_was_away_too_long_is_a_new_track() -> None:
    here, nobody = faces((200, 100, 60)), faces()
    first, second = follow([here] * 20 + [nobody] * 151 + [here] * 20)
    assert first.track_id != second.track_id
    assert (first.frames[-1], second.frames[0]) == (19, 171)


def test_a_face_elsewhere_is_another_person() -> None:
    tracks = follow([faces((100, 100, 50))] * 20 + [faces((500, 300, 50))] * 20)
    assert len(tracks) == 2


def test_a_flicker_is_no_person_and_a_weak_face_starts_no_track() -> None:
    assert follow([faces((100, 100, 50))] * 2 + [faces()] * 20) == []
    assert follow([faces((100, 100, 50), score=0.4)] * 20) == []
    (track,) = follow([faces((100, 100, 50))] + [faces((100, 100, 50), score=0.4)] * 20)
    assert track.present() == 21


def test_mirrored_landmarks_are_no_sighting() -> None:
    slip = faces((100, 100, 50))
    slip = Detections(slip.boxes, slip.scores, slip.landmarks[:, [1, 0, 2, 4, 3]])
    (track,) = follow([faces((100, 100, 50))] * 10 + [slip] + [faces((100, 100, 50))] * 10)
    assert track.state[10] == INTERPOLATED


@settings(max_examples=60, deadline=None)
@given(
    seen=st.lists(st.booleans(), min_size=3, max_size=80),
    rate=st.sampled_from([Fraction(12), Fraction(24000, 1001), Fraction(30), Fraction(60)]),
)
def test_only_short_gaps_between_sightings_are_filled(seen: list[bool], rate: Fraction) -> None:
    sequence = [faces((100 + n, 100, 60)) if here else faces() for n, here in enumerate(seen)]
    tracks = follow(sequence, rate)
    if sum(seen) < 3:
        assert tracks == []
        return
    limit = max_gap_frames(rate)
    assert limit / rate <= Fraction(1, 3)
    for track in tracks:
        assert track.state[0] == track.state[-1] == DETECTED
        found = [seen[frame] for frame in track.frames]
        assert ((track.state == DETECTED) == found).all()
        for first, end in runs(track.state != DETECTED):
            expected = INTERPOLATED if end - first <= limit else ABSENT
            assert (track.state[first:end] == expected).all()
            if expected == INTERPOLATED:
                np.testing.assert_allclose(
                    centres(track)[first:end], 100 + track.frames[first:end], atol=0.01
                )
        assert (np.isnan(track.landmarks).any(axis=(1, 2)) == (track.state == ABSENT)).all()


def test_smoothing_lowers_jitter_and_keeps_a_steady_move() -> None:
    chance = np.random.default_rng(3)
    sequence, truth = [], []
    for n in range(90):
        clean = faces((100 + 2 * n, 100, 60))
        truth.append(clean.landmarks[0])
        noise = chance.normal(0, 1, clean.landmarks.shape).astype(np.float32)
        sequence.append(Detections(clean.boxes, clean.scores, clean.landmarks + noise))
    (track,) = follow(sequence)
    error = track.landmarks - np.stack(truth)
    assert error.std() < 0.75
    assert abs(error.mean()) < 0.1


def test_the_participant_is_the_large_long_and_central_one() -> None:
    sequence = [
        faces((320, 180, 120), (60, 60, 40), *([(600, 60, 125)] if n < 10 else []))
        for n in range(60)
    ]
    tracker = Tracker(rate=RATE)
    for frame, found in enumerate(sequence):
        tracker.add(frame, found)
    tracks = tracker.everybody()
    assert len(tracks) == 3
    present = {track.track_id: len(track.frames) for track in tracks}
    chosen = choose_participant(tracks, present, width=640, height=360)
    assert chosen is not None
    box = chosen.last_box()
    assert (box[0] + box[2]) / 2 == pytest.approx(320, abs=1)
    assert choose_participant([], {}, width=640, height=360) is None


@settings(max_examples=60, deadline=None)
@given(
    seen=st.lists(st.booleans(), min_size=3, max_size=120),
    rate=st.sampled_from([Fraction(12), Fraction(30), Fraction(60)]),
    cuts=st.sets(st.integers(1, 119), max_size=3),
    block=st.integers(1, 20),
)
def test_a_track_in_pieces_is_the_whole_track(
    seen: list[bool], rate: Fraction, cuts: set[int], block: int
) -> None:
    sightings = Sightings(1)
    chance = np.random.default_rng(len(seen))
    for frame in np.flatnonzero(seen):
        place = chance.normal(100, 5, 14).astype(np.float32)
        sightings.add(int(frame), place[:4], 0.9, place[4:].reshape(5, 2))
    if not sightings.frames:
        return
    whole = complete(sightings, rate=rate, cuts=sorted(cuts))
    first = sightings.frames[0]
    for start in range(first, sightings.frames[-1] + 1, block):
        span = (start, start + block - 1)
        piece = complete(sightings, rate=rate, span=span, cuts=sorted(cuts))
        rows = slice(start - first, start - first + len(piece.frames))
        assert len(piece.frames) == min(block, sightings.frames[-1] + 1 - start)
        for name in ("frames", "state", "scores", "boxes", "landmarks"):
            np.testing.assert_allclose(
                getattr(piece, name), getattr(whole, name)[rows], atol=1e-4, err_msg=name
            )


def test_what_lies_far_ahead_does_not_change_a_place() -> None:
    rate = Fraction(30)
    sightings = Sightings(1)
    chance = np.random.default_rng(1)
    for frame in range(0, 90, 5):
        place = chance.normal(100, 5, 14).astype(np.float32)
        sightings.add(frame, place[:4], 0.9, place[4:].reshape(5, 2))
    whole = complete(sightings, rate=rate)
    for frame in range(40):
        known = Sightings(1)
        for n, at in enumerate(sightings.frames):
            if at <= frame + reach(rate):
                place = np.array(sightings.places[14 * n : 14 * n + 14], dtype=np.float32)
                known.add(at, place[:4], 0.9, place[4:].reshape(5, 2))
        piece = complete(known, rate=rate, span=(frame, frame))
        np.testing.assert_allclose(piece.landmarks[0], whole.landmarks[frame], atol=1e-4)


def test_nothing_is_drawn_across_a_cut() -> None:
    sightings = Sightings(1)
    here, there = faces((100, 100, 60)), faces((160, 100, 60))
    for frame in range(0, 41, 5):
        found = here if frame < 20 else there
        sightings.add(frame, found.boxes[0], 0.9, found.landmarks[0])
    track = complete(sightings, rate=RATE, cuts=[18])
    assert (track.state[16:20] == ABSENT).all()
    assert (track.state[:16] != ABSENT).all()
    assert set(centres(track)[:16].round()) == {100}
    assert set(centres(track)[20:].round()) == {160}


def test_frames_must_come_in_order() -> None:
    tracker = Tracker(rate=RATE)
    tracker.add(5, faces())
    with pytest.raises(FaceError, match="Frame 5"):
        tracker.add(5, faces())


@settings(max_examples=30, deadline=None)
@given(length=st.integers(1, 60), rate=st.sampled_from([Fraction(12), Fraction(30), Fraction(60)]))
def test_smoothing_equals_scipys_savitzky_golay(length: int, rate: Fraction) -> None:
    values = np.random.default_rng(length).normal(size=(length, 3)).cumsum(axis=0)
    window = {12: 5, 30: 7, 60: 15}[int(rate)]
    if length < window:
        np.testing.assert_array_equal(smooth(values, rate=rate), values)
    else:
        expected = savgol_filter(values, window, polyorder=2, axis=0, mode="interp")
        np.testing.assert_allclose(smooth(values, rate=rate), expected, atol=1e-9)
