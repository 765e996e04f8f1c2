"""A study's clip quality as a page: what its recordings have, what is asked, who falls short."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import CharField, F, QuerySet
from django.db.models.functions import MD5, Cast
from django.utils.safestring import mark_safe

from waver.core.errors import BadInput, Missing
from waver.recordings.models import QualityRules, Recording
from waver.recordings.pipeline import QUALITY
from waver.recordings.quality import counting, judging, rules
from waver.recordings.quality.catalogue import (
    AT_LEAST,
    BOUND_WORDS,
    FIGURES,
    GROUPS,
    SHARE,
    Figure,
    value_of,
)
from waver.recordings.quality.limits import Limits, problems
from waver.studies.models import Study
from waver.website.plots.drawing import Caption
from waver.website.plots.histogram import Bin, histogram

# A picture of more tells the eye nothing more; counts are always of all recordings.
SAMPLE = 5000
BINS = 20
BIN_COLUMNS = ("figure", "unit", "from", "to", "recordings")


@dataclass(frozen=True)
class Typed:
    """What stands in a threshold's field: its bound and the text."""

    bound: str
    text: str


@dataclass(frozen=True)
class Spread:
    """How a figure is spread over the recordings that were looked at; `values` in rising order."""

    figure: Figure
    values: Sequence[float]
    unknown: int

    def at(self, share: float) -> str:
        """Write the value below which a share of the recordings lies."""
        if not self.values:
            return "–"
        return self.figure.write(self.values[round(share * (len(self.values) - 1))])

    @property
    def low(self) -> str:
        """The 5th percentile."""
        return self.at(0.05)

    @property
    def median(self) -> str:
        """The median."""
        return self.at(0.5)

    @property
    def high(self) -> str:
        """The 95th percentile."""
        return self.at(0.95)

    def bins(self, limit: float | None) -> list[Bin]:
        """Count the values in bins of equal width that take in all of them and the limit."""
        ends = [*self.values[:1], *self.values[-1:], *([] if limit is None else [limit])]
        low, high = min(ends), max(ends)
        if self.figure.unit == SHARE:
            low, high = 0.0, next(end for end in (0.001, 0.01, 0.1, 1.0) if end >= high)
        elif self.figure.unit == "people":
            low, high = 0.0, high + 1
        elif low == high:
            low, high = low - 0.5, high + 0.5
        step = (high - low) / BINS
        counts = [0] * BINS
        for value in self.values:
            counts[min(BINS - 1, int((value - low) / step))] += 1
        return [Bin(low + n * step, low + (n + 1) * step, each) for n, each in enumerate(counts)]

    def draw(self, limit: tuple[str, float] | None, *, study: Study, alone: bool = False) -> str:
        """Draw the distribution, with a limit if there is one."""
        bound, number = limit or ("", None)
        figure = self.figure
        return histogram(
            self.bins(number),
            limit=number,
            short_below=bound == AT_LEAST,
            write=figure.write,
            caption=Caption(
                f"{figure.title} of the recordings",
                [
                    figure.about,
                    f"{len(self.values)} recordings with a value, {self.unknown} without.",
                    "The height of a bar is the number of recordings.",
                ],
                f"Study {study.title} ({study.code}).",
            ),
            alone=alone,
        )


@dataclass(frozen=True)
class Line:
    """One figure on the page: its threshold's field, its spread, how many fall short."""

    figure: Figure
    typed: Typed
    spread: Spread
    plot: str

    @property
    def bounds(self) -> list[tuple[str, str]]:
        """The kinds of limit that make sense, with their words."""
        return [
            (bound, word)
            for bound, word in BOUND_WORDS.items()
            if bound == self.figure.bound or not self.figure.bound
        ]

    @property
    def suggestion(self) -> str:
        """The suggested limit in words, "" where there is none."""
        if self.figure.suggested is None:
            return ""
        return self.figure.write_limit(self.figure.bound, self.figure.suggested)


