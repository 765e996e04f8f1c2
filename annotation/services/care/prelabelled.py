"""What a rater does with pre-labels: leaves them as they are, moves them, deletes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annotation.agreement.raters import wilson
from annotation.agreement.results import Undefined, Value
from annotation.models import Annotation, Assignment
from annotation.services.care.figure import Figure, because
from annotation.services.care.material import Submission

UNCHANGED, MOVED, DELETED = "unchanged", "moved", "deleted"
FEWEST = 20
MOST_ACCEPTED = 0.9

_SAME_US = 1000  # the interface writes seconds with its own rounding


@dataclass(frozen=True, slots=True)
class _Region:
    """A stretch with its labels, or an answer about the clip, in Label Studio's result."""

    key: str
    labels: tuple[str, ...]
    start_us: int | None
    end_us: int | None

    def equals(self, other: _Region) -> bool:
        """Tell whether labels and both ends are the same."""
        return self.labels == other.labels and all(
            a == b if a is None or b is None else abs(a - b) <= _SAME_US
            for a, b in ((self.start_us, other.start_us), (self.end_us, other.end_us))
        )

    def meets(self, other: _Region) -> bool:
        """Tell whether two stretches share time."""
        if self.start_us is None or self.end_us is None:
            return False
        if other.start_us is None or other.end_us is None:
            return False
        return min(self.end_us, other.end_us) > max(self.start_us, other.start_us)


def fates(shown: Iterable[Mapping[str, Any]], said: Iterable[Mapping[str, Any]]) -> list[str]:
    """Say of each pre-label that was shown what became of it in the submitted result.

    Label Studio keeps a region's id when it is moved. Where ids do not fit, a region with the same
    labels and ends is taken for it, then one that shares time with it.
    """
    asked, left = _regions(shown), _regions(said)
    taken: dict[int, _Region] = {}
    rules: tuple[Callable[[_Region, _Region], bool], ...] = (
        lambda a, b: a.key == b.key,
        _Region.equals,
        _Region.meets,
    )
    for fits in rules:  # the surest rule for all of them first, then the next
        for place, region in enumerate(asked):
            match = next((each for each in left if fits(region, each)), None)
            if place not in taken and match is not None:
                taken[place] = match
                left.remove(match)
    return [
        DELETED if place not in taken else UNCHANGED if region.equals(taken[place]) else MOVED
        for place, region in enumerate(asked)
    ]


def acceptance(submissions: Sequence[Submission]) -> tuple[Counter[str], int]:
    """Count the fates of all pre-labels that were shown in these submissions, and these."""
    ids = {each.assignment: each.standing for each in submissions}
    shown = dict(
        Assignment.objects.filter(pk__in=ids, prelabels__isnull=False)
        .exclude(prelabels=[])
        .values_list("pk", "prelabels")
    )
    raw = dict(Annotation.objects.filter(pk__in=[ids[pk] for pk in shown]).values_list("pk", "raw"))
    counted: Counter[str] = Counter()
    for assignment, prelabels in shown.items():
        counted.update(fates(prelabels or [], raw[ids[assignment]].get("result", [])))
    return counted, len(shown)


def prelabel_figures(submissions: Sequence[Submission]) -> list[Figure]:
    """Give the shares of pre-labels left unchanged, moved and deleted."""
    counted, recordings = acceptance(submissions)
    n = counted.total()
    titles = {
        UNCHANGED: ("left unchanged", "with the same label and both ends where they were"),
        MOVED: ("moved or relabelled", "kept, with another beginning, end or label"),
        DELETED: ("deleted", "not in what was submitted"),
    }
    figures = []
    for fate, (title, meaning) in titles.items():
        share: Value = counted[fate] / n if n else Undefined("no_ratings")
        low, high = wilson(counted[fate], n) if n else (None, None)
        figures.append(
            Figure(
                key=f"prelabels:{fate}",
                title=f"Pre-labels {title}",
                value=share,
                low=low,
                high=high,
                n=n,
                of=f"pre-labels in {recordings} recordings",
                means=because(
                    share,
                    means=f"Suggestions of a computer that were {meaning}.",
                    why="No pre-label was shown to this rater.",
                ),
                attention="Nearly every suggestion was left as it was: compare with the "
                "recordings that came without."
                if fate == UNCHANGED and n >= FEWEST and counted[fate] / n > MOST_ACCEPTED
                else "",
            )
        )
    return figures


def _regions(result: Iterable[Mapping[str, Any]]) -> list[_Region]:
    """Read the labelled stretches of a result; answers about a stretch are not pre-labels."""
    found: dict[str, _Region] = {}
    for item in result:
        value = item.get("value")
        if not isinstance(value, Mapping):
            continue
        labels = value.get("labels") or value.get("timelinelabels")
        start, end = _ends(value)
        if labels:
            key = str(item.get("id"))
            found[key] = _Region(key, tuple(map(str, labels)), start, end)
        elif "choices" in value and start is None:
            key = str(item.get("from_name"))
            found[key] = _Region(key, tuple(map(str, value["choices"])), None, None)
    return list(found.values())


def _ends(value: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Give the ends of a region in microseconds, or, for a region of frames, in frames."""
    ranges = value.get("ranges")
    if isinstance(ranges, list) and ranges and isinstance(ranges[0], Mapping):
        first = ranges[0]
        # Frames, spread out so that neighbouring ones are never taken for the same.
        return 2 * _SAME_US * int(first["start"]), 2 * _SAME_US * int(first["end"])
    start, end = value.get("start"), value.get("end")
    if not isinstance(start, int | float) or not isinstance(end, int | float):
        return None, None
    return round(start * 1e6), round(end * 1e6)
