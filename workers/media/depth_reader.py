"""Reads the depth of every picture of a recording: in a process of its own, with its hands tied.

`python -I -m workers.media.depth_reader REQUEST` prints one line of JSON: `{"found": …}` or
`{"refused": sentence}`. Started by `workers.media.depth`; REQUEST is as for `inspection`, and the
`index` of the video stream.
"""

from __future__ import annotations

import codecs
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from workers.media import guard
from workers.media.errors import RefusedRecordingError
from workers.media.inspection import opened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_GREY_16 = frozenset({"gray16le", "gray16be", "gray12le", "gray14le", "gray10le"})


def read(request: dict[str, Any]) -> dict[str, Any] | None:
    """Give the lowest and highest depth above 0 and the share measured; None for other pictures."""
    low, high, measured, pixels = None, None, 0, 0
    with opened(
        Path(request["path"]),
        container=request["container"],
        max_pixels=request["max_pixels"],
        name=request["name"],
    ) as source:
        stream = source.streams[request["index"]]
        stream.codec_context.thread_count = 1
        for frame in source.decode(stream):
            if frame.format.name not in _GREY_16:
                return None
            if frame.width * frame.height > request["max_pixels"]:
                raise RefusedRecordingError(
                    f"{request['name']} has pictures of {frame.width} × {frame.height} pixels, "
                    f"over the limit of {request['max_pixels']}. Scale the recording down."
                )
            depth = _values(frame)
            here = depth[depth > 0]
            pixels += depth.size
            measured += here.size
            if here.size:
                lowest, highest = int(here.min()), int(here.max())
                low = lowest if low is None else min(low, lowest)
                high = highest if high is None else max(high, highest)
    return {"low": low, "high": high, "measured": measured / pixels if pixels else 0.0}


def _values(frame: Any) -> NDArray[np.uint16]:
    """Give a picture's numbers as stored; rows may be padded."""
    import numpy as np

    plane = frame.planes[0]
    kind = ">u2" if frame.format.name.endswith("be") else "<u2"
    rows: NDArray[np.uint16] = np.frombuffer(plane, kind).reshape(
        plane.height, plane.line_size // 2
    )
    return rows[:, : plane.width].astype(np.uint16)


def main(request: dict[str, Any]) -> None:
    """Tie this process's hands, read the file, print what was found."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # with threads it could not leave the network
    import numpy as np

    tied = request["guard"]
    if tied["files"] is not None:  # parts of these libraries are loaded only when they are needed
        tied["files"]["read"] += [
            str(Path(str(part)).parent) for part in (av.__file__, np.__file__, codecs.__file__)
        ]
    try:
        guard.tie(tied)
    except OSError as error:
        sys.stderr.write(f"guard: {error}\n")
        raise SystemExit(125) from error
    answer: dict[str, Any]
    try:
        answer = {"found": read(request)}
    except RefusedRecordingError as refused:
        answer = {"refused": str(refused)}
    sys.stdout.write(f"{json.dumps(answer)}\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
