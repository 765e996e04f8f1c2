"""One label under one policy: its figures, and what speaks against letting it out.

Nothing here looks at the database: measured data and a policy's rule in, an assessment out.
"""

from __future__ import annotations

import hashlib
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
from waver.datasets.reports import in_json, reported
from waver.datasets.verify import canonical

LARGEST_DIFFERENCE = 1e-9
"""Between our alpha and the `krippendorff` package's; more means that one of them is wrong."""


@dataclass(frozen=True, eq=False)
class Assessment:
    """What the data say about one label.

    `rule` is the policy's part about it, `settings` the policy's `interval`, `reliability` its
    `reliability_sample`. `prelabelled` is the same label where pre-labels were in sight, if the
    policy asks how far they move the raters: it can block a label, and never lets one through.
    """

    measured: Measured
    rule: Mapping[str, Any]
    settings: Mapping[str, Any]
    reliability: Mapping[str, Any]
    prelabelled: Measured | None = None

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
    def undecided(self) -> float | None:
        """The share of clips, or of the time that anybody marked, on which raters are split.

        Split means that no value has more votes than every other. None where nothing has two
        ratings.
        """
        data = self.measured.data
        counts = data.counts()
        weight = data.weight if isinstance(data, Runs) else data.unit_weight
        asked = counts.sum(axis=1) >= 2
        if isinstance(data, Runs):
            asked &= counts[:, 1:].sum(axis=1) > 0
        if not asked.any():
            return None
        split = (counts == counts.max(axis=1, keepdims=True)).sum(axis=1) > 1
        return float(weight[asked & split].sum() / weight[asked].sum())

    @cached_property
    def prelabelled_alpha(self) -> Value | None:
        """Alpha where pre-labels were in sight; None where the policy does not ask."""
        if self.prelabelled is None:
            return None
        return coefficients(self.prelabelled.statistics).alpha

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
        yield from self._draw_guards()
        if isinstance(self.alpha, Undefined):
            yield self.alpha.sentence
            return
        if isinstance(self.prelabelled_alpha, Undefined):
            yield (
                "How far pre-labels move the raters cannot be measured where they were in sight, "
                f"and the policy asks for it: {self.prelabelled_alpha.sentence}"
            )
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
        given = measured.ratings.values()
        share = sum(one >= wanted["min"] for one in given) / max(1, len(given))
        if share < wanted["share"]:
            yield (
                f"Only {share:.0%} of the recordings have {wanted['min']} or more raters; "
                f"{wanted['share']:.0%} are needed."
            )
        # A recording of one rater has nobody to agree with, and neither has its participant.
        alone = (
            " Recordings with a single rating do not count."
            if len(measured.compared) < len(given)
            else ""
        )
        for found, minimum, what in (
            (len(measured.participants), guards["clusters_min"], "participants"),
            (len(measured.compared), guards["recordings_min"], "recordings"),
            (
                len(measured.positives),
                guards.get("positive_clusters_min", 0),
                f"participants in whom “{self.positive}” was seen",
            ),
        ):
            if found < minimum:
                yield f"There are {found} {what}; at least {minimum} are needed.{alone}"
        low, high = guards.get("prevalence", (0, 1))
        if measured.prevalence is not None and not low <= measured.prevalence <= high:
            yield (
                f"“{self.positive}” makes up {measured.prevalence:.1%} of the ratings; between "
                f"{low:.0%} and {high:.0%} are needed to tell agreement from chance."
            )

    def _draw_guards(self) -> Iterator[str]:
        """Why the recordings that several raters labelled do not speak for all of them."""
        sample, wanted = self.measured.sample, self.reliability["min_share"]
        if not sample.stratum:
            return  # nobody labelled anything: said already
        shares = {"all recordings": sample.share}
        if self.reliability.get("strata"):
            shares |= {f"prompt {k}": share for k, share in sample.share_by_stratum().items()}
        for where, share in shares.items():
            if share < wanted:
                yield (
                    f"Only {share:.0%} of {where} were drawn to be labelled by several raters; "
                    f"{wanted:.0%} are needed."
                )
        if not sample.looks_random:
            yield (
                f"{len(sample.probability)} of {len(sample.stratum)} recordings count for "
                "agreement, and their recorded probabilities do not fit a random draw of so many: "
                "recordings that were chosen, or that came in first, say nothing about the others."
            )

    def _why_failing(self) -> Iterator[str]:
        guards, found = self.rule["guards"], self.coefficients
        for name, by_value, words in (
            ("category_alpha_min", found.alpha_by_category, "alpha of"),
            ("specific_agreement_min", found.specific, "specific agreement on"),
        ):
            for which, minimum in self._minima(name).items():
                value = by_value[which]
                if isinstance(value, Undefined) or value < minimum:
                    said = str(value) if isinstance(value, Undefined) else f"{value:.3f}"
                    yield f"The {words} “{which}” is {said}; {minimum} is needed."
        limit = guards.get("item_undecided_max")
        if limit is not None and self.undecided is not None and self.undecided > limit:
            what = "recordings" if self.measured.label.data == "clips" else "the marked time"
            yield (
                f"The raters are evenly split on {self.undecided:.1%} of {what}; at most "
                f"{limit:.0%} is allowed."
            )
        yield from self._why_moved()
        limit = guards.get("alpha_if_removed_max_gain")
        ends = self.without_one_rater
        if limit is not None and ends is not None and not isinstance(self.alpha, Undefined):
            gain = ends[1] - self.alpha
            if gain > limit:
                yield (
                    f"Without one of the raters alpha would be {gain:.3f} higher; at most {limit} "
                    "is allowed. Look at how that rater reads the codebook."
                )

    def _why_moved(self) -> Iterator[str]:
        limit, shown = (
            self.rule["guards"].get("blind_vs_prelabelled_gap_max"),
            self.prelabelled_alpha,
        )
        if limit is None or shown is None:
            return
        if isinstance(shown, Undefined) or isinstance(self.alpha, Undefined):
            return  # undetermined then, and said there
        if abs(shown - self.alpha) > limit:
            yield (
                f"Alpha is {shown:.3f} where pre-labels were in sight and {self.alpha:.3f} where "
                f"not; at most {limit} apart is allowed. The pre-labels move the raters."
            )

    def _minima(self, name: str) -> dict[str, float]:
        """A guard's minimum for each value that it is about."""
        guard = self.rule["guards"].get(name)
        if guard is None:
            return {}
        return dict(guard) if isinstance(guard, Mapping) else {str(self.positive): guard}

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
            "inputs_sha256": hashlib.sha256(canonical(self.statistics.to_dict())).hexdigest(),
            "alpha": in_json(found.alpha),
            "interval": _interval(self.interval),
            "without_one_rater": [in_json(end) for end in ends] if ends else None,
            "cross_check": self._cross_check(),
            "prevalence": in_json(measured.prevalence),
            "n": {
                "participants": len(measured.participants),
                "recordings": len(measured.compared),
                "raters": len(measured.raters),
                "submissions": sum(len(raters) for raters in measured.roster.values()),
                "positive_participants": len(measured.positives),
                "units": in_json(found.n_units),
                "duration_us": int(data.duration_us.sum()) if isinstance(data, Runs) else None,
            },
            "sample": {
                "recordings": len(measured.sample.stratum),
                "drawn": len(measured.sample.probability),
                "share": in_json(measured.sample.share),
                "weights": "inverse probability of being drawn",
            },
            "undecided": in_json(self.undecided),
            "prelabelled": self._prelabelled(),
            "report": reported(self.rule["report"], found, measured),
        }

    def _prelabelled(self) -> dict[str, Any] | None:
        if self.prelabelled is None:
            return None
        recordings = len(self.prelabelled.compared)
        return {"alpha": in_json(self.prelabelled_alpha), "recordings": recordings}

    def _cross_check(self) -> dict[str, Any]:
        other = self.independent_alpha
        apart: Any = None
        if not isinstance(other, Undefined) and not isinstance(self.alpha, Undefined):
            apart = float(f"{abs(other - self.alpha):.6g}") + 0.0
        return {"package": "krippendorff", "alpha": in_json(other), "difference": apart}


def _interval(found: Interval | Undefined) -> dict[str, Any]:
    if isinstance(found, Undefined):
        return {"undefined": found.reason}
    return {
        "low": in_json(found.low),
        "high": in_json(found.high),
        "level": found.level,
        "method": f"cluster bootstrap, {found.method}"
        if found.method != "jackknife_t"
        else "jackknife over clusters, Student's t",
        "clusters": found.n_clusters,
        "resamples": found.resamples,
        "undefined_resamples": found.n_undefined,
        "seed": found.seed,
    }
