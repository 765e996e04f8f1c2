"""Sensor tables: what is read is what was written, and what is wrong is named by its line."""

from __future__ import annotations

import json
import tracemalloc
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waver.core.clock import frame_us
from workers.signals.description import Description, name_and_unit
from workers.signals.errors import SignalError
from workers.signals.extract import Signals, extract
from workers.signals.samples import sample_times

rates = st.builds(Fraction, st.integers(1, 10**6), st.integers(1, 10**4)).filter(
    lambda rate: rate <= 10**6
)


def read(folder: Path, text: str | bytes, **said: str) -> Signals:
    source = folder / "wrist.csv"
    source.write_bytes(text if isinstance(text, bytes) else text.encode())
    return extract(source, folder, description=Description.read(**said))


def rows_of(found: Signals, channel: int = 0) -> list[tuple[int, float | None]]:
    import pyarrow.parquet as pq

    table = pq.read_table(found.table).to_pylist()
    return [(row["time_us"], row["value"]) for row in table if row["channel"] == channel]


@given(rate=rates, first=st.integers(0, 10**7), count=st.integers(1, 50))
def test_a_sample_lies_where_the_one_clock_rule_says(rate, first, count):
    expected = [frame_us(n, rate) for n in range(first, first + count)]
    assert sample_times(first, count, rate).tolist() == expected


@given(
    rate=rates, first=st.integers(0, 10**6), start=st.fractions(-1000, 1000, max_denominator=10**9)
)
def test_a_start_is_added_before_anything_is_rounded(rate, first, start):
    (us,) = sample_times(first, 1, rate, start=start).tolist()
    exact = 10**6 * (start + first / rate)
    assert us == (2 * exact + 1) // 2


def test_evenly_sampled_columns_get_names_units_and_times(tmp_path):
    found = read(
        tmp_path, "heart rate [bpm],EDA (µS)\n71,0.5\n72,\n73,0.7\n", rate="4", unit="ignored"
    )
    first, second = found.channels
    assert (first.channel.name, first.channel.unit, first.channel.rate) == ("heart rate", "bpm", 4)
    assert (second.channel.name, second.channel.unit) == ("EDA", "µS")
    assert rows_of(found) == [(0, 71.0), (250_000, 72.0), (500_000, 73.0)]
    assert rows_of(found, 1) == [(0, 0.5), (250_000, None), (500_000, 0.7)]
    assert (second.missing, second.minimum, second.maximum) == (1, 0.5, 0.7)
    assert (first.start_us, first.end_us) == (0, 750_000)
    assert found.figures == {"format": "CSV", "channels": 2, "samples": 6, "missing_samples": 1}


@pytest.mark.parametrize(
    ("header", "cells", "expected"),
    [
        ("time [s]", ("-1.5", "0.0000005", "2"), (-1_500_000, 1, 2_000_000)),
        ("Time (ms)", ("0", "33.3335", "66.667"), (0, 33_334, 66_667)),
        ("timestamp_us", ("-7", "0", "12"), (-7, 0, 12)),
        ("t [s]", ("1e-05", "1.25e1", "13"), (10, 12_500_000, 13_000_000)),
        (
            "timestamp",
            ("2026-03-02T10:15:00.25Z", "2026-03-02T10:15:00.5Z", "2026-03-02T11:15:01+01:00"),
            (0, 250_000, 750_000),
        ),
        ("time [s]", ("1772446500.25", "1772446500.5", "1772446501"), (0, 250_000, 750_000)),
    ],
)
def test_samples_may_carry_their_own_times(tmp_path, header, cells, expected):
    found = read(tmp_path, f"{header},x\n" + "".join(f"{cell},1\n" for cell in cells))
    assert [us for us, _ in rows_of(found)] == list(expected)
    assert found.channels[0].channel.rate is None
    has_date = "its first sample" in " ".join(found.notes)
    assert has_date == (expected[0] == 0 and cells[0] != "0")


def test_a_decimal_comma_is_read_where_commas_do_not_separate(tmp_path):
    for separator in (";", "\t"):
        text = separator.join(("time [s]", "x")) + "\n" + separator.join(("0,5", "-1,25")) + "\n"
        assert rows_of(read(tmp_path, "\ufeff" + text)) == [(500_000, -1.25)]


def test_equal_times_are_kept_and_told(tmp_path):
    found = read(tmp_path, "time [ms],x\n0,1\n0,2\n5,3\n")
    assert rows_of(found) == [(0, 1.0), (0, 2.0), (5_000, 3.0)]
    assert "1 samples carry the same time" in found.notes[0]


