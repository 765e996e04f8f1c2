"""The sound's clock against truth: known drifts, gaps and offsets, in files made for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from waver.core.clock import frame_us
from workers.media import sound_clock
from workers.media.normalise import Proxy, normalise

from . import sounds

FRAME = 1024


def simulated(
    *, seconds: float, ppm: float, jitter: float = 0.0, gaps: dict[float, float] | None = None
) -> sound_clock.SoundClock:
    """Measure time stamps that are written down here, not read from a file."""
    rate = sounds.RATE
    count = np.full(int(seconds * rate / FRAME), FRAME)
    own = (np.cumsum(count) - count) / rate
    time = own * (1 + ppm / 1e6)
    for at, length in (gaps or {}).items():
        time[own >= at] += length
    time += np.random.default_rng(3).uniform(-jitter, jitter, time.size)
    return sound_clock.measure(np.round(time * rate).astype(np.int64), count, rate)


@settings(max_examples=examples(60), deadline=None, derandomize=True)
@given(
    ppm=st.floats(-500, 500),
    seconds=st.floats(30, 900),
    jitter=st.sampled_from([0.0, 0.0005, 0.004]),
    gap=st.one_of(st.none(), st.tuples(st.floats(0.1, 0.9), st.floats(0.05, 5))),
)
def test_drift_is_told_from_gaps_and_jitter(
    ppm: float, seconds: float, jitter: float, gap: tuple[float, float] | None
) -> None:
    gaps = {} if gap is None else {gap[0] * seconds: gap[1]}
    clock = simulated(seconds=seconds, ppm=ppm, jitter=jitter, gaps=gaps)
    assert clock.drift_us is not None
    assert clock.drift_us == pytest.approx(ppm * clock.by_samples_us / 1e6, abs=500 + 5e5 * jitter)
    assert clock.gaps == len(gaps)
    assert clock.gap_us == pytest.approx(sum(gaps.values()) * 1e6, abs=700 + 5e5 * jitter)
    assert clock.overlaps == 0
    assert clock.jitter_us <= 1e6 * jitter + 50


def test_an_overlap_is_told_from_a_gap() -> None:
    clock = simulated(seconds=60, ppm=0, gaps={20: 0.3, 40: -0.2})
    assert (clock.gaps, clock.overlaps) == (1, 1)
    assert clock.gap_us == pytest.approx(300_000, abs=100)
    assert clock.overlap_us == pytest.approx(200_000, abs=100)
    assert clock.smallest_step_us == pytest.approx(200_000, abs=100)


def test_one_late_time_stamp_is_no_gap() -> None:
    count = np.full(2000, FRAME)
    times = np.cumsum(count) - count
    times[700] += 4000
    clock = sound_clock.measure(times, count, sounds.RATE)
    assert (clock.gaps, clock.overlaps, clock.drift_us) == (0, 0, 0)


def test_millions_of_tiny_frames_are_read_more_coarsely(tmp_path: Path, monkeypatch) -> None:
    """The same clock comes out of 5000 frames as of the few hundred that are kept of them."""
    count = 240
    times = [n * count + (9600 if n >= 3001 else 0) + n // 20 for n in range(5000)]
    lines = [f"0, {time}, {time}, {count}, {2 * count}, 0x0\n" for time in times]
    log = tmp_path / "log.txt"
    log.write_text("#software: x\n#tb 0: 1/48000\n" + "".join(lines))
    monkeypatch.setattr(sound_clock, "MOST_FRAMES", 800)
    rate, kept, counts = sound_clock.read_sound_log(log)
    assert rate == sounds.RATE
    assert 400 <= len(kept) == len(counts) < 800
    assert sum(counts) == 5000 * count
    coarse = sound_clock.measure(kept, counts, rate)
    fine = sound_clock.measure(times, [count] * 5000, rate)
    assert coarse.gaps == fine.gaps == 1
    assert coarse.gap_us == pytest.approx(fine.gap_us, abs=400)
    assert coarse.drift_us == pytest.approx(fine.drift_us, abs=400)
    assert coarse.samples == fine.samples
    assert coarse.by_times_us == pytest.approx(fine.by_times_us, abs=400)


def test_nothing_is_said_about_a_short_sound() -> None:
    clock = simulated(seconds=5, ppm=400)
    assert clock.drift_us is None
    assert clock.drift_ppm is None
    assert not clock.must_be_followed
    lone = sound_clock.measure([0], [FRAME], sounds.RATE)
    assert lone.by_times_us == lone.by_samples_us == round(FRAME / 48_000 * 1e6)


def made(path: Path, folder: Path) -> Proxy:
    return normalise(path, folder / "out", frame_us=frame_us)


def worst(found: list[float], expected: list[float]) -> float:
    assert len(found) == len(expected)
    return max(abs(a - b) for a, b in zip(found, expected, strict=True))


@pytest.mark.programs
@pytest.mark.parametrize(
    ("container", "codec", "ppm"),
    [
        ("mp4", "aac", 1500),
        pytest.param("mp4", "aac", -1500, marks=pytest.mark.slow),
        pytest.param("matroska", "pcm_s16le", 1500, marks=pytest.mark.slow),
        pytest.param("webm", "libopus", -1500, marks=pytest.mark.slow),
    ],
)
def test_labels_at_the_end_stay_in_place(
    container: str, codec: str, ppm: float, tmp_path: Path
) -> None:
    """Sixty seconds that drift by 90 ms: every click lies on its second, to 5 ms."""
    proxy = made(
        sounds.write_recording(
            tmp_path / "source",
            seconds=60,
            container=container,
            codec=codec,
            time_of=lambda own: own * (1 + ppm / 1e6),
            length=60 / (1 + ppm / 1e6),
        ),
        tmp_path,
    )
    assert float(proxy.figures["audio_drift_ppm"]) == pytest.approx(ppm, abs=12)
    assert int(proxy.figures["audio_drift_us"]) == pytest.approx(60 * ppm, abs=800)
    assert proxy.figures["audio_follows_times"] is True
    pace = "slow" if ppm > 0 else "fast"
    note = next(sentence for sentence in proxy.notes if "clock" in sentence)
    assert pace in note
    assert " 90 ms" in note
    seconds = [float(second) for second in range(1, 60)]
    assert worst(sounds.click_times(proxy.audio_16k), seconds) < 0.005
    assert worst(sounds.click_times(proxy.video), seconds) < 0.03  # of which AAC's start is 21 ms
    # the native sound keeps the microphone's own seconds
    assert proxy.audio_native is not None
    own = [second / (1 + ppm / 1e6) for second in seconds]
    assert worst(sounds.click_times(proxy.audio_native), own) < 0.002


@pytest.mark.programs
@pytest.mark.parametrize("until", [4.7, pytest.param(4.315, marks=pytest.mark.slow)])
def test_a_gap_is_filled_and_told(until: float, tmp_path: Path) -> None:
    """Packets that were never written: the sound after them must not move forward."""
    proxy = made(
        sounds.write_recording(
            tmp_path / "gap.mp4", seconds=12, keep=lambda own: not 4.3 <= own < until
        ),
        tmp_path,
    )
    assert proxy.figures["audio_gaps"] == 1
    assert int(proxy.figures["audio_gap_us"]) == pytest.approx((until - 4.3) * 1e6, abs=25_000)
    assert abs(int(proxy.figures["audio_drift_us"])) < 1000
    assert any("1 gap" in sentence for sentence in proxy.notes)
    for path in (proxy.audio_16k, proxy.audio_native):
        assert path is not None
        assert worst(sounds.click_times(path), [float(s) for s in range(1, 12)]) < 0.002


@pytest.mark.programs
@pytest.mark.parametrize("late", [-1.5, 0.8])
def test_sound_that_begins_early_or_late_is_placed(late: float, tmp_path: Path) -> None:
    def time_of(own: np.ndarray) -> np.ndarray:
        return own + late

    proxy = made(
        sounds.write_recording(
            tmp_path / "clip.mkv",
            seconds=6,
            container="matroska",
            codec="flac",
            time_of=time_of,
            length=6 - late,
        ),
        tmp_path,
    )
    assert int(proxy.figures["audio_starts_us"]) == pytest.approx(late * 1e6, abs=1000)
    assert proxy.figures["audio_gaps"] == 0
    # a click at every second: of those before the picture none, of those after its start all
    for path in (proxy.audio_16k, proxy.audio_native):
        assert path is not None
        assert worst(sounds.click_times(path), [1.0, 2.0, 3.0, 4.0, 5.0]) < 0.002


@pytest.mark.programs
@pytest.mark.parametrize(
    ("codec", "rate", "layout"),
    [
        ("pcm_s16le", 44_100, "stereo"),
        ("pcm_s24le", 48_000, "stereo"),
        ("flac", 16_000, "mono"),
        pytest.param("aac", 44_100, "stereo", marks=pytest.mark.slow),
        pytest.param("pcm_s16le", 96_000, "5.1", marks=pytest.mark.slow),
    ],
)
def test_the_native_sound_is_the_recorded_one_bit_for_bit(
    codec: str, rate: int, layout: str, tmp_path: Path
) -> None:
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    noise = np.random.default_rng(2).normal(0, 0.1, (channels, 3 * rate)).clip(-0.9, 0.9)
    whole = {"pcm_s24le": "s32", "aac": "float"}.get(codec, "s16")
    stored = {
        "s16": (noise * 32767).astype(np.int16),
        "s32": (noise * 8388607).astype(np.int32) << 8,
        "float": noise.astype(np.float32),
    }[whole]
    source = sounds.write_recording(
        tmp_path / "clip.mov",
        seconds=3,
        container="mov" if codec != "flac" else "mp4",
        codec=codec,
        samples=stored,
        layout=layout,
        rate=rate,
    )
    proxy = made(source, tmp_path)
    assert proxy.audio_native is not None
    native, native_rate = sounds.decoded(proxy.audio_native)
    original, _ = sounds.decoded(source)
    assert (native_rate, native.shape[0]) == (rate, channels)
    assert native.dtype == (np.int32 if whole == "s32" or codec == "flac" else np.int16)
    assert proxy.figures["audio_sample_rate"] == rate
    assert proxy.figures["audio_channels"] == channels
    common = min(native.shape[1], original.shape[1])
    assert common > 2.9 * rate
    if whole == "float":
        difference = native[:, :common] / 32768 - original[:, :common]
        assert np.abs(difference).max() <= 1 / 32768
    else:
        native = native >> 16 if codec == "flac" else native
        assert np.array_equal(native[:, :common], original[:, :common])
