"""One frame's face crop, read from the middle of the crops' tar file; nothing is unpacked."""

from __future__ import annotations

from functools import lru_cache

from waver.consent import policy
from waver.consent.models import Purpose
from waver.core import storage
from waver.core.clock import Span, frame_us
from waver.core.errors import Missing
from waver.recordings.models import Asset, Recording
from waver.recordings.subjects import subject_of
from waver.website.queries.recording import asset


def read(recording: Recording, *, frame: int, actor: str) -> bytes:
    """Give the JPEG of a frame's face crop.

    Raises ConsentRefused when consent does not cover that frame, Missing when it has no crop.
    """
    tar = asset(recording, Asset.Kind.CROPS)
    rate = recording.rate
    if rate is None or not 0 <= frame < (recording.frame_count or 0):
        raise Missing(f"This recording has no frame {frame}.")
    policy.require(
        Purpose.PROCESS,
        subject_of(recording, tar),
        span=Span(frame_us(frame, rate), frame_us(frame + 1, rate)),
        actor=actor,
    )
    index = asset(recording, Asset.Kind.CROP_INDEX)
    place = _places(index.blob.sha256, str(index.pk)).get(frame)
    if place is None:
        raise Missing(f"No face was cropped in frame {frame}: none was found there.")
    start, size = place
    return b"".join(storage.open_range(tar.blob, start=start, length=size))


@lru_cache(maxsize=16)
def _places(sha256: str, asset_id: str) -> dict[int, tuple[int, int]]:
    """Read an index (columns frame, offset, size): where each frame's JPEG lies in the tar file.

    Cached by the index's hash; a few hundred kilobytes for a recording of a minute.
    """
    import pyarrow.parquet

    row = Asset.objects.select_related("blob").get(pk=asset_id)
    # ParquetFile, because read_table loads all of pyarrow.dataset for a table this small.
    with (
        storage.materialise(row.blob, suffix=".parquet") as path,
        pyarrow.parquet.ParquetFile(path) as file,
    ):
        table = file.read(columns=["frame", "offset", "size"])
    columns = (table[name].to_pylist() for name in ("frame", "offset", "size"))
    return {frame: (offset, size) for frame, offset, size in zip(*columns, strict=True)}
