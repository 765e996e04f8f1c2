"""One label under one policy: its figures, and what speaks against letting it out.

Nothing here looks at the database: measured data and a policy's rule in, an assessment out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from annotation.agreement import (
    Coefficients,
    Interval,
    Runs,
    SufficientStatistics,
    Undefined,
    coefficients,
    cross_check,
    interval,
    leave_one_rater_out,
)
from annotation.agreement.results import Value
from waver.datasets.measures import Measured

LARGEST_DIFFERENCE = 1e-9
"""Between our alpha and the `krippendorff` package's; more means that one of them is wrong."""


@dataclass(frozen=True, eq=False)
class Assessment:
    """What the data say about one label. `rule` is the policy's part about it."""

    measured: Measured
    rule: Mapping[str, Any]
    settings: Mapping[str, Any]  # the policy's `interval`

    @cached_property
    def statistics(self) -> SufficientStatistics:
        """The sums per participant."""
        return self.measured.statistics

    @cached_property
    def coefficients(self) -> Coefficients:
        """Every coefficient; alpha is the one that is judged."""
        return coefficients(self.statistics)

    @property
    def alpha(self) -> Value:
        """Krippendorff's alpha."""
        return self.coefficients.alpha

    @cached_property
    def independent_alpha(self) -> Value:
        """The same alpha, computed by the `krippendorff` package."""
        return cross_check(self.measured.data)

    @cached_property
    def without_one_rater(self) -> tuple[float, float] | None:
        """The lowest and highest alpha when one rater is left out; None where undefined."""
        values = leave_one_rater_out(self.measured.data).values()
        defined = [value for value in values if not isinstance(value, Undefined)]
        return (min(defined), max(defined)) if defined else None

    @property
    def interval(self) -> Interval | Undefined:
        """The interval at the policy's level, before sharing it out over labels and looks."""
        return self.interval_at(self.settings["level"])

    def interval_at(self, level: float) -> Interval | Undefined:
        """The interval of alpha at a two-sided level, participants resampled."""
        return interval(
            self.statistics,
            "alpha",
            method=self.settings["method"],
            resamples=self.settings["resamples"],
            seed=self.settings["seed"],
            level=level,
        )

    def lower(self, error: float) -> float | None:
        """The end below which alpha lies with at most probability `error`; None if undefined."""
        found = self.interval_at(1 - 2 * error)
        return None if isinstance(found, Undefined) else found.low

    @cached_property
    def undetermined(self) -> tuple[str, ...]:
        """Sentences: why these data allow no verdict at all."""
        return tuple(self._why_undetermined())

    @cached_property
    def failing(self) -> tuple[str, ...]:
        """Sentences: what speaks against the label whatever its interval says."""
        return tuple(self._why_failing()) if not self.undetermined else ()

    @property
    def positive(self) -> str | None:
        """The value whose own agreement is guarded: the segments' label, or the named answer."""
        label = self.measured.label
        if label.data == "segments":
            return label.source
        return self.rule.get("positive")

    def _why_undetermined(self) -> Iterator[str]:
        yield from self._sample_guards()
        if isinstance(self.alpha, Undefined):
            yield self.alpha.sentence
            return
        if isinstance(self.independent_alpha, Undefined):
            yield f"Alpha could not be checked independently: {self.independent_alpha.sentence}"
        elif abs(self.independent_alpha - self.alpha) > LARGEST_DIFFERENCE:
            yield (
                f"Two independent computations of alpha disagree ({self.alpha:.12f} and "
                f"{self.independent_alpha:.12f}); report this as an error in Waver."
            )
        if isinstance(self.interval, Undefined):
            yield self.interval.sentence

    def _sample_guards(self) -> Iterator[str]:
        guards, measured = self.rule["guards"], self.measured
        if not measured.roster:
            yield "Nobody has labelled a recording for this without seeing pre-labels."
            return
        wanted = guards["raters_per_unit"]
        enough = sum(len(raters) >= wanted["min"] for raters in measured.roster.values())
        share = enough / len(measured.roster)
        if share < wanted["share"]:
            yield (
                f"Only {share:.0%} of the recordings have {wanted['min']} or more raters; "
                f"{wanted['share']:.0%} are needed."
            )
        people = len(set(measured.participant_of.values()))
        for found, minimum, what in (
            (people, guards["clusters_min"], "participants"),
            (len(measured.roster), guards["recordings_min"], "recordings"),
            (
                len(measured.positives),
                guards.get("positive_clusters_min", 0),
                f"participants in whom “{self.positive}” was seen",
            ),
        ):
            if found < minimum:
                yield f"There are {found} {what}; at least {minimum} are needed."
        low, high = guards.get("prevalence", (0, 1))
        if measured.prevalence is not None and not low <= measured.prevalence <= high:
            yield (
                f"“{self.positive}” makes up {measured.prevalence:.1%} of the ratings; between "
                f"{low:.0%} and {high:.0%} are needed to tell agreement from chance."
            )

    def _why_failing(self) -> Iterator[str]:
        guards, found = self.rule["guards"], self.coefficients
        for name, by_value, words in (
            ("category_alpha_min", found.alpha_by_category, "alpha of"),
            ("specific_agreement_min", found.specific, "specific agreement on"),
        ):
            if name in guards:
                value = by_value[self.positive]
                if isinstance(value, Undefined) or value < guards[name]:
                    said = str(value) if isinstance(value, Undefined) else f"{value:.3f}"
                    yield f"The {words} “{self.positive}” is {said}; {guards[name]} is needed."
        limit = guards.get("alpha_if_removed_max_gain")
        ends = self.without_one_rater
        if limit is not None and ends is not None and not isinstance(self.alpha, Undefined):
            gain = ends[1] - self.alpha
            if gain > limit:
                yield (
                    f"Without one of the raters alpha would be {gain:.3f} higher; at most {limit} "
                    "is allowed. Look at how that rater reads the codebook."
                )

    def figures(self) -> dict[str, Any]:
        """Everything measured, for the receipt; an undefined value is an object with its reason."""
        measured, found, ends = self.measured, self.coefficients, self.without_one_rater
        data = measured.data
        return {
            "data": measured.label.data,
            "metric": "alpha",
            "scale": measured.label.scale,
            "values": list(measured.label.values),
            "tick_us": measured.tick_us,
            "alpha": _json(found.alpha),
            "interval": _interval(self.interval),
            "without_one_rater": [_json(end) for end in ends] if ends else None,
            "cross_check": self._cross_check(),
            "prevalence": _json(measured.prevalence),
            "n": {
                "participants": len(set(measured.participant_of.values())),
                "recordings": len(measured.roster),
                "raters": len(measured.raters),
                "submissions": sum(len(raters) for raters in measured.roster.values()),
                "positive_participants": len(measured.positives),
                "units": _json(found.n_units),
                "duration_us": int(data.duration_us.sum()) if isinstance(data, Runs) else None,
            },
            "report": {
                "fleiss": _json(found.fleiss),
                "gwet": _json(found.gwet),
                "pabak": _json(found.pabak),
                "percent": _json(found.percent),
                "specific": {str(k): _json(v) for k, v in found.specific.items()},
                "alpha_by_category": {str(k): _json(v) for k, v in found.alpha_by_category.items()},
            },
        }

    def _cross_check(self) -> dict[str, Any]:
        other = self.independent_alpha
        apart: Any = None
        if not isinstance(other, Undefined) and not isinstance(self.alpha, Undefined):
            apart = float(f"{abs(other - self.alpha):.6g}") + 0.0
        return {"package": "krippendorff", "alpha": _json(other), "difference": apart}


def _interval(found: Interval | Undefined) -> dict[str, Any]:
    if isinstance(found, Undefined):
        return {"undefined": found.reason}
    return {
        "low": _json(found.low),
        "high": _json(found.high),
        "level": found.level,
        "method": f"cluster bootstrap, {found.method}"
        if found.method != "jackknife_t"
        else "jackknife over clusters, Student's t",
        "clusters": found.n_clusters,
        "resamples": found.resamples,
        "undefined_resamples": found.n_undefined,
        "seed": found.seed,
    }


def _json(value: Value | None) -> Any:
    """Write a value for JSON: 12 digits, no negative zero, a reason in place of no number."""
    if isinstance(value, Undefined):
        return {"undefined": value.reason}
    return None if value is None else round(float(value), 12) + 0.0