@dataclass(frozen=True)
class CountPart:
    """How many recordings fall short of the thresholds as they stand, or as they are typed.

    `short` and `by_figure` (title and number, most first) are of `measured` recordings. `waiting`
    are those whose verdict does not rest on the thresholds that stand yet.
    """

    measured: int
    short: int
    by_figure: list[tuple[str, int]]
    asks: bool
    is_typed: bool
    waiting: int


@dataclass(frozen=True)
class QualityPage:
    """Everything on the page. `count` is None where what is typed cannot be read."""

    groups: list[tuple[str, list[Line]]]
    version: int
    stands: QualityRules | None
    count: CountPart | None
    unmeasured: int
    measured: int
    sampled: int


def count(study: Study, limits: Limits, *, is_typed: bool) -> CountPart:
    """Count what falls short of these limits, of all recordings."""
    stands = rules.newest(study.pk)
    found = counting.count(study, limits)
    by_figure = [(FIGURES[key].title, number) for key, number in found.by_figure.items() if number]
    return CountPart(
        measured=found.measured,
        short=found.short,
        by_figure=sorted(by_figure, key=lambda pair: -pair[1]),
        asks=bool(limits),
        is_typed=is_typed,
        waiting=judging.stale(study.pk, stands).count() if stands and not is_typed else 0,
    )


def page(study: Study, written: Mapping[str, str] | None = None) -> QualityPage:
    """Read the page; `written` is what a form holds that was not set, which is kept.

    In a handful of queries, whatever the number of recordings.
    """
    stands = rules.newest(study.pk)
    limits: Limits = stands.limits if stands else {}
    looked_at: Limits | None = limits
    if written is not None:
        try:
            looked_at = read_form(written)
        except BadInput:
            looked_at = None
    spreads = spreads_of(study)
    shown = looked_at or {}
    lines = [
        Line(
            figure=figure,
            typed=_typed(key, limits, written),
            spread=spreads[key],
            plot=_plot(spreads[key], limit_of(shown, key), study),
        )
        for key, figure in FIGURES.items()
    ]
    measured = counting.measured(study).count()
    return QualityPage(
        groups=[
            (title, [line for line in lines if line.figure.group == group])
            for group, title in GROUPS.items()
        ],
        version=stands.version if stands else 0,
        stands=stands,
        count=None if looked_at is None else count(study, looked_at, is_typed=written is not None),
        unmeasured=unmeasured(study).count(),
        measured=measured,
        sampled=min(SAMPLE, measured),
    )


def _plot(spread: Spread, limit: tuple[str, float] | None, study: Study) -> str:
    if not spread.values:
        return ""
    # Drawn by our own code, which escapes what it is given.
    return mark_safe(spread.draw(limit, study=study))  # noqa: S308


def unmeasured(study: Study) -> QuerySet[Recording]:
    """Give the recordings that were prepared before quality was measured."""
    prepared = [Recording.State.READY, Recording.State.ATTENTION]
    return study.recordings.filter(view__in=QUALITY.views, state__in=prepared, quality=None)


def spreads_of(study: Study) -> dict[str, Spread]:
    """Read how each figure is spread over the study's recordings, at most SAMPLE drawn by lot."""
    lot = MD5(Cast("pk", CharField()))
    drawn = counting.measured(study).order_by(lot)[:SAMPLE]
    rows = list(drawn.values_list("figures", flat=True))
    found = {}
    for key, figure in FIGURES.items():
        values = sorted(v for row in rows if (v := value_of(row, key)) is not None)
        found[key] = Spread(figure, values, len(rows) - len(values))
    return found


def spread_of(study: Study, key: str) -> Spread:
    """Read one figure's spread. Raises Missing for an unknown figure, or one without a value."""
    if key not in FIGURES:
        raise Missing(f"There is no figure “{key}”. The figures are: {', '.join(FIGURES)}.")
    found = spreads_of(study)[key]
    if not found.values:
        raise Missing(
            f"No recording has a value of “{FIGURES[key].title}” yet. The page of the study's "
            "quality says why."
        )
    return found


