"""Make the planned recordings: speech first, which sets the times; then the pictures to it."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.samples.picture import HEIGHT, WIDTH, Portrait
from workers.samples.plan import RecordingPlan, plan_recordings
from workers.samples.voice import speak

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Raised when the same plan would give other recordings, so that old ones are made again.
VERSION = 1
RATE = 15
_LEAD_SECONDS, _TAIL_SECONDS = 0.7, 0.8
_TURN_RAMP_SECONDS = 0.35
_ROOM_NOISE = 12.0
_COLUMNS = ("file", "participant", "prompt", "recorded_at")


@dataclass(frozen=True, slots=True)
class Event:
    """Something planted: "pause" or "head_turn", from `start_us` to before `end_us`."""

    kind: str
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class Script:
    """A recording's sound and the times of what is planted in it."""

    samples: NDArray[np.int16]
    sample_rate: int
    frames: int
    pause: Event | None
    turn: Event | None

    @property
    def events(self) -> tuple[Event, ...]:
        """What is planted, in order of kind."""
        return tuple(event for event in (self.pause, self.turn) if event is not None)


def make_samples(
    out_dir: Path,
    *,
    participants: int = 12,
    seed: int = 7,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> Path:
    """Write the recordings, `manifest.csv` and `truth.json` to `out_dir`; return the manifest.

    A recording that is there and has the hash that `truth.json` records for the same plan is not
    made again. `on_progress` gets (done, of, what). Raises ValueError for fewer than one
    participant, VoiceMissing where the synthesiser is not usable.
    """
    plans = plan_recordings(participants=participants, seed=seed)
    out_dir.mkdir(parents=True, exist_ok=True)
    made_with = {"version": VERSION, "seed": seed, "participants": participants}
    files = _made_before(out_dir, made_with)
    for done, plan in enumerate(plans, start=1):
        what = f"{plan.participant} prompt {plan.prompt}"
        if plan.file in files:
            what += ", made before"
        else:
            files[plan.file] = _make(plan, out_dir)
            _write_truth(out_dir, made_with, files)
        if on_progress is not None:
            on_progress(done, len(plans), what)
    return _write_manifest(out_dir, plans)


def _make(plan: RecordingPlan, out_dir: Path) -> dict[str, Any]:
    """Make one recording and return its entry in the truth."""
    script = _script(plan)
    target = out_dir / plan.file
    handle, name = tempfile.mkstemp(prefix=".making-", suffix=".mp4", dir=out_dir)
    os.close(handle)
    unfinished = Path(name)
    try:
        _encode(unfinished, script.samples, script.sample_rate, _pictures(plan, script))
        unfinished.chmod(0o644)
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
    hesitation = []
    if plan.kind == "hesitant":
        start = min(event.start_us for event in script.events)
        hesitation = [{"start_us": start, "end_us": max(e.end_us for e in script.events)}]
    return {
        "participant": plan.participant,
        "prompt": plan.prompt,
        "recorded_at": _utc(plan),
        "duration_us": _microseconds(Fraction(script.frames, RATE)),
        "kind": plan.kind,
        "events": [
            {"kind": event.kind, "start_us": event.start_us, "end_us": event.end_us}
            for event in script.events
        ],
        "hesitation": hesitation,
        "label": "hesitant" if hesitation else "not_hesitant",
        "transcript": f"{plan.opening} {plan.ending}",
        "sha256": _sha256(target),
    }


def _script(plan: RecordingPlan) -> Script:
    """Speak both sentences with the gap between them and set the times by the sound."""
    import numpy as np

    look = plan.look
    spoken = speak(
        (plan.opening, plan.ending),
        voice=look.voice,
        pitch=look.pitch,
        words_per_minute=look.words_per_minute,
    )
    rate = spoken.sample_rate
    first, second = spoken.sentences
    lead, gap = round(_LEAD_SECONDS * rate), round(plan.gap_seconds * rate)
    length = lead + first.size + gap + second.size
    frames = math.ceil((length / rate + _TAIL_SECONDS) * RATE)
    noise = np.random.default_rng(plan.seed).normal(0, _ROOM_NOISE, frames * rate // RATE)
    samples = noise.astype(np.int16)
    samples[lead : lead + first.size] += first // 2
    second_at = lead + first.size + gap
    samples[second_at : second_at + second.size] += second // 2
    pause_at = Fraction(lead + first.size, rate)
    pause = turn = None
    if plan.pauses:
        pause = _event("pause", pause_at, pause_at + Fraction(gap, rate))
    if plan.turns:
        start = pause_at + Fraction(plan.turn_offset_seconds).limit_denominator(1000)
        if not plan.pauses:
            start += Fraction(gap, rate)
        end = start + Fraction(plan.turn_seconds).limit_denominator(1000)
        turn = _event("head_turn", start, end)
    return Script(samples=samples, sample_rate=rate, frames=frames, pause=pause, turn=turn)


def _pictures(plan: RecordingPlan, script: Script) -> Iterator[NDArray[np.uint8]]:
    """Draw the frames one by one: a head that is never quite still, and turns when planned."""
    portrait = Portrait(plan.look, seed=plan.seed)
    phase = plan.seed % 1000 / 1000 * 2 * math.pi
    for index in range(script.frames):
        time = index / RATE
        slow, quick = math.sin(1.1 * time + phase), math.sin(2.3 * time + 2 * phase)
        yaw = 2.0 * slow + (plan.yaw * _turned_share(script.turn, time) if script.turn else 0.0)
        yield portrait.draw(
            index=index,
            yaw=yaw,
            shift=(2.5 * slow + 0.8 * quick, 1.5 * quick),
            tilt=1.2 * math.sin(0.9 * time + phase / 2),
            zoom=1 + 0.02 * math.sin(0.6 * time + phase),
        )


def _turned_share(turn: Event, time: float) -> float:
    """Return how far the head is turned, 0 to 1: smoothly there, a stay, smoothly back."""
    since, left = time - turn.start_us / 1e6, turn.end_us / 1e6 - time
    nearest = min(since, left)
    if nearest <= 0:
        return 0.0
    return (1 - math.cos(math.pi * min(1.0, nearest / _TURN_RAMP_SECONDS))) / 2


def _encode(
    path: Path,
    samples: NDArray[np.int16],
    sample_rate: int,
    pictures: Iterator[NDArray[np.uint8]],
) -> None:
    """Write H.264 and AAC, a second of sound for a second of pictures."""
    import av

    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        # one thread: several would give other bytes on another machine
        video.options = {"preset": "superfast", "crf": "24", "threads": "1"}
        audio = container.add_stream("aac", rate=sample_rate, layout="mono")
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=sample_rate)
        step = sample_rate // RATE
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            container.mux(video.encode(frame))
            chunk = samples[index * step : (index + 1) * step].reshape(1, -1)
            sound = av.AudioFrame.from_ndarray(chunk, format="s16", layout="mono")
            sound.sample_rate, sound.pts = sample_rate, index * step
            for part in resampler.resample(sound):
                container.mux(audio.encode(part))
        container.mux(video.encode())
        container.mux(audio.encode())


def _made_before(out_dir: Path, made_with: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Return the truth's entries for recordings that are there, whole, and of the same plan."""
    path = out_dir / "truth.json"
    if not path.exists():
        return {}
    truth = json.loads(path.read_text(encoding="utf-8"))
    if truth.get("made_with") != made_with:
        return {}
    return {
        name: entry
        for name, entry in truth["files"].items()
        if (out_dir / name).is_file() and _sha256(out_dir / name) == entry["sha256"]
    }


def _write_truth(out_dir: Path, made_with: dict[str, int], files: dict[str, Any]) -> None:
    truth = {
        "synthetic": True,
        "made_with": made_with,
        "hesitation_is": "a pause together with a head turn",
        "files": {name: files[name] for name in sorted(files)},
    }
    _write_whole(out_dir / "truth.json", json.dumps(truth, indent=1) + "\n")


def _write_manifest(out_dir: Path, plans: tuple[RecordingPlan, ...]) -> Path:
    target = out_dir / "manifest.csv"
    unfinished = target.with_name(".manifest.csv")
    with unfinished.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(_COLUMNS)
        writer.writerows((p.file, p.participant, p.prompt, _utc(p)) for p in plans)
    os.replace(unfinished, target)
    return target


def _write_whole(target: Path, text: str) -> None:
    unfinished = target.with_name(f".{target.name}")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, target)


def _event(kind: str, start: Fraction, end: Fraction) -> Event:
    return Event(kind=kind, start_us=_microseconds(start), end_us=_microseconds(end))


def _microseconds(seconds: Fraction) -> int:
    return int((2 * seconds * 1_000_000 + 1) // 2)


def _utc(plan: RecordingPlan) -> str:
    return plan.recorded_at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
