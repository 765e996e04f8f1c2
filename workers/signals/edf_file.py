"""Sensor recordings in the European Data Format, EDF and EDF+, read a few records at a time.

Kemp et al., Electroencephalography and Clinical Neurophysiology 82 (1992) 391-393, and Kemp and
Olivan, Clinical Neurophysiology 114 (2003) 1755-1761 (EDF+). A header of fixed text fields, then
records of 16-bit numbers. Read here and not by a library, because the sampling rate must stay the
rational that the header says, the gaps of a discontinuous file must show, and nothing that a header
claims may cost memory; tests hold it against one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from workers.signals.description import (
    MOST_CHANNELS,
    Description,
    checked_rate,
    name_and_unit,
    refuse_number_of_channels,
    told_apart,
)
from workers.signals.errors import SignalError
from workers.signals.samples import MICROSECONDS, Channel, Piece, sample_times

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAGIC = b"0       "
_HEAD = 256  # bytes, and as many again for each signal
# Lengths of the fields of one signal, all signals' labels first, then all transducers, and so on.
_FIELDS = {
    "label": 16, "transducer": 80, "unit": 8, "physical_min": 8, "physical_max": 8,
    "digital_min": 8, "digital_max": 8, "filter": 80, "samples": 8, "reserved": 32,
}  # fmt: skip
_ANNOTATIONS = "EDF Annotations"
_LARGEST_RECORD = 16 * 2**20  # bytes
_CHUNK = 65_536  # samples in memory at once, or one record
_LONGEST_US = 24 * 3600 * MICROSECONDS
_DECIMAL = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{0,15})?(?:[eE][+-]?[0-9]{1,2})?")
_ONSET = re.compile(rb"([+-][0-9]{1,12}(?:\.[0-9]{0,12})?)(?:\x15[0-9.]*)?\x14")


@dataclass(frozen=True, slots=True)
class _Signal:
    """One signal of the file: where it lies in a record, and how its numbers become values."""

    channel: Channel
    rate: Fraction
    first: int
    samples: int
    gain: float
    offset: float


class EdfFile:
    """An EDF or EDF+ file. Its 0 is its first sample; the date in its header is not used.

    Raises SignalError for what is none, or is damaged.
    """

    def __init__(
        self,
        path: Path,
        description: Description | None = None,
        *,
        name: str | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> None:
        self.shown = name or path.name
        self.notes: list[str] = []
        self._path, self._on_bytes = path, on_bytes or (lambda _: None)
        self._zero = self._ends = Fraction(0)  # of a discontinuous file's records, in seconds
        self._gaps = self._events = 0
        with path.open("rb") as stream:
            self._read_header(stream, path.stat().st_size)
        self.channels = tuple(signal.channel for signal in self._signals)
        if description is not None and description != Description():
            self.notes.append(
                "An EDF file says itself how it was sampled, so the rate, channels and unit in the "
                "manifest were not used."
            )

    def pieces(self) -> Iterator[Piece]:
        """Give all samples, as many records at a time as make some ten thousand of them."""
        import numpy as np

        at_once = max(1, _CHUNK // max(1, self._width))
        if self._discontinuous:
            at_once = 1
        with self._path.open("rb") as stream:
            stream.seek(self._header_bytes)
            for first in range(0, self._records, at_once):
                count = min(at_once, self._records - first)
                raw = stream.read(2 * self._width * count)
                if len(raw) < 2 * self._width * count:
                    raise SignalError(f"{self.shown} became shorter while it was read.")
                records = np.frombuffer(raw, "<i2").reshape(count, self._width)
                start = self._start_of(records, first)
                for number, signal in enumerate(self._signals):
                    taken = records[:, signal.first : signal.first + signal.samples].reshape(-1)
                    value = taken * signal.gain + signal.offset
                    yield Piece(number, self._times(signal, first, len(taken), start), value)
                self._on_bytes(stream.tell())
        self._say()

    def _times(
        self, signal: _Signal, record: int, count: int, start: Fraction | None
    ) -> NDArray[np.int64]:
        if start is None:
            return sample_times(record * signal.samples, count, signal.rate)
        return sample_times(0, count, signal.rate, start=start)

    def _start_of(self, records: NDArray[np.int16], first: int) -> Fraction | None:
        """Count events, and give when a record of a discontinuous file begins, in seconds."""
        if self._tal is None:
            return None
        start = None
        for record in records:
            raw = record[self._tal].tobytes()
            self._events += _events_in(raw)
            if self._discontinuous:
                start = self._onset(raw, first)
        return start

    def _onset(self, raw: bytes, record: int) -> Fraction:
        found = _ONSET.match(raw)
        if found is None:
            raise SignalError(
                f"Record {record + 1} of {self.shown} does not say when it begins, though the file "
                "is discontinuous (EDF+D). Export it again."
            )
        onset = Fraction(found[1].decode("ascii"))
        if record == 0:
            self._zero = onset
        begins = onset - self._zero
        if begins < self._ends:
            raise SignalError(
                f"Record {record + 1} of {self.shown} begins before the one above it ends. Export "
                "the file again."
            )
        if (begins + self._seconds) * MICROSECONDS > _LONGEST_US:
            raise SignalError(f"{self.shown} spans more than a day. Cut it into shorter files.")
        self._gaps += begins > self._ends
        self._ends = begins + self._seconds
        return begins

    # ---- the header ----

    def _read_header(self, stream: BinaryIO, size: int) -> None:
        head = stream.read(_HEAD)
        if len(head) < _HEAD or not head.startswith(MAGIC):
            raise SignalError(f"{self.shown} is no EDF file, or is cut off in its header.")
        count = self._whole(head[252:256], "number of signals", 1, MOST_CHANNELS + 16)
        self._header_bytes = _HEAD * (1 + count)
        fields = stream.read(_HEAD * count)
        if len(fields) < _HEAD * count:
            raise SignalError(f"{self.shown} is cut off in its header. Copy it again.")
        kind = head[192:197].decode("latin-1")
        self._seconds = self._exact(head[244:252], "duration of a record")
        self._lay_out(_columns(fields, count), is_plus=kind.startswith("EDF+"))
        self._discontinuous = kind == "EDF+D"
        if self._discontinuous and self._tal is None:
            raise SignalError(
                f"{self.shown} is discontinuous (EDF+D) but has no annotations that say when its "
                "records begin. Export it again."
            )
        self._count_records(head[236:244], size)

    def _lay_out(self, columns: dict[str, list[str]], *, is_plus: bool) -> None:
        """Say where each signal lies in a record, and where the first annotations do."""
        samples = [self._whole(text.encode("latin-1"), "samples per record", 1, _LARGEST_RECORD)
                   for text in columns["samples"]]  # fmt: skip
        ends = list(accumulate(samples))
        self._width = ends[-1]
        if 2 * self._width > _LARGEST_RECORD:
            raise SignalError(
                f"{self.shown} claims records of {2 * self._width} bytes; {_LARGEST_RECORD} is the "
                "most. It is damaged, or no EDF file."
            )
        tals = [n for n, label in enumerate(columns["label"]) if is_plus and label == _ANNOTATIONS]
        self._tal = slice(ends[tals[0]] - samples[tals[0]], ends[tals[0]]) if tals else None
        ours = [n for n in range(len(samples)) if n not in tals]
        refuse_number_of_channels(len(ours), self.shown)
        if self._seconds <= 0:
            raise SignalError(
                f"{self.shown} says that its records last {self._seconds} s, so its samples have "
                "no times. Export it again."
            )
        names = told_apart([name_and_unit(columns["label"][n])[0] or f"signal {n + 1}"
                            for n in ours])  # fmt: skip
        self._signals = tuple(
            self._signal(name, {key: texts[n] for key, texts in columns.items()},
                         ends[n] - samples[n], samples[n])
            for name, n in zip(names, ours, strict=True)
        )  # fmt: skip

    def _signal(self, name: str, text: dict[str, str], first: int, samples: int) -> _Signal:
        low, high = (self._real(text[f"physical_{end}"], name) for end in ("min", "max"))
        lowest, highest = (self._real(text[f"digital_{end}"], name) for end in ("min", "max"))
        if not lowest < highest or low == high:
            raise SignalError(
                f"The signal “{name}” of {self.shown} says that {lowest:g} to {highest:g} stand "
                f"for {low:g} to {high:g}, which is no scale. Export the file again."
            )
        gain = (high - low) / (highest - lowest)
        rate = checked_rate(Fraction(samples) / self._seconds, f"The rate of “{name}”")
        unit = name_and_unit(text["unit"])[0]
        return _Signal(Channel(name, unit, rate), rate, first, samples, gain, low - gain * lowest)

    def _count_records(self, claimed: bytes, size: int) -> None:
        there = (size - self._header_bytes) // (2 * self._width)
        records = self._whole(claimed, "number of records", -1, 10**8)
        if records > there:
            raise SignalError(
                f"{self.shown} is cut off: {there} of its {records} records are there. Copy it "
                "again from the device that recorded it."
            )
        if records == -1:
            self.notes.append("Its header was never finished, so all records that are there count.")
        elif records < there:
            self.notes.append(
                f"It says that it holds {records} records, but there are {there}; only the first "
                f"{records} were read."
            )
        self._records = there if records == -1 else records
        if not self._records:
            raise SignalError(f"{self.shown} holds no samples. Export it again.")
        if self._records * self._seconds * MICROSECONDS > _LONGEST_US:
            raise SignalError(f"{self.shown} lasts longer than a day. Cut it into shorter files.")

    def _exact(self, raw: bytes, called: str) -> Fraction:
        text = raw.decode("latin-1").strip()
        if not _DECIMAL.fullmatch(text):
            raise SignalError(
                f"The {called} in the header of {self.shown} is no number: “{_clean(text)}”. The "
                "file is damaged, or no EDF file."
            )
        return Fraction(text)

    def _real(self, text: str, name: str) -> float:
        return float(self._exact(text.encode("latin-1"), f"scale of “{name}”"))

    def _whole(self, raw: bytes, called: str, least: int, most: int) -> int:
        exact = self._exact(raw, called)
        if exact.denominator != 1 or not least <= exact <= most:
            raise SignalError(
                f"The {called} in the header of {self.shown}, {exact}, cannot be: it is a whole "
                f"number from {least} to {most}. The file is damaged, or has more than Waver reads."
            )
        return int(exact)

    def _say(self) -> None:
        if self._gaps:
            self.notes.append(
                f"The recording was interrupted {self._gaps} "
                f"time{'s' if self._gaps > 1 else ''}; nothing is drawn in between."
            )
        if self._events:
            self.notes.append(
                f"It also holds {self._events} event{'s' if self._events > 1 else ''} of its own "
                "(EDF+ annotations). They are not shown here; they stay in the original file."
            )


def _columns(fields: bytes, count: int) -> dict[str, list[str]]:
    """Cut the header's fields apart: each field of all signals stands together."""
    found, place = {}, 0
    for name, length in _FIELDS.items():
        found[name] = [
            fields[place + n * length : place + (n + 1) * length].decode("latin-1").strip()
            for n in range(count)
        ]
        place += count * length
    return found


def _events_in(raw: bytes) -> int:
    """Count the texts in a record's annotations; the empty one only keeps the time."""
    lists = (part.split(b"\x14")[1:] for part in raw.split(b"\x00"))
    return sum(bool(text) for texts in lists for text in texts)


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:40]
