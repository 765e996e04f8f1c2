"""EDF and EDF+: held against files written byte by byte, and against an independent library."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.signals.files import Signal, write_edf
from tests.signals.test_csv import rows_of
from workers.signals.description import Description
from workers.signals.errors import SignalError
from workers.signals.extract import Signals, extract


def read(path: Path, **said: str) -> Signals:
    return extract(path, path.parent, description=Description.read(**said))


def test_every_signal_has_its_own_rate_unit_and_scale(tmp_path):
    path = write_edf(
        tmp_path / "chest.edf",
        [Signal("ECG", "mV", samples=4), Signal("Temp", "degC", 1, ("30", "40"), ("0", "100"))],
        [[[-1000, 0, 500, 1000], [50]], [[1, 2, 3, 4], [100]]],
        seconds="0.5",
    )
    found = read(path)
    ecg, temperature = found.channels
    assert (ecg.channel.name, ecg.channel.unit, ecg.channel.rate) == ("ECG", "mV", 8)
    assert (temperature.channel.unit, temperature.channel.rate) == ("degC", 2)
    assert rows_of(found)[:5] == [(0, -100.0), (125_000, 0.0), (250_000, 50.0), (375_000, 100.0),
                                  (500_000, pytest.approx(0.1))]  # fmt: skip
    assert rows_of(found, 1) == [(0, 35.0), (500_000, 40.0)]
    assert found.notes == ()
    assert found.figures["format"] == "EDF"


def test_a_rate_is_the_rational_that_the_header_says(tmp_path):
    path = write_edf(tmp_path / "a.edf", [Signal("x", samples=1)], [[[n]] for n in range(4)],
                     seconds="0.333333")  # fmt: skip
    found = read(path)
    assert found.channels[0].channel.rate == Fraction(1_000_000, 333_333)
    assert [us for us, _ in rows_of(found)] == [0, 333_333, 666_666, 999_999]


def test_a_discontinuous_file_keeps_its_gaps(tmp_path):
    tals = [b"+10.5\x14\x14\x00+10.7\x1525\x14arousal\x14\x00", b"+12\x14\x14\x00",
            b"+13.0000004\x14\x14\x00"]  # fmt: skip
    path = write_edf(tmp_path / "gap.edf", [Signal("x", samples=2)], [[[1, 2]], [[3, 4]], [[5, 6]]],
                     kind="EDF+D", tals=tals)  # fmt: skip
    found = read(path)
    assert [us for us, _ in rows_of(found)] == [
        0, 500_000, 1_500_000, 2_000_000, 2_500_000, 3_000_000,
    ]  # fmt: skip
    interrupted, events = found.notes
    assert "interrupted 2 times" in interrupted  # 1.5 s after 0, and 0.4 µs late
    assert "holds 1 event of its own" in events
    assert len(found.channels) == 1


def test_many_short_records_become_few_row_groups(tmp_path):
    import pyarrow.parquet as pq

    count = 3_000
    tals = [b"+%d\x14\x14\x00" % (2 * n) for n in range(count)]
    records = [[[n % 9], [1]] for n in range(count)]
    signals = [Signal("x", samples=1), Signal("y", samples=1)]
    path = write_edf(tmp_path / "many.edf", signals, records, kind="EDF+D", tals=tals, tal_bytes=12)
    found = read(path)
    assert pq.ParquetFile(found.table).metadata.num_row_groups == 2
    assert rows_of(found)[-1] == (2_000_000 * (count - 1), pytest.approx((count - 1) % 9 / 10))
    assert f"interrupted {count - 1} times" in found.notes[0]


def test_a_continuous_edf_plus_file_counts_from_its_first_sample(tmp_path):
    path = write_edf(tmp_path / "c.edf", [Signal("x", samples=2)], [[[1, 2]], [[3, 4]]],
                     kind="EDF+C", tals=[b"+0.35\x14\x14\x00", b"+1.35\x14\x14\x00"])  # fmt: skip
    assert [us for us, _ in rows_of(read(path))] == [0, 500_000, 1_000_000, 1_500_000]


def test_what_the_records_said_is_not_needed_and_an_unfinished_header_is_told(tmp_path):
    path = write_edf(tmp_path / "a.edf", [Signal("x", samples=1)], [[[1]], [[2]]], claimed="-1")
    notes = " ".join(read(path, rate="4").notes)
    assert "says itself how it was sampled" in notes
    assert "header was never finished" in notes
    path = write_edf(tmp_path / "b.edf", [Signal("x", samples=1)], [[[1]], [[2]]], claimed="1")
    found = read(path)
    assert found.channels[0].samples == 1
    assert "only the first 1 were read" in found.notes[0]


def damaged(folder: Path, at: int, text: bytes) -> Path:
    path = write_edf(folder / "x.edf", [Signal("x", samples=1)], [[[1]], [[2]]])
    data = bytearray(path.read_bytes())
    data[at : at + len(text)] = text
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize(
    ("at", "text", "says"),
    [
        (252, b"9999", "number of signals"),
        (252, b"0   ", "number of signals"),
        (252, b"-1  ", "number of signals"),
        (236, b"99999999", "is cut off: 2 of its 99999999 records"),
        (236, b"0       ", "holds no samples"),
        (244, b"0       ", "last 0 s"),
        (244, b"-1      ", "last -1 s"),
        (244, b"1e99    ", "must lie above 0"),
        (244, b"90000   ", "longer than a day"),
        (244, b"abc\x07    ", "is no number: “abc\\?”"),
        (244, b"0.000001", None),
        (256 + 104, b"nan     ", "scale of “x” .* is no number"),
        (256 + 112, b"-100    ", "which is no scale"),
        (256 + 216, b"99999999", "samples per record"),
        (256 + 216, b"16777216", "bytes; 16777216 is the most"),
        (256 + 216, b"0       ", "samples per record"),
    ],
)
def test_a_hostile_header_costs_nothing_and_gets_a_sentence(tmp_path, at, text, says):
    path = damaged(tmp_path, at, text)
    if says is None:
        assert read(path).channels[0].channel.rate == 1_000_000
        return
    with pytest.raises(SignalError, match=says):
        read(path)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    whole = write_edf(tmp_path / "w.edf", [Signal("x"), Signal("y")], [[[1] * 4] * 2] * 3)
    data = whole.read_bytes()
    cut = tmp_path / "cut.edf"
    for size in [*range(9, len(data), 37), len(data) - 1]:
        cut.write_bytes(data[:size])
        with pytest.raises(SignalError):
            read(cut)


@pytest.mark.parametrize(
    ("kind", "tals", "says"),
    [
        ("EDF+D", None, "no annotations"),
        ("EDF+D", [b"\x00", b"\x00"], "Record 1 .* does not say when it begins"),
        ("EDF+D", [b"+0\x14\x14\x00", b"+0.5\x14\x14\x00"], "begins before"),
        ("EDF+D", [b"+0\x14\x14\x00", b"+99999\x14\x14\x00"], "more than a day"),
    ],
)
def test_records_without_an_order_are_refused(tmp_path, kind, tals, says):
    path = write_edf(
        tmp_path / "d.edf", [Signal("x", samples=1)], [[[1]], [[2]]], kind=kind, tals=tals
    )
    with pytest.raises(SignalError, match=says):
        read(path)


@given(data=st.binary(min_size=0, max_size=1200))
def test_noise_after_the_magic_is_never_more_than_a_sentence(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "noise.edf"
    path.write_bytes(b"0       " + data)
    with pytest.raises(SignalError):
        read(path)


@pytest.mark.parametrize("rate", [1, 4, 32.5, 256])
def test_what_a_library_writes_is_read_the_same(tmp_path, rate):
    edfio = pytest.importorskip("edfio", reason="The reference for EDF files is not installed.")
    import numpy as np

    rng = np.random.default_rng(7)
    written = rng.normal(0, 20, int(rate * 40))
    signal = edfio.EdfSignal(written, sampling_frequency=rate, label="EDA", physical_dimension="uS")
    notes = [edfio.EdfAnnotation(1.5, None, "start")]
    path = tmp_path / "lib.edf"
    edfio.Edf([signal], annotations=notes).write(path)
    found = read(path)
    theirs = edfio.read_edf(path).signals[0]
    ours = np.array([value for _, value in rows_of(found)])
    np.testing.assert_allclose(ours, theirs.data, rtol=0, atol=1e-9)
    assert float(found.channels[0].channel.rate) == theirs.sampling_frequency
    assert found.channels[0].channel.unit == "uS"
