"""What a process that reads a recording can do at worst, and what is left of it afterwards."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path

import ffmpeg  # noqa: TID251 - the runner takes such graphs
import pytest

from waver.core.clock import frame_us
from workers.media import probe as probing
from workers.media import process, runner
from workers.media.__main__ import main as report_main
from workers.media.errors import MediaCancelledError, MediaToolError, RefusedRecordingError
from workers.media.graph import NAMES
from workers.media.normalise import normalise
from workers.media.probe import probe
from workers.media.runner import Limits
from workers.processes import descendants

from . import attacks, clips
from .attacks import box
from .test_runner import running_with, wait_for

pytestmark = pytest.mark.programs

ROOT = Path(__file__).resolve().parents[2]


def tied(files: dict[str, list[str]] | None = None, *, no_network: bool = False) -> str:
    return process.description(
        cpu_seconds=20, file_bytes=1000, memory_bytes=1 << 30, no_network=no_network, files=files
    )


def python_under(description: str, code: str, *arguments: str) -> str:
    """Run Python code whose hands are tied, as the reader's are; give what it prints."""
    start = (
        "import json, os, socket, sys; from workers.media import guard\n"
        "limits = json.loads(sys.argv[1]); limits['parent'] = os.getppid()\n"
        "guard.tie(limits)\n"
    )
    return subprocess.run(
        [sys.executable, "-I", "-c", start + code, description, *arguments],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip


CONNECT = """
for kind, call in ((socket.SOCK_STREAM, 'connect'), (socket.SOCK_DGRAM, 'connect')):
    with socket.socket(socket.AF_INET, kind) as one:
        try:
            getattr(one, call)(('127.0.0.1', int(sys.argv[2])))
        except OSError as error:
            print(kind.name, 'refused')
        else:
            print(kind.name, 'connected')
"""


def test_no_connection_can_be_made_without_a_network() -> None:
    if not process.network_can_be_left():
        pytest.skip("This host lets no process leave the network: allow user namespaces.")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        assert "SOCK_STREAM connected" in python_under(tied(), CONNECT, port)
        seen = python_under(tied(no_network=True), CONNECT, port)
    assert seen.split("\n")[:2] == ["SOCK_STREAM refused", "SOCK_DGRAM refused"]


OPEN = """
for path, mode in zip(sys.argv[2::2], sys.argv[3::2]):
    try:
        with open(path, mode):
            print('opened')
    except OSError as error:
        print(type(error).__name__)
"""


def test_only_the_named_files_are_in_reach(tmp_path: Path) -> None:
    if not process.files_can_be_left():
        pytest.skip("This host's kernel has no Landlock: use Linux 5.13 or later.")
    recording, output, neighbour = (tmp_path / name for name in ("recording", "output", "other"))
    for path in (recording, output, neighbour):
        path.write_text("x")
    (tmp_path / "link").symlink_to(neighbour)
    (tmp_path / "hard").hardlink_to(neighbour)
    wanted = [
        (recording, "rb", "opened"),
        (recording, "r+b", "PermissionError"),
        (output, "wb", "opened"),
        (neighbour, "rb", "PermissionError"),
        (tmp_path / "link", "rb", "PermissionError"),
        (tmp_path / "hard", "rb", "PermissionError"),
        (tmp_path / "new", "wb", "PermissionError"),
        (Path("/etc/passwd"), "rb", "PermissionError"),
        (Path("/proc/self/environ"), "rb", "PermissionError"),
    ]
    files = {"read": [str(recording)], "write": [str(output)]}
    asked = [word for path, mode, _ in wanted for word in (str(path), mode)]
    assert python_under(tied(files), OPEN, *asked).split() == [answer for *_, answer in wanted]


def test_nothing_of_the_workers_environment_reaches_a_guarded_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WAVER_SECRET_KEY", "hush")
    seen: list[str] = []
    command = process.guarded(["/usr/bin/env"], tied())
    with process.started(command) as running:
        process.follow(
            running, deadline=time.monotonic() + 20, on_stdout=seen.append, on_stderr=seen.append
        )
    assert {line.split("=")[0] for line in seen} == {"LC_ALL", "PATH"}


# The reader of originals


def test_a_file_that_keeps_the_reader_busy_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "busy.mp4"
    path.write_bytes(attacks._HEAD + box(b"moov", box(b"udta", box(b"free") * 8_000_000)))
    running = descendants(os.getpid())
    with pytest.raises(RefusedRecordingError, match="within 1 s of processor time") as refused:
        probe(path, limits=Limits(probe_seconds=1))
    assert str(refused.value).startswith("busy.mp4 ")
    assert set(descendants(os.getpid())) <= set(running)


def test_a_file_that_wants_all_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flood.webm"
    attacks.BINARIES["webm flood, hidden"][0](attacks.Scene(path, ""), path)
    with pytest.raises(RefusedRecordingError, match=r"memory|no picture that can be decoded"):
        probe(path, limits=Limits(probe_bytes=300 << 20))


def in_place_of_the_reader(monkeypatch: pytest.MonkeyPatch, code: str, limits: Limits) -> None:
    """Let the reader do what no known file makes it do."""
    description = process.description(
        cpu_seconds=limits.probe_seconds,
        file_bytes=0,
        memory_bytes=limits.probe_bytes,
        no_network=False,
        files=None,
        cpu_grace=1,
    )
    command = process.guarded([sys.executable, "-I", "-c", code], description)
    monkeypatch.setattr(probing, "_command", lambda *_: command)


@pytest.mark.parametrize(
    ("code", "error", "says"),
    [
        ("while True: pass", RefusedRecordingError, "within 1 s of processor time"),
        (
            "x = [bytes(1 << 20) for _ in range(300)]",
            RefusedRecordingError,
            "256 MiB of memory",
        ),
        ("import os; os.kill(os.getpid(), 11)", RefusedRecordingError, "crash .signal 11."),
        ("import os; os.kill(os.getpid(), 9)", MediaToolError, "killed from outside"),
        ("raise SystemExit(3)", MediaToolError, "ended with code 3"),
        ("import os; os.close(1); os.close(2); os._exit(0)", MediaToolError, "said nothing"),
        ("print('not JSON')", MediaToolError, "no answer that makes sense"),
        ('print(\'{"found": {"video": 1}}\')', MediaToolError, "no answer that makes sense"),
    ],
)
def test_a_reader_that_runs_wild_ends_with_a_sentence(
    code: str,
    error: type[Exception],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    limits = Limits(probe_seconds=1, probe_bytes=256 << 20)
    clip = attacks.whole(tmp_path / "clip.mp4")
    in_place_of_the_reader(monkeypatch, code, limits)
    with pytest.raises(error, match=says) as ended:
        probe(clip, limits=limits)
    assert str(ended.value).startswith("clip.mp4 ")


def test_a_reader_that_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clip = attacks.whole(tmp_path / "clip.mp4")
    asleep = f"[sys.executable, '-c', 'import time; time.sleep(300)', {str(clip)!r}]"
    code = f"import subprocess, sys; subprocess.run({asleep})"
    in_place_of_the_reader(monkeypatch, code, Limits())
    with pytest.raises(MediaCancelledError, match="was stopped: its job was cancelled"):
        probe(clip, cancelled=lambda: len(running_with(str(clip))) >= 2)
    assert wait_for(lambda: not running_with(str(clip)))
    monkeypatch.setattr(probing, "_WALL_PER_CPU", 0)
    with pytest.raises(MediaToolError, match="the disk or the machine is too busy"):
        probe(clip)
    assert wait_for(lambda: not running_with(str(clip)))


def test_the_reader_costs_a_fraction_of_a_second(tmp_path: Path) -> None:
    """A process of its own for each recording must not be what preparing it takes."""
    clip = attacks.whole(tmp_path / "clip.mp4")
    before = os.times()
    probe(clip)
    after = os.times()
    spent = after.children_user + after.children_system
    assert spent - before.children_user - before.children_system < 1.0


# ffmpeg


def test_what_a_recording_was_called_reaches_no_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The reader gets it as text for its sentences, ffmpeg not at all; neither gets a shell."""
    source = attacks.whole(tmp_path / "-i $(touch x) %03d.mp4")
    started: list[list[str]] = []
    start = process.started

    def note(command: list[str]) -> AbstractContextManager[subprocess.Popen[bytes]]:
        started.append(command)
        return start(command)

    monkeypatch.setattr(process, "started", note)
    normalise(source, tmp_path / "out", frame_us=frame_us, name="P1 ; reboot")
    reader, *conversions = started
    assert reader[1:4] == ["-I", "-m", "workers.media.inspection"]
    assert json.loads(reader[4])["name"] == "P1 ; reboot"
    assert len(reader) == 5
    assert conversions
    for command in conversions:
        assert not [one for one in command if "reboot" in one or "touch" in one]
        assert [one for one in command if one.startswith("file:")]


def test_memory_limit(tmp_path: Path) -> None:
    big = ffmpeg.input("anullsrc=r=48000:cl=mono", format="lavfi").output("-", format="null", t=1)
    with pytest.raises(MediaToolError, match=r"memory|failed with code|signal"):
        runner.run(big, limits=Limits(wall_seconds=30, memory_bytes=64 << 20))


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "while it is read": lambda _out: True,
    "while its sound is heard": lambda out: any(out.glob(".proxy-*/sound*")),
    "while it is converted": lambda out: any(
        path.stat().st_size for path in out.glob(f".proxy-*/{NAMES['video']}")
    ),
}


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(one, marks=() if one == "while it is converted" else pytest.mark.slow)
        for one in MOMENTS
    ],
)
def test_a_killed_worker_leaves_no_program_and_no_half_asset(moment: str, tmp_path: Path) -> None:
    source, out = tmp_path / "long.mp4", tmp_path / "out"
    clips.write_clip(source, clips.constant_pts(Fraction(30), 900), audio_seconds=30.0)
    program = (
        "import sys; from pathlib import Path\n"
        "from workers.media.normalise import normalise\n"
        "from waver.core.clock import frame_us\n"
        "normalise(Path(sys.argv[1]), Path(sys.argv[2]), frame_us=frame_us)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", program, str(source), str(out)], cwd=ROOT)
    try:
        begun = MOMENTS[moment]
        assert wait_for(lambda: len(running_with(str(tmp_path))) > 1 and begun(out), seconds=30)
        below = descendants(worker.pid)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(timeout=10)
        assert wait_for(lambda: not any(Path(f"/proc/{one}/cmdline").exists() for one in below))
        assert wait_for(lambda: running_with(str(tmp_path)) == [])
    finally:
        if worker.poll() is None:
            worker.kill()
            worker.wait(timeout=10)
    assert [path.name for path in out.glob("[!.]*")] == []
    assert sorted(path.name for path in tmp_path.iterdir() if path != out) == ["long.mp4"]


def test_administrators_see_what_keeps_recordings_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report_main() == 0
    seen = capsys.readouterr().out
    assert f"ffmpeg    {runner.version(runner.binary())}" in seen
    nothing = process.Defences(network=False, files=False)
    monkeypatch.setattr(process, "defences", lambda _program: nothing)
    assert report_main() == 0
    seen = capsys.readouterr().out
    assert "in reach: allow user namespaces" in seen
    assert "Landlock is missing" in seen
    monkeypatch.setenv("WAVER_FFMPEG", "/nowhere/ffmpeg")
    assert report_main() == 1
    assert "Reinstall Waver's environment" in capsys.readouterr().err
