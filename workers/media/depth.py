"""How far a depth camera saw, and how its 16-bit pictures become brightness in a proxy.

A depth stream stores a distance (or a disparity) in each pixel, commonly FFV1 with `gray16le` in
Matroska; 0 means that nothing was measured. A proxy has 8 bits, so the range that occurs is spread
over them; the original keeps every value. Depth that was stored as colours is left as it is.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from workers.media import process
from workers.media.errors import MediaCancelledError, MediaToolError, RefusedRecordingError
from workers.media.limits import Limits
from workers.media.probe import Probe

_FULL = 65_535
# The farthest is still told from what was not measured, which is black.
_FARTHEST = 5_535


@dataclass(frozen=True, slots=True)
class Depth:
    """The range of a recording's depth, in the units of its file; 0, not measured, is no depth.

    `low` and `high` are None where nothing was measured at all; `measured` is the share of all
    pixels, 0 to 1, that were.
    """

    low: int | None
    high: int | None
    measured: float

    @property
    def brightness(self) -> str:
        """The proxy's grey as ffmpeg's `lut` computes it: the nearest is white, none is black."""
        low, high = self.low or 0, self.high or 0
        span = max(1, high - low)
        return f"if(eq(val,0),0,clip({_FULL}-(val-{low})*{_FULL - _FARTHEST}/{span},0,{_FULL}))"

    @property
    def figures(self) -> dict[str, int | float]:
        """The range for the researcher; left out where there is none."""
        found: dict[str, int | float] = {"depth_measured_share": round(self.measured, 4)}
        if self.low is not None and self.high is not None:
            found |= {"depth_lowest": self.low, "depth_highest": self.high}
        return found

    @property
    def note(self) -> str:
        """Say what the proxy shows of it."""
        if self.low is None:
            return "Nothing was measured in any of its depth pictures: all values are 0."
        return (
            f"Its depth goes from {self.low} to {self.high}, in the camera's units. The proxy has "
            "8 bits and shows near as bright, far as dark and what was not measured as black; the "
            "original keeps every value."
        )


COLOURED = (
    "Its depth was stored as colours or in 8 bits, so nothing can be said about distances; the "
    "proxy shows it as it came."
)


def measure(
    source: Path,
    found: Probe,
    *,
    limits: Limits,
    name: str,
    cancelled: Callable[[], bool] | None = None,
) -> Depth | None:
    """Read every picture of a depth recording; None where it is not 16-bit grey.

    Done like `probe`, in a process of its own with its hands tied. Raises RefusedRecordingError
    for a file that cannot be read within the limits, MediaToolError where the reader fails,
    MediaCancelledError where `cancelled()` turns true.
    """
    said: deque[str] = deque(maxlen=1)
    complaints: deque[str] = deque(maxlen=20)
    files = {"read": [str(source.absolute())], "write": []} if process.files_can_be_left() else None
    request = {
        "path": str(source.absolute()),
        "name": name,
        "container": found.container,
        "max_pixels": limits.max_pixels,
        "index": found.video.index,
        "guard": json.loads(
            process.description(
                cpu_seconds=limits.cpu_seconds,
                file_bytes=0,
                memory_bytes=limits.probe_bytes,
                no_network=process.network_can_be_left(),
                files=files,
            )
        ),
    }
    command = [sys.executable, "-I", "-m", "workers.media.depth_reader", json.dumps(request)]
    with process.started(command) as reader:
        try:
            returned = process.follow(
                reader,
                deadline=time.monotonic() + limits.wall_seconds,
                on_stdout=said.append,
                on_stderr=complaints.append,
                cancelled=cancelled,
            )
        except process.TooLong:
            raise MediaToolError(
                f"The depth of {name} could not be measured within {limits.wall_seconds:g} s. Cut "
                "it into shorter recordings."
            ) from None
        except process.Cancelled:
            raise MediaCancelledError(
                f"Reading {name} was stopped: its job was cancelled."
            ) from None
    if returned < 0:
        raise RefusedRecordingError(
            f"{name} could not be read to its end (signal {-returned}): it is damaged. Copy it "
            "again from the device that recorded it."
        )
    if returned or not said:
        last = complaints[-1] if complaints else "it said nothing"
        raise MediaToolError(
            f"The depth of {name} could not be measured: the reader ended with code {returned} "
            f"({last}). Report this to the administrator."
        )
    answer = json.loads(said[0])
    if "refused" in answer:
        raise RefusedRecordingError(answer["refused"])
    return None if answer["found"] is None else Depth(**answer["found"])