def drawn_limit(study: Study, key: str) -> tuple[str, float] | None:
    """Give the limit of a figure as it stands."""
    stands = rules.newest(study.pk)
    return limit_of(stands.limits, key) if stands else None


def bin_rows(spread: Spread) -> Iterator[list[Any]]:
    """Give the rows of a distribution's table, in the order of BIN_COLUMNS."""
    figure = spread.figure
    for bin_ in spread.bins(None):
        yield [figure.key, figure.unit, round(bin_.low, 9), round(bin_.high, 9), bin_.count]


def table_lines(study: Study) -> Iterator[str]:
    """Give all recordings with their figures as CSV, line by line; empty where not known."""
    from waver.website.queries.figures import harmless

    writer = csv.writer(_Line(), lineterminator="\n")
    yield writer.writerow(
        ["recording", "participant", "prompt", "state", "verdict", *FIGURES, "reasons"]
    )
    rows = (
        counting.measured(study)
        .annotate(
            participant=F("recording__take__participant__code"),
            prompt=F("recording__take__prompt__order"),
            state=F("recording__state"),
        )
        .order_by("recording_id")
    )
    for row in rows.iterator(chunk_size=1000):
        yield writer.writerow(
            [
                row.recording_id,
                harmless(row.participant),
                row.prompt,
                row.state,
                row.verdict,
                *(value_of(row.figures, key) for key in FIGURES),
                " ".join(row.reasons),
            ]
        )


class _Line:
    """A file that gives back what is written into it, for csv.writer."""

    def write(self, text: str) -> str:
        return text


# The form


def read_form(posted: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Read the thresholds that a form holds; empty fields ask nothing.

    Raises BadInput with a sentence for everything that cannot be asked.
    """
    wanted, wrong = {}, []
    for key, figure in FIGURES.items():
        text = posted.get(f"limit-{key}", "").strip()
        if not text:
            continue
        try:
            number = _read_number(figure, text)
        except ValueError:
            example = "0.8 or 80 %" if figure.unit == SHARE else "12.5"
            wrong.append(
                f"“{text}” under “{figure.title}” is no number. Write one such as {example}, or "
                "leave it empty."
            )
            continue
        wanted[key] = {figure.bound or posted.get(f"bound-{key}", AT_LEAST): number}
    wrong += [sentence for _, sentence in problems(wanted)]
    if wrong:
        raise BadInput(" ".join(wrong))
    return wanted


def _read_number(figure: Figure, text: str) -> float:
    plain = text.replace(",", ".").replace("−", "-")
    if figure.unit == SHARE and plain.endswith("%"):
        return round(float(plain[:-1]) / 100, 12)
    return float(plain)


def _typed(key: str, limits: Limits, written: Mapping[str, str] | None) -> Typed:
    figure, limit = FIGURES[key], limit_of(limits, key)
    if written is not None:
        bound = figure.bound or written.get(f"bound-{key}", AT_LEAST)
        return Typed(bound, written.get(f"limit-{key}", ""))
    if limit is None:
        return Typed(figure.bound or AT_LEAST, "")
    scaled = f"{round(limit[1] * 100, 10):.12g} %" if figure.unit == SHARE else f"{limit[1]:.12g}"
    return Typed(limit[0], scaled)


def limit_of(limits: Limits, key: str) -> tuple[str, float] | None:
    """Give a figure's bound and number, None where nothing is asked of it."""
    return next(iter(limits.get(key, {}).items()), None)


def limit_words(figure: Figure, limit: Mapping[str, float] | None) -> str:
    """Write a figure's limit in words, "" where nothing is asked of it."""
    return " and ".join(
        figure.write_limit(bound, number) for bound, number in (limit or {}).items()
    )
