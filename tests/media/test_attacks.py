"""The attack corpus: whatever a file asks for, nobody else's recording comes out, nothing is left.

Every attack goes through the public door, on the ffmpeg of imageio-ffmpeg and on Debian's.
"""

from __future__ import annotations

import os
import resource
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import av
import ffmpeg  # noqa: TID251 - these tests play the attacker
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from waver.core.clock import frame_us
from workers.media import runner
from workers.media.errors import MediaError, RefusedRecordingError
from workers.media.normalise import Proxy, normalise
from workers.media.runner import Limits
from workers.processes import descendants

from . import attacks, canary, clips
from .attacks import Scene
from .canary import shows_canary

pytestmark = pytest.mark.programs

DEBIANS = Path("/usr/bin/ffmpeg")
#: Far more than any attack takes, so that a busy machine is no finding.
LONGEST_SECONDS = 60


@pytest.fixture(scope="module", params=["imageio-ffmpeg", "Debian"], autouse=True)
def program(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run on the ffmpeg that Waver brings, then on the older one of the distribution."""
    with pytest.MonkeyPatch.context() as changed:
        if request.param == "imageio-ffmpeg":
            changed.delenv("WAVER_FFMPEG", raising=False)
        elif DEBIANS.exists():
            changed.setenv("WAVER_FFMPEG", str(DEBIANS))
        else:
            pytest.skip("Debian's ffmpeg is absent: install the package `ffmpeg` to test with it.")
        yield runner.binary()


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, list[str]]]:
    """Listen on the loopback; give the address and who called."""
    with canary.listening() as heard:
        yield heard


@pytest.fixture(scope="module")
def neighbour(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give another participant's recording."""
    return canary.write(tmp_path_factory.mktemp("canary") / "victim.mp4").read_bytes()


@pytest.fixture
def scene(tmp_path: Path, neighbour: bytes, server: tuple[str, list[str]]) -> Iterator[Scene]:
    """Put the neighbour beside the upload and into the storage; in the end nobody was called."""
    url, calls = server
    running = descendants(os.getpid())
    for folder in (tmp_path / "uploads", tmp_path / "storage"):
        folder.mkdir()
        for name in ("victim.mp4", "victim.ts", "victim.mkv"):
            (folder / name).write_bytes(neighbour)
    yield Scene(victim=tmp_path / "uploads" / "victim.mp4", url=url)
    assert calls == []
    assert set(descendants(os.getpid())) <= set(running)


def attempt(source: Path, out: Path, **options: object) -> Proxy | MediaError:
    """Normalise; hold the end, whichever it is, to what holds for every file."""
    before = sorted(source.parent.iterdir())
    began = monotonic()
    try:
        ended: Proxy | MediaError = normalise(source, out, frame_us=frame_us, **options)
    except MediaError as error:
        ended = error
    left = list(out.iterdir()) if out.exists() else []
    if isinstance(ended, MediaError):
        assert left == []
        assert str(ended).endswith(".")
        assert str(source.parent) not in str(ended)
    assert not [path.name for path in left if shows_canary(path)]
    assert not [path.name for path in left if b"<script>" in path.read_bytes()]
    assert monotonic() - began < LONGEST_SECONDS
    assert sorted(source.parent.iterdir()) == before
    return ended


def past_the_probe(source: Path, out: Path) -> None:
    """Give the file to ffmpeg without a probe: it may fail, but shows nothing of the neighbour."""
    leak = out / "leak.mkv"
    with runner.isolated(source, work_dir=out) as alone:
        try:
            runner.run(
                ffmpeg.input(str(alone)).output(str(leak), vcodec="mpeg4", acodec="flac"),
                limits=Limits(wall_seconds=30),
            )
        except MediaError:
            assert not leak.exists()
        else:
            assert not shows_canary(leak)


def test_the_canary_is_seen_where_nothing_guards_it(
    program: str, scene: Scene, tmp_path: Path
) -> None:
    """The corpus can fail: without Waver's guards, a list of files does leak the neighbour."""
    source, leak = tmp_path / "uploads" / "upload.mp4", tmp_path / "leak.mkv"
    attacks.text("ffconcat")(scene, source)
    subprocess.run(
        [program, "-nostdin", "-v", "error", "-i", str(source), "-c:v", "mpeg4", str(leak)],
        check=True,
        timeout=60,
    )
    assert shows_canary(leak)


@pytest.mark.parametrize("attack", attacks.TEXTS)
def test_a_text_never_counts_as_a_video(attack: str, scene: Scene, tmp_path: Path) -> None:
    for ending in ("mp4", "webm", "avi"):
        source = tmp_path / "uploads" / f"upload.{ending}"
        attacks.text(attack)(scene, source)
        ended = attempt(source, tmp_path / "out")
        assert isinstance(ended, RefusedRecordingError)
        assert "is a text file, not a video" in str(ended)
    past_the_probe(source, tmp_path)


@pytest.mark.parametrize("attack", attacks.BINARIES)
def test_a_hostile_video_is_refused_or_shows_its_own_pictures(
    attack: str, scene: Scene, tmp_path: Path
) -> None:
    make, must_be_refused = attacks.BINARIES[attack]
    source = tmp_path / "uploads" / "upload"
    make(scene, source)
    ended = attempt(source, tmp_path / "out")
    if must_be_refused:
        assert isinstance(ended, RefusedRecordingError), ended
    elif isinstance(ended, Proxy):
        assert set(clips.numbers_in(ended.video)) <= set(range(attacks.FRAMES))
    if source.stat().st_size and attack not in attacks.HEAVY:
        past_the_probe(source, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "concat:{path}|{path}",
        "file:{path}",
        "subfile,,start,0,end,0,,:{path}",
        "async:{path}",
        "crypto:{path}",
        "{url}/victim.mp4",
        "data:text/plain,hello",
        "pipe:0",
        "testsrc",
        "",
    ],
)
def test_what_only_ffmpeg_would_find_is_not_there(name: str, scene: Scene, tmp_path: Path) -> None:
    source = Path(name.format(path=scene.victim, url=scene.url))
    with pytest.raises(RefusedRecordingError, match=r"cannot be read|is a folder"):
        normalise(source, tmp_path / "out", frame_us=frame_us)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("link", "is a link to another file"),
        ("dangling link", "is a link to another file"),
        ("folder", "is a folder"),
        ("pipe", "is a device or a pipe"),
        ("device", "is a device or a pipe"),
        ("socket", "is a device or a pipe"),
    ],
)
def test_only_plain_files_are_opened(kind: str, says: str, scene: Scene, tmp_path: Path) -> None:
    source = tmp_path / "uploads" / "upload.mp4"
    with socket.socket(socket.AF_UNIX) as listening:
        match kind:
            case "link":
                source.symlink_to(scene.victim)
            case "dangling link":
                source.symlink_to("/nowhere")
            case "folder":
                source.mkdir()
            case "pipe":
                os.mkfifo(source)
            case "device":
                source = Path("/dev/zero")
            case "socket":
                with pytest.MonkeyPatch.context() as changed:
                    changed.chdir(source.parent)  # a socket's whole path must be short
                    listening.bind(source.name)
        with pytest.raises(RefusedRecordingError, match=says):
            normalise(source, tmp_path / "out", frame_us=frame_us)
        with (
            pytest.raises(RefusedRecordingError, match=says),
            runner.isolated(source, work_dir=tmp_path),
        ):
            pass
    assert not (tmp_path / "out").exists()