def test_names_may_come_from_the_records_and_a_time_column_beats_a_rate(tmp_path):
    found = read(tmp_path, "# a comment\n0.5\n0.6\n", rate="10", channels="EDA [µS]")
    assert found.channels[0].channel.name == "EDA"
    assert rows_of(found) == [(0, 0.5), (100_000, 0.6)]
    found = read(tmp_path, "time [s],a,a\n0,1,2\n1,3,4\n", rate="10", unit="V")
    assert [(s.channel.name, s.channel.unit) for s in found.channels] == [("a", "V"), ("a 2", "V")]
    assert "was not used" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "said", "says"),
    [
        ("", {}, "is empty"),
        ("a,b\n", {"rate": "4"}, "no samples"),
        ("a\n1\n", {}, "has no column “time”, and no rate"),
        ("1\n2\n", {"rate": "4"}, "has no header, and no channels"),
        ("a,b\n1,2\n", {"rate": "4", "channels": "x"}, "2 columns of values, but 1 channels"),
        ("time,a\n0,1\n", {}, "have no unit that is known"),
        ("time [s],a\n0,1\n1,x\n", {}, "Line 3 of wrist.csv, column “a”: “x” is no number"),
        ("time [s],a\n0,1\n1,inf\n", {}, "Line 3 of wrist.csv, column “a”: “inf” is no number"),
        ("time [s],a\n0,1\n1,1_0\n", {}, "“1_0” is no number"),
        ("time [s],a\n0,1\n,2\n", {}, "Line 3 of wrist.csv: “” is no time"),
        ("time [s],a\n2,1\n1,2\n", {}, "line 3 of wrist.csv, “1”, lies before"),
        ("time [s],a\n0,1\n1\n", {}, "Line 3 of wrist.csv has 1 cells"),
        ("time [s],a\n0,1\n90000,1\n", {}, "more than a day"),
        ("time [s];a\n0;1.234,5\n", {}, "is no number"),
        ("time,a\n2026-03-02T10:00:00Z,1\n2026-03-02T10:00:01,2\n", {}, "Line 3 .* is no time"),
        (b"a,b\n\xff\xfe,1\n", {"rate": "1"}, "UTF-8"),
        (b"PK\x03\x04rest", {}, "neither a CSV nor an EDF"),
        (b"a\x00b", {}, "neither a CSV nor an EDF"),
        ("a" * 70_000, {"rate": "1"}, "is no table"),
        (",".join(f"c{n}" for n in range(65)) + "\n", {"rate": "1"}, "holds 65 channels"),
        ("a\n1\n", {"rate": "0"}, "must lie above 0"),
        ("a\n1\n", {"rate": "fast"}, "is no number of samples"),
        ("a\n1\n", {"rate": "9" * 31}, "is no number of samples"),
        ("a\n1\n", {"rate": "1", "channels": "x||y"}, "an empty name"),
        ("time [s],a\n0,1\n9" + "9" * 50 + ",1\n", {}, "is no time"),
    ],
)
def test_what_is_wrong_is_a_sentence_that_names_the_place(tmp_path, text, said, says):
    with pytest.raises(SignalError, match=says):
        read(tmp_path, text, **said)


def test_line_numbers_hold_beyond_the_first_chunk(tmp_path):
    lines = ["a", ""] + ["1"] * 39_999 + ["bad"] + ["1"] * 10
    with pytest.raises(SignalError, match=r"Line 40002 of wrist\.csv"):
        read(tmp_path, "\n".join(lines), rate="100")


@pytest.mark.slow
def test_memory_stays_small_and_the_outline_holds_every_extreme(tmp_path):
    source = tmp_path / "long.csv"
    count = 300_000
    with source.open("w") as out:
        out.write("x [mV]\n")
        out.writelines(f"{n % 1000}\n" for n in range(count - 2))
        out.write("-5\n7777\n")
    tracemalloc.start()
    found = extract(source, tmp_path, description=Description.read(rate="100"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 2**20
    (outline,) = json.loads(found.outline.read_text())["channels"]
    assert 1024 <= len(outline["low"]) <= 2048
    assert (min(outline["low"]), max(outline["high"])) == (-5, 7777)
    assert outline["bucket_us"] * len(outline["low"]) >= found.channels[0].last_us
    assert found.channels[0].samples == count


@given(
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=60),
    st.lists(st.integers(0, 10**7), min_size=60, max_size=60),
)
def test_the_outline_bounds_every_sample_in_its_stretch(values, gaps):
    import numpy as np

    from workers.signals.samples import Channel, Piece
    from workers.signals.store import Summary

    times = np.cumsum(gaps[: len(values)]).astype(np.int64)
    summary = Summary(Channel("x", "", None))
    for piece in np.array_split(np.arange(len(values)), 3):
        if len(piece):
            known = [np.nan if values[n] is None else values[n] for n in piece]
            summary.add(Piece(0, times[piece], np.array(known)))
    drawn = summary.outline.as_json()
    assert len(drawn["low"]) <= 2048
    for us, value in zip(times.tolist(), values, strict=True):
        if value is None:
            continue
        place = (us - drawn["start_us"]) // drawn["bucket_us"]
        room = 1e-6 * max(1, abs(value))
        assert drawn["low"][place] - room <= value <= drawn["high"][place] + room


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("heart rate [bpm]", ("heart rate", "bpm")),
        ("EDA (µS)", ("EDA", "µS")),
        ("temperature", ("temperature", "")),
        ("a (b) [c]", ("a (b)", "c")),
        ("[x]", ("[x]", "")),
        (" two\nlines\x07 ", ("two lines", "")),
    ],
)
def test_a_header_cell_is_a_name_and_a_unit(text, expected):
    assert name_and_unit(text) == expected


def test_a_time_that_no_clock_shows_is_refused(tmp_path):
    for times in ("1e50,1\n2e50,2\n", "-1e50,1\n0,2\n"):
        with pytest.raises(SignalError, match="is no time like those above it"):
            read(tmp_path, "time [s],a\n" + times)


def test_cells_padded_without_end_take_no_more_memory(tmp_path):
    padded = "".join(f"{n},1{' ' * 60_000}\n" for n in range(600))
    tracemalloc.start()
    found = read(tmp_path, "time [s],a\n" + padded)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.figures["samples"] == 600
    assert most < 2 * len(padded) + 20 * 2**20  # the test's own text twice, and a chunk's
