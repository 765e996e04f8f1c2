"""One figure about a rater: a number with its n and meaning, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from annotation.agreement.results import Undefined, Value

MINUS = "\u2212"


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as a page shows it.

    `value`      the number in `unit`, or `Undefined`; never 0 for what cannot be said.
    `low`, `high`  its 95 % interval, where it has one.
    `n`, `of`    how many of what it rests on: 12, "control items".
    `means`      what it says, in a sentence; or, where it is undefined, why.
    `attention`  a sentence for the lead when it needs one, else "".
    `unit`       share (0 to 1), coefficient, difference (of coefficients), ratio, seconds (signed)
                 or time (how long).
    """

    key: str
    title: str
    value: Value
    n: int
    of: str
    means: str
    unit: str = "share"
    low: Value | None = None
    high: Value | None = None
    attention: str = ""

    @property
    def is_undefined(self) -> bool:
        """Tell whether there is no such number."""
        return isinstance(self.value, Undefined)

    @property
    def text(self) -> str:
        """Write the value with its unit, or the word undefined."""
        return written(self.value, self.unit)

    @property
    def interval(self) -> str:
        """Write the interval, or nothing."""
        if self.low is None or self.high is None:
            return ""
        if isinstance(self.low, Undefined) or isinstance(self.high, Undefined):
            return ""
        return f"{written(self.low, self.unit)} to {written(self.high, self.unit)}"


def written(value: Value, unit: str) -> str:
    """Write a number as its unit is read."""
    if isinstance(value, Undefined):
        return "undefined"
    if unit == "share":
        text = f"{100 * value:.0f} %"
    elif unit == "seconds":
        text = f"{value:+.2f} s" if abs(value) < 10 else f"{value:+.1f} s"
    elif unit == "time":
        text = f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"
    elif unit == "difference":
        text = f"{value:+.3f}"
    elif unit == "ratio":
        text = f"{value:.2f} ×"
    else:
        text = f"{value:.2f}"
    return text.replace("-", MINUS)


def because(value: Value, *, means: str, why: str = "") -> str:
    """Give what a figure means, or why there is none: `why`, or the statistic's own reason."""
    if isinstance(value, Undefined):
        return why or value.sentence
    return means


def mean_of(values: list[float]) -> Value:
    """Give the mean, or `Undefined("no_ratings")` of nothing."""
    return sum(values) / len(values) if values else Undefined("no_ratings")
