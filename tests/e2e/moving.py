"""A video whose frames show their own number, as light and dark squares: the truth of stepping."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

RATE = Fraction(30_000, 1001)
FRAMES = 240
SQUARE = 32
BITS = 9


def coded_video(folder: Path, *, rate: Fraction = RATE) -> Path:
    """Write a film of FRAMES numbered frames, and the proxy that Waver makes of it.

    Square n (from the left) of a frame is light where bit n of the frame's number is 1.
    """
    import av
    import numpy as np

    from waver.core.clock import frame_us
    from workers.media.normalise import normalise

    source = folder / "numbered.mp4"
    width, height = SQUARE * BITS, 160
    with av.open(str(source), "w") as out:
        stream = out.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(FRAMES):
            picture = np.full((height, width, 3), 90, np.uint8)
            for bit in range(BITS):
                light = 235 if number >> bit & 1 else 16
                picture[:SQUARE, bit * SQUARE : (bit + 1) * SQUARE] = light
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    made = normalise(source, folder / "out", frame_us=frame_us)
    made.video.replace(folder / "proxy.mp4")
    facts = {
        "rate": str(made.rate),
        "frames": made.frame_count,
        "width": made.width,
        "height": made.height,
    }
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


# Reads the number that the video shows at this moment from its pixels.
READ_NUMBER = """
() => {
  const video = document.getElementById("video");
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(video, 0, 0);
  const side = video.videoWidth / BITS;
  let number = 0;
  for (let bit = 0; bit < BITS; bit++) {
    const [red] = pen.getImageData(Math.round((bit + 0.5) * side), Math.round(side / 2), 1, 1).data;
    if (red > 128) number += 1 << bit;
  }
  return number;
}
""".replace("BITS", str(BITS))
