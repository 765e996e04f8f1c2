"""How many of a study's recordings fall short of thresholds that may not be set yet; in SQL.

A database query for each page, whatever the number of recordings. What is asked here is what
`limits.judge` says of each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_

from django.db.models import Count, F, FloatField, Func, JSONField, Q, QuerySet, Value
from django.db.models.functions import Cast

from waver.recordings.models import Quality, Recording
from waver.recordings.quality.catalogue import AT_LEAST, FIGURES
from waver.recordings.quality.limits import Limits
from waver.studies.models import Study

# Nobody decides about these: they cannot be used, or may not.
_OUT = (Recording.State.FAILED, Recording.State.REFUSED)


@dataclass(frozen=True)
class Counted:
    """Recordings with figures, those that fall short of any limit, and of each (by figure)."""

    measured: int
    short: int
    by_figure: dict[str, int]


def measured(study: Study) -> QuerySet[Quality]:
    """Give the figures of all recordings of a study that may still be used."""
    return Quality.objects.filter(recording__study=study).exclude(recording__state__in=_OUT)


def figure_value(key: str, *, of: str = "figures") -> Cast:
    """Give a figure as a number of the database, NULL where it is not known.

    `of` is the way to the JSON field. Only keys of the catalogue are taken.
    """
    path = f'$.{FIGURES[key].key} ? (@.type() == "number")'
    number = Func(
        F(of),
        Value(path),
        function="jsonb_path_query_first",
        template="%(function)s(%(expressions)s::jsonpath)",
        output_field=JSONField(),
    )
    return Cast(number, FloatField())


def count(study: Study, limits: Limits) -> Counted:
    """Count what would fall short of these limits, exactly, in one query."""
    rows = measured(study)
    if not limits:
        return Counted(rows.count(), 0, {})
    rows = rows.annotate(**{f"v_{key}": figure_value(key) for key in limits})
    short = {key: _falls_short(key, limits) for key in limits}
    found = rows.aggregate(
        _measured=Count("pk"),
        _short=Count("pk", filter=reduce(or_, short.values())),
        **{f"n_{key}": Count("pk", filter=condition) for key, condition in short.items()},
    )
    return Counted(
        measured=found["_measured"],
        short=found["_short"],
        by_figure={key: found[f"n_{key}"] for key in limits},
    )


def _falls_short(key: str, limits: Limits) -> Q:
    ((bound, limit),) = limits[key].items()
    beyond = Q(**{f"v_{key}__{'lt' if bound == AT_LEAST else 'gt'}": limit})
    return beyond | Q(**{f"v_{key}__isnull": True})
