"""The one way to start ffmpeg: its limits, its ends, and what it refuses to open."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import ffmpeg  # noqa: TID251 - the runner takes such graphs
import pytest

from workers.media import process, runner
from workers.media.errors import MediaCancelledError, MediaToolError
from workers.media.process import Defences
from workers.media.runner import Limits

from . import clips

pytestmark = pytest.mark.programs

ROOT = Path(__file__).resolve().parents[2]


def endless(out: Path | str = "-", **options: object):
    """Describe a run that never ends by itself."""
    silence = ffmpeg.input("anullsrc=r=48000:cl=mono", format="lavfi", re=None)
    return silence.output(str(out), **(options or {"format": "null"}))


def wait_for(condition: Callable[[], bool], *, seconds: float = 10.0) -> bool:
    """Poll until `condition` holds; give whether it did."""
    deadline = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return held


def running_with(text: str) -> list[int]:
    """Give the processes whose command line mentions `text`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it ended while we looked
            if text.encode() in command:
                found.append(int(entry.name))
    return found


def test_wall_time_limit_ends_the_whole_group(tmp_path: Path) -> None:
    out = tmp_path / "endless.wav"
    started = time.monotonic()
    with pytest.raises(MediaToolError, match="took longer than its time limit"):
        runner.run(endless(out, format="wav"), limits=Limits(wall_seconds=0.5))
    assert time.monotonic() - started < 5
    assert running_with(str(out)) == []


def test_cancelling_ends_it(tmp_path: Path) -> None:
    out = tmp_path / "endless.wav"
    with pytest.raises(MediaCancelledError, match="was cancelled"):
        runner.run(endless(out, format="wav"), limits=Limits(wall_seconds=30), cancelled=out.exists)
    assert running_with(str(out)) == []


def test_processor_limit(tmp_path: Path) -> None:
    busy = ffmpeg.input("anullsrc=r=48000:cl=stereo", format="lavfi").output("-", format="null")
    with pytest.raises(MediaToolError, match="processor time"):
        runner.run(busy, limits=Limits(wall_seconds=30, cpu_seconds=1))


def test_output_size_limit(tmp_path: Path) -> None:
    loud = ffmpeg.input("anullsrc=r=48000:cl=stereo", format="lavfi")
    with pytest.raises(MediaToolError, match=r"grew over|too large"):
        runner.run(
            loud.output(str(tmp_path / "big.wav")),
            limits=Limits(wall_seconds=30, output_bytes=100_000),
        )
    assert list(tmp_path.iterdir()) == []


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    """A worker that is killed outright leaves no ffmpeg behind."""
    out = tmp_path / "orphan.wav"
    program = (
        "import ffmpeg; from workers.media import runner\n"
        "s = ffmpeg.input('anullsrc=r=48000:cl=mono', format='lavfi', re=None)\n"
        f"runner.run(s.output({str(out)!r}), limits=runner.Limits(wall_seconds=60))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    try:
        assert wait_for(lambda: out.exists() and len(running_with(str(out))) >= 2)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait(timeout=10)
        assert wait_for(lambda: running_with(str(out)) == [])
    finally:
        if parent.poll() is None:
            parent.kill()
            parent.wait(timeout=10)


def test_no_network_where_the_host_allows() -> None:
    if not process.network_can_be_left():
        pytest.skip(
            "This host lets no process leave the network: allow user namespaces to test it."
        )
    seen = process.try_out(["/bin/cat", "/proc/net/dev"], Defences(network=True, files=False))
    assert seen is not None
    assert [line.split(":")[0].strip() for line in seen.splitlines()[2:]] == ["lo"]


@pytest.mark.parametrize(
    "name",
    [
        "relative.mp4",
        "http://127.0.0.1/x.mp4",
        "concat:/tmp/a|/tmp/b",
        "/dev/null",
        "testsrc",
        "anullsrc=r=48000:cl=mono,movie=/etc/passwd",
    ],
)
def test_inputs_from_elsewhere_are_refused(name: str) -> None:
    with pytest.raises((ValueError, OSError)):
        runner.run(ffmpeg.input(name).output("-", format="null"), limits=Limits(wall_seconds=5))


def test_an_input_with_neighbours_or_behind_a_link_is_refused(tmp_path: Path) -> None:
    clip = clips.write_clip(tmp_path / "clip.mp4", clips.constant_pts(Fraction(30), 10))
    (tmp_path / "neighbour").touch()
    link = tmp_path / "alone" / "link"
    link.parent.mkdir()
    link.symlink_to(clip)
    for name in (clip, link):
        with pytest.raises(ValueError, match="not alone in its directory"):
            runner.run(
                ffmpeg.input(str(name)).output("-", format="null"), limits=Limits(wall_seconds=5)
            )


def test_isolation_is_undone_and_leaves_the_original(tmp_path: Path) -> None:
    source = tmp_path / "original"
    source.write_bytes(b"bytes")
    with runner.isolated(source, work_dir=tmp_path) as alone:
        assert alone.read_bytes() == b"bytes"
        assert [entry.name for entry in alone.parent.iterdir()] == [alone.name]
    assert not alone.parent.exists()
    assert source.read_bytes() == b"bytes"


def test_progress_rises_to_one(tmp_path: Path) -> None:
    clip = clips.write_clip(tmp_path / "clip.mp4", clips.constant_pts(Fraction(30), 90))
    heard: list[float] = []
    with runner.isolated(clip, work_dir=tmp_path) as alone:
        finished = runner.run(
            ffmpeg.input(str(alone)).output(str(tmp_path / "copy.mp4")),
            limits=Limits(wall_seconds=30),
            expected_seconds=3.0,
            on_progress=heard.append,
        )
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
    assert finished.version not in ("", "unknown")


def test_ffmpegs_last_words_reach_the_error(tmp_path: Path) -> None:
    source = tmp_path / "noise"
    source.write_bytes(b"\x00" * 4096)
    with (
        runner.isolated(source, work_dir=tmp_path) as alone,
        pytest.raises(MediaToolError) as failed,
    ):
        runner.run(
            ffmpeg.input(str(alone)).output("-", format="null"), limits=Limits(wall_seconds=20)
        )
    assert "Invalid data found" in str(failed.value)
    assert "Check that the recording plays" in str(failed.value)


def test_a_missing_ffmpeg_is_the_administrators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVER_FFMPEG", "/nowhere/ffmpeg")
    with pytest.raises(MediaToolError, match="Reinstall Waver's environment"):
        runner.run(endless(), limits=Limits(wall_seconds=5))
