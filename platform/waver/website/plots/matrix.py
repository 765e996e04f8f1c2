"""Two square pictures: every two raters' agreement, and labels mistaken for each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from waver.website.plots.drawing import SMALL, Caption, Drawing, number

NAMES = 240
HEAD = 44
FOOT = 64
GAP = 24  # between the matrix and the column beside it
_DARKEST = 0.44  # of the accent; more would make the numbers hard to read in the dark theme


@dataclass(frozen=True)
class RaterCell:
    """A number of the raters' picture; `value` is None where there is none, `words` says why."""

    value: float | None
    words: str
    url: str = ""


@dataclass(frozen=True)
class ConfusionCell:
    """A cell of the confusion picture: the share of its row, 0 to 1, and what that is."""

    share: float | None
    amount: str
    url: str = ""


def raters(
    names: Sequence[str],
    cells: Sequence[Sequence[RaterCell]],
    without: Sequence[RaterCell],
    *,
    needed: float | None,
    caption: Caption,
    urls: Sequence[str] = (),
    alone: bool = False,
) -> str:
    """Draw alpha of every two raters, and of all when the one of the row is left out.

    Cells below `needed` are hatched. The diagonal is empty. `urls` are the raters' own pages.
    """
    size, left = len(names), NAMES
    side = max(40.0, min(72.0, 620 / max(size, 1)))
    beside = left + side * size + GAP
    on = Drawing(max(beside + 170, left + 540), caption, alone)
    for n, name in enumerate(names):
        short = name.split(" (")[0]
        on.text(
            left + side * (n + 0.5), HEAD - 10, short.removeprefix("Rater ") if size > 8 else short,
            size=SMALL, colour="ink-soft", anchor="middle", within=side + 8,
        )  # fmt: skip
        with on.link(urls[n] if urls else ""):
            on.text(0, HEAD + side * (n + 0.5) + 5, name, within=NAMES - 16)
    on.text(beside, HEAD - 10, "all without this rater", size=SMALL, colour="ink-soft")
    for row in range(size):
        for column in range(size):
            x, y = left + side * column, HEAD + side * row
            if row == column:
                on.line(x, y, x + side, y + side, colour="line-strong")
            else:
                _rater_cell(on, x, y, side, cells[row][column], needed)
        _rater_cell(on, beside, HEAD + side * row, side, without[row], needed)
    bottom = HEAD + side * size
    _rater_key(on, left, bottom + 28, needed)
    return on.svg(bottom + FOOT)


def confusion(
    names: Sequence[str],
    cells: Sequence[Sequence[ConfusionCell]],
    *,
    caption: Caption,
    alone: bool = False,
) -> str:
    """Draw, for each label that one rater gave, what the others called the same thing.

    Every row adds up to 100 %. The diagonal, agreement, has a thick frame.
    """
    size, left = len(names), NAMES
    wide = max(72.0, min(140.0, 760 / max(size, 1)))
    high = 56.0
    on = Drawing(max(left + wide * size + 8, 560), caption, alone)
    on.text(left, 14, "… another called", size=SMALL, colour="ink-soft")
    on.text(0, HEAD - 6, "What one rater called …", size=SMALL, colour="ink-soft")
    for n, name in enumerate(names):
        x = left + wide * (n + 0.5)
        on.text(x, HEAD - 6, name, size=SMALL, anchor="middle", within=wide - 4)
        on.text(0, HEAD + high * (n + 0.5) + 5, name, within=NAMES - 16)
    for row in range(size):
        for column in range(size):
            x, y = left + wide * column, HEAD + high * row
            _confusion_cell(on, x, y, wide, high, cells[row][column], row == column)
    bottom = HEAD + high * size
    on.rect(left, bottom + 17, 28, 14, line="ink", thick=2.5)
    on.text(left + 36, bottom + 28, "agreement", size=SMALL, colour="ink-soft")
    return on.svg(bottom + 44)


def _rater_cell(
    on: Drawing, x: float, y: float, side: float, cell: RaterCell, needed: float | None
) -> None:
    if cell.value is None:
        on.rect(
            x + 1, y + 1, side - 2, side - 2, line="line-strong", dashes="2 3", title=cell.words
        )
        on.text(x + side / 2, y + side / 2 + 5, "–", anchor="middle", colour="ink-soft")
        return
    strength = _DARKEST * max(0.0, min(1.0, cell.value))
    with on.link(cell.url):
        on.rect(
            x + 1, y + 1, side - 2, side - 2, fill="accent", opacity=strength, line="line-strong",
            title=cell.words, data={"value": f"{cell.value:.12g}"},
        )  # fmt: skip
        if needed is not None and cell.value < needed:
            on.hatch(x + 1, y + 1, side - 2, side - 2)
            on.rect(x + side / 2 - 18, y + side / 2 - 10, 36, 20, fill="surface")
        on.text(x + side / 2, y + side / 2 + 5, number(cell.value), anchor="middle")


def _rater_key(on: Drawing, x: float, y: float, needed: float | None) -> None:
    for n, value in enumerate((0.0, 0.25, 0.5, 0.75, 1.0)):
        on.rect(
            x + 34 * n, y - 12, 34, 16, fill="accent", opacity=_DARKEST * value, line="line-strong"
        )
        on.text(
            x + 34 * n + 17, y + 20, number(value), size=SMALL, colour="ink-soft", anchor="middle"
        )
    if needed is not None:
        on.rect(x + 200, y - 12, 34, 16, line="line-strong")
        on.hatch(x + 200, y - 12, 34, 16, every=5)
        words = f"below {number(needed, 3)}"
        on.text(x + 242, y + 1, words, size=SMALL, colour="ink-soft")
    on.rect(x + 340, y - 12, 34, 16, line="line-strong", dashes="2 3")
    on.text(x + 382, y + 1, "no number (see the table)", size=SMALL, colour="ink-soft")


def _confusion_cell(
    on: Drawing, x: float, y: float, wide: float, high: float, cell: ConfusionCell, same: bool
) -> None:
    line, thick = ("ink", 2.5) if same else ("line-strong", 1.0)
    inset = 2 if same else 1
    box = (x + inset, y + inset, wide - 2 * inset, high - 2 * inset)
    if cell.share is None:
        on.rect(*box, line=line, thick=thick, dashes="2 3", title="Nobody said this.")
        on.text(x + wide / 2, y + high / 2 + 5, "–", anchor="middle", colour="ink-soft")
        return
    with on.link(cell.url):
        on.rect(
            *box, fill="accent", opacity=_DARKEST * cell.share, line=line, thick=thick,
            data={"share": f"{cell.share:.12g}"},
        )  # fmt: skip
        on.text(x + wide / 2, y + high / 2 - 2, f"{number(100 * cell.share, 1)} %", anchor="middle")
        on.text(x + wide / 2, y + high / 2 + 16, cell.amount, size=SMALL, anchor="middle")