def test_a_second_name_of_the_same_file_is_left_as_it_was(scene: Scene, tmp_path: Path) -> None:
    """What the storage lends is such a name of the original: it must not be written through."""
    original = attacks.whole(tmp_path / "storage" / "original")
    before = original.read_bytes()
    source = tmp_path / "uploads" / "upload.mp4"
    os.link(original, source)
    assert isinstance(attempt(source, tmp_path / "out"), Proxy)
    assert original.read_bytes() == before
    assert original.stat().st_nlink == 2


@pytest.mark.parametrize("container", ["mp4", "mov", "webm"])
def test_truncated_at_every_tenth(container: str, scene: Scene, tmp_path: Path) -> None:
    data = attacks.whole(tmp_path / "whole", container).read_bytes()
    source = tmp_path / "uploads" / f"upload.{container}"
    for tenth in range(10):
        source.write_bytes(data[: len(data) * tenth // 10])
        ended = attempt(source, tmp_path / "out")
        assert isinstance(ended, RefusedRecordingError)
        assert ("is cut off" if tenth else "is empty (0 bytes)") in str(ended)


@pytest.mark.slow
@pytest.mark.parametrize("container", ["mp4", "matroska", "webm", "avi"])
@settings(
    max_examples=examples(25),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=20))
def test_damage_anywhere_ends_in_a_proxy_or_a_sentence(
    container: str, changes: list[tuple[float, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    source = folder / "uploads" / "upload"
    source.parent.mkdir()
    data = bytearray(attacks.whole(folder / "whole", container).read_bytes())
    # what describes the pictures is hit more often than the pictures
    start, end = (data.index(b"moov"), len(data)) if container == "mp4" else (0, 1000)
    for place, value in changes:
        data[min(int(start + place * (end - start)), len(data) - 1)] = value
    source.write_bytes(data)
    attempt(source, folder / "out")


def test_a_single_picture_of_12_000_by_12_000(scene: Scene, tmp_path: Path) -> None:
    """The real one, 144 million pixels in a small file: neither reader takes the memory for it."""
    source = tmp_path / "uploads" / "flood.mp4"
    with av.open(str(source), "w", format="mp4") as out:
        stream = out.add_stream("png", rate=30)
        stream.width = stream.height = 12_000
        stream.pix_fmt = "monob"
        black = av.VideoFrame(12_000, 12_000, "monob")
        black.planes[0].update(bytes(black.planes[0].buffer_size))
        out.mux(stream.encode(black))
        out.mux(stream.encode())
    assert source.stat().st_size < 1_000_000
    ended = attempt(source, tmp_path / "out")
    assert "over the limit of 35000000 pixels" in str(ended)
    past_the_probe(source, tmp_path)


def test_the_whole_corpus_took_little_memory() -> None:
    """Comes last: no process that read a hostile file held more than a picture or two."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert peak < 1024**2  # KiB
