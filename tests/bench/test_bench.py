"""The benchmarks' frame: what is registered, what a table says, what counts as met."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from bench import __main__ as command
from bench.clips import RATE, talking_head
from bench.measure import in_child, paired, watched
from bench.registry import SUBJECTS, choose
from bench.subject import Bound, Line, NotMeasured, Row, Subject
from bench.table import factor, megabytes, render, seconds

pytestmark = pytest.mark.programs


def subject(*lines: Line) -> Subject:
    return Subject(
        name="example",
        title="an example",
        rival="another program",
        ratio="ours over the rival's",
        measure=lambda: iter(lines),
        versions=("numpy",),
    )


def test_every_subject_has_its_own_name_and_names_its_rival() -> None:
    names = [one.name for one in SUBJECTS]
    assert len(set(names)) == len(names)
    for one in SUBJECTS:
        assert len(one.rival.split()) > 2, f"{one.name} does not say who is measured beside it"
        assert one.ratio
        assert all(version(package) for package in one.versions)


def test_subjects_are_chosen_by_name_once_and_long_ones_only_so() -> None:
    long = [one.name for one in SUBJECTS if one.only_by_name]
    assert long
    assert not set(long) & {one.name for one in choose([])}
    assert [one.name for one in choose([long[0], "agreement", long[0]])] == [long[0], "agreement"]
    with pytest.raises(ValueError, match="no benchmark called 'speed'; there are agreement"):
        choose(["speed"])


@pytest.mark.parametrize(
    ("bound", "figure", "met"),
    [
        (Bound("at least", 100), 100.0, True),
        (Bound("at least", 100), 99.9, False),
        (Bound("at most", 15, "s"), 15.0, True),
        (Bound("at most", 15, "s"), 15.1, False),
    ],
)
def test_reaching_a_bound_exactly_meets_it(bound: Bound, figure: float, met: bool) -> None:
    assert Row("a", "1", ratio=figure, bound=bound).is_met is met
    assert Row("a", "1", ratio=-1.0, bound=bound, figure=figure).is_met is met


def test_what_is_only_reported_is_neither_met_nor_missed() -> None:
    assert Row("a", "1", ratio=3.0).is_met is None
    nothing = float("nan")
    assert Row("a", "1", ratio=nothing, bound=Bound("at most", 1)).is_met is False
    assert Row("a", "1", ratio=nothing, bound=Bound("at least", 1)).is_met is False


def test_a_table_is_aligned_and_carries_notes_once() -> None:
    lines = [
        Row("short", "1 ms", "200 ms", 200.0, Bound("at least", 5000), note="how it was measured"),
        Row("a longer case", "12.5 MB", bound=Bound("at most", 40, "MB"), figure=12.5),
        Row("only shown", "3 s", ratio=0.5, note="how it was measured"),
        NotMeasured("elsewhere", "The program is not installed."),
    ]
    assert render(subject(), lines).splitlines() == [
        "example: an example",
        "  rival: another program",
        "  ratio: ours over the rival's",
        "",
        "case                measured   rival  ratio  bound",
        "--------------  ------------  ------  -----  ----------------  -------",
        "short [1]               1 ms  200 ms   200x  at least 5,000 x  NOT MET",
        "a longer case        12.5 MB                 at most 40 MB     met",
        "only shown [1]           3 s          0.50x  reported only",
        "elsewhere       not measured",
        "  [1] how it was measured",
        "  elsewhere: The program is not installed.",
    ]


def test_figures_are_written_with_few_digits() -> None:
    assert [factor(x) for x in (0.01234, 0.5, 3.456, 45.67, 5120.4)] == [
        "0.0123x",
        "0.50x",
        "3.46x",
        "45.7x",
        "5,120x",
    ]
    assert [seconds(x) for x in (0.00512, 0.9994, 2.314, 851.2)] == [
        "5.12 ms",
        "999 ms",
        "2.31 s",
        "851 s",
    ]
    assert megabytes(1_234_567_890) == "1,234.6 MB"


def test_pairs_change_their_order_and_give_the_median_of_ratios() -> None:
    calls = []
    ours, rival = iter([1.0, 2.0, 4.0]), iter([10.0, 60.0, 12.0])

    def run(name: str) -> float:
        calls.append(name)
        return next(ours if name == "ours" else rival)

    pairs = paired(lambda: run("ours"), lambda: run("rival"), pairs=3)
    assert calls == ["ours", "rival", "rival", "ours", "ours", "rival"]
    assert pairs.rival_over_ours == 10.0, "of 10, 30 and 3"
    assert (pairs.ours, pairs.rival) == (2.0, 12.0)
    assert len(paired(lambda: 1.0, lambda: 1.0, pairs=9, budget_seconds=0).runs) == 1


def grow(megabytes: int) -> int:
    """Called in a process of its own."""
    return len(bytes(range(256)) * (4000 * megabytes))


def test_a_child_reports_its_result_and_its_own_peak() -> None:
    small, large = (in_child("tests.bench.test_bench:grow", {"megabytes": n}) for n in (1, 120))
    assert large.result == 120 * 4000 * 256
    assert 110e6 < large.peak_bytes - small.peak_bytes < 140e6
    assert 0 < small.cpu_seconds < 60
    with pytest.raises(RuntimeError, match="must be"):
        in_child("tests.bench.test_bench:fail", {})


def fail() -> None:
    """Called in a process of its own."""
    raise ValueError("A number must be given.")


def test_processes_below_a_watched_program_are_seen() -> None:
    script = (
        "import subprocess, sys;"
        "subprocess.run([sys.executable, '-c',"
        " 'import time; held = bytes(range(256)) * 240_000; time.sleep(0.5)'])"
    )
    finished = watched([sys.executable, "-c", script], timeout=60)
    assert finished.status == 0
    below = [peak for pid, peak in finished.peaks.items() if pid != finished.pid]
    assert max(below) > 60e6


def test_a_made_clip_has_its_length_and_its_sound(tmp_path: Path) -> None:
    from workers.media.probe import probe

    clip = talking_head(tmp_path / "a.mp4", seconds=2, width=160, height=120, with_sound=True)
    found = probe(clip)
    assert (found.video.frame_count, found.video.width, found.video.height) == (2 * RATE, 160, 120)
    assert found.audio is not None
    assert found.audio.sample_rate == 16_000


def test_the_exit_status_says_whether_every_bound_is_met(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = Row("fast", "1 s", bound=Bound("at most", 2, "s"), figure=1.0)
    bad = Row("slow", "3 s", bound=Bound("at most", 2, "s"), figure=3.0)
    monkeypatch.setattr(sys, "argv", ["bench"])
    for lines, status, words in (
        ([good], 0, "Every bound that was measured is met."),
        ([good, NotMeasured("x", "No.")], 0, "is met. 1 could not be measured here."),
        ([good, bad], 1, "Not met: example, slow."),
    ):
        monkeypatch.setattr(command, "choose", lambda names, lines=lines: [subject(*lines)])
        assert command.main() == status
        printed = capsys.readouterr().out
        assert words in printed
        assert "numpy 2" in printed
        assert "ffmpeg" in printed
