"""Depth pictures: the range that is there is measured and spread, the rest is left alone."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tests.media.clips import constant_pts, write_clip
from waver.core.clock import frame_us
from workers.media.depth import COLOURED, Depth
from workers.media.normalise import Proxy, normalise

pytestmark = pytest.mark.programs

FRAMES = 20


def write_depth(path: Path, pictures: list[np.ndarray]) -> Path:
    """Write 16-bit grey pictures as FFV1 in Matroska, 10 per second."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.height, stream.width = pictures[0].shape
        stream.pix_fmt = "gray16le"
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray16le")))
        out.mux(stream.encode())
    return path


def room(nearest: int, farthest: int) -> list[np.ndarray]:
    """Give pictures of a wall at `farthest`, something that comes to `nearest`, and holes."""
    pictures = []
    for n in range(FRAMES):
        picture = np.full((48, 66), farthest, np.uint16)
        picture[:, 22:44] = farthest - (farthest - nearest) * n // (FRAMES - 1)
        picture[:, 44:] = 0
        pictures.append(picture)
    return pictures


def prepared(source: Path, *, as_depth: bool = True) -> Proxy:
    return normalise(source, source.parent / "out", frame_us=frame_us, as_depth=as_depth)


def grey(proxy: Proxy) -> list[np.ndarray]:
    with av.open(str(proxy.video)) as source:
        return [frame.to_ndarray(format="gray") for frame in source.decode(video=0)]


def test_the_range_is_measured_exactly_and_spread_over_the_proxy(tmp_path):
    proxy = prepared(write_depth(tmp_path / "d.mkv", room(812, 4001)))
    assert proxy.frame_count == FRAMES
    assert {key: proxy.figures[key] for key in ("depth_lowest", "depth_highest")} == {
        "depth_lowest": 812, "depth_highest": 4001,
    }  # fmt: skip
    assert proxy.figures["depth_measured_share"] == pytest.approx(2 / 3, abs=1e-3)
    assert any("from 812 to 4001" in note for note in proxy.notes)
    pictures = grey(proxy)
    wall, something, hole = (pictures[-1][10, x] for x in (8, 33, 58))
    assert hole < 6 < 18 < wall < 30
    assert something > 248
    centre = [int(picture[10, 33]) for picture in pictures]
    assert centre == sorted(centre)
    assert max(np.diff(centre)) < 20  # it comes nearer evenly


def test_depth_as_colours_is_left_alone_and_said_so(tmp_path):
    source = write_clip(tmp_path / "c.mp4", constant_pts(30, 15))
    proxy = prepared(source)
    assert COLOURED in proxy.notes
    assert "depth_lowest" not in proxy.figures
    plain = normalise(source, tmp_path / "plain", frame_us=frame_us)
    assert (grey(plain)[7] == grey(proxy)[7]).all()


def test_nothing_measured_is_said(tmp_path):
    proxy = prepared(write_depth(tmp_path / "z.mkv", [np.zeros((48, 64), np.uint16)] * 5))
    assert any("Nothing was measured" in note for note in proxy.notes)
    assert "depth_lowest" not in proxy.figures


def test_one_distance_everywhere_is_no_division_by_zero():
    assert Depth(700, 700, 1.0).brightness.endswith("/1,0,65535))")
