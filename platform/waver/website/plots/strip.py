"""The disagreement timeline of a recording: who marked what when, and where they part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from waver.core.clock import format_us
from waver.website.plots.drawing import SMALL, Caption, Drawing

WIDTH = 1040
NAMES = 200
_STEPS_S = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200)
_CURVE = 40
_RIGHT = 24  # room for the last time


@dataclass(frozen=True)
class Stretch:
    """A labelled stretch of a row.

    `kind`: marked; agreed (by most) or undecided (by half); decided or decided_absent (by an
    adjudication: that it is there, or that it is not).

    `track` is the label's place in the row, from the top: labels are told apart by it, too.
    """

    start_us: int
    end_us: int
    label: str
    colour: str
    kind: str = "marked"
    share: float | None = None
    track: int = 0

    @property
    def words(self) -> str:
        """What is read when pointing at it."""
        said = f"{self.label}, {format_us(self.start_us)} to {format_us(self.end_us)}"
        if self.kind.startswith("decided"):
            said += ": decided that it is " + ("not there" if "absent" in self.kind else "there")
        elif self.kind == "undecided":
            said += ", undecided: marked by half of the raters"
        elif self.share is not None:
            said += f", marked by {100 * self.share:.0f} % of the raters on average"
        return said


@dataclass(frozen=True)
class Lane:
    """A row of stretches; without any, `words` stands in it."""

    name: str
    stretches: Sequence[Stretch]
    words: str = ""


@dataclass(frozen=True)
class Curve:
    """The share of raters who marked a label, by time: (start_us, end_us, share) without gaps."""

    name: str
    label: str
    colour: str
    steps: Sequence[tuple[int, int, float]]


def strip(
    duration_us: int,
    lanes: Sequence[Lane],
    curves: Sequence[Curve],
    *,
    caption: Caption,
    labels: Sequence[tuple[str, str]] = (),
    alone: bool = False,
    slim: bool = False,
) -> str:
    """Draw lanes and curves over one time axis; `slim` for a list of many recordings.

    `labels` are titles and colours in the order of their tracks; several get a key.
    """
    tracks = max(1, len(labels))
    row = max(18 if slim else 28, (8 if slim else 12) * tracks + 6)
    on = Drawing(WIDTH, caption, alone)
    y = 0.0
    for lane in lanes:
        _lane(on, lane, y, (row, tracks), duration_us)
        y += row
    for curve in curves:
        _curve(on, curve, y + 8, duration_us)
        y += _CURVE + 14
    _axis(on, y, duration_us)
    if tracks > 1:
        y += 32
        _key(on, y, labels)
    return on.svg(y + 24)


def _key(on: Drawing, y: float, labels: Sequence[tuple[str, str]]) -> None:
    on.text(0, y + 10, "In each row, from the top:", size=SMALL, colour="ink-soft")
    each = (WIDTH - NAMES) / len(labels)
    for n, (title, colour) in enumerate(labels):
        on.rect(NAMES + each * n, y, 14, 12, fill=colour)
        words = f"{n + 1}. {title}"
        on.text(NAMES + each * n + 20, y + 10, words, size=SMALL, within=each - 28)


def _x(us: int, duration_us: int) -> float:
    return NAMES + us / max(duration_us, 1) * (WIDTH - NAMES - _RIGHT)


def _lane(on: Drawing, lane: Lane, y: float, size: tuple[float, int], duration_us: int) -> None:
    row, tracks = size
    high = (row - 6) / tracks
    on.text(0, y + row / 2 + 4, lane.name, size=SMALL, within=NAMES - 12)
    on.line(NAMES, y + row, WIDTH - _RIGHT, y + row)
    if not lane.stretches:
        on.text(NAMES + 6, y + row / 2 + 4, lane.words, size=SMALL, colour="ink-soft")
    for one in lane.stretches:
        x = _x(one.start_us, duration_us)
        wide = max(2.0, _x(one.end_us, duration_us) - x)
        data = {"start-us": str(one.start_us), "end-us": str(one.end_us), "kind": one.kind}
        box = (x, y + 3 + high * one.track, wide, high - (1 if tracks > 1 else 0))
        if one.kind == "decided_absent":
            on.rect(*box, line=one.colour, dashes="4 3", title=one.words, data=data)
        elif one.kind == "undecided":
            on.rect(*box, fill="surface", line=one.colour, title=one.words, data=data)
            on.hatch(*box, colour=one.colour, every=5)
        else:
            on.rect(*box, fill=one.colour, title=one.words, data=data)


def _curve(on: Drawing, curve: Curve, y: float, duration_us: int) -> None:
    on.text(0, y + _CURVE / 2 + 4, curve.name, size=SMALL, within=NAMES - 36)
    for share, words in ((0.0, "0"), (0.5, "½"), (1.0, "1")):
        level = y + (1 - share) * _CURVE
        dashes = "3 3" if share == 0.5 else ""
        on.line(
            NAMES, level, WIDTH - _RIGHT, level, colour="line-strong", dashes=dashes, thick=0.75
        )
        on.text(NAMES - 6, level + 4, words, size=10, colour="ink-soft", anchor="end")
    steps = []
    for n, (start, end, share) in enumerate(curve.steps):
        level = y + (1 - share) * _CURVE
        here = f"{_x(start, duration_us):.1f} {level:.1f}"
        steps.append(f"{'L' if n else 'M'}{here}H{_x(end, duration_us):.1f}")
    on.path("".join(steps), line="ink", thick=1.75)


def _axis(on: Drawing, y: float, duration_us: int) -> None:
    seconds = duration_us / 1e6
    step = next((s for s in _STEPS_S if seconds / s <= 12), _STEPS_S[-1])
    for n in range(int(seconds / step) + 1):
        x = _x(round(n * step * 1e6), duration_us)
        on.line(x, y, x, y + 6, colour="line-strong")
        minutes, rest = divmod(n * step, 60)
        words = f"{int(minutes)}:{rest:02.0f}" if step >= 1 else f"{int(minutes)}:{rest:04.1f}"
        on.text(x, y + 19, words, size=SMALL, colour="ink-soft", anchor="middle")
