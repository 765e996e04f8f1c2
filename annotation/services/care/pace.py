"""Time on task: how long a recording was open before it was submitted, by Label Studio's clock.

A recording can be open while nobody looks, so long times say little; short ones say more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from uuid import UUID

import numpy as np

from annotation.agreement.results import Undefined, Value
from annotation.services.care.figure import Figure, because
from annotation.services.care.material import Material, Submission

FEWEST = 20
"""A 5th percentile of fewer times is one of the shortest times itself."""

MANY_FAST = 0.15
MANY_SHORTER = 0.05


@dataclass(frozen=True, slots=True)
class Pace:
    """Times of one rater in one pass.

    `seconds`   float, ascending: how long each recording was open.
    `p5`, `median`, `p95`  of `seconds`; `Undefined("no_ratings")` without a time.
    `shorter`   recordings that were open for less time than they last.
    `fast`      share of recordings whose time, divided by their length, lies below the 5th
                percentile of the other raters' (5 % by chance); `peers` is how many times of
                others that percentile rests on.
    `slowing`   median of the last FEWEST times divided by the median of those before.
    """

    seconds: tuple[float, ...]
    p5: Value
    median: Value
    p95: Value
    shorter: int
    fast: Value
    peers: int
    recent: Value

    @property
    def n(self) -> int:
        """Give how many times there are."""
        return len(self.seconds)


def pace(material: Material, rater: UUID, pass_id: str) -> Pace:
    """Measure one rater's times in one pass against the media and against the other raters."""
    timed = _timed(material, pass_id)
    own = timed.get(rater, [])
    peers = [_ratio(each) for who, rows in timed.items() if who != rater for each in rows]
    seconds = [(each.lead_us or 0) / 1e6 for each in own]
    ends: list[Value] = [Undefined("no_ratings")] * 3
    if seconds:
        ends = [float(value) for value in np.quantile(seconds, [0.05, 0.5, 0.95])]
    fast: Value = Undefined("too_few_units")
    if len(peers) >= FEWEST and own:
        limit = float(np.quantile(peers, 0.05))
        fast = sum(_ratio(each) < limit for each in own) / len(own)
    recent: Value = Undefined("too_few_units")
    if len(own) >= 2 * FEWEST:
        ratios = [_ratio(each) for each in own]
        recent = median(ratios[-FEWEST:]) / median(ratios[:-FEWEST])
    return Pace(
        seconds=tuple(sorted(seconds)),
        p5=ends[0],
        median=ends[1],
        p95=ends[2],
        shorter=sum((each.lead_us or 0) < each.duration_us for each in own),
        fast=fast,
        peers=len(peers),
        recent=recent,
    )


def pace_figures(material: Material, rater: UUID, passes: Sequence[str]) -> list[Figure]:
    """Give the times of one rater, pass by pass."""
    return [
        figure
        for pass_id in passes
        for figure in _of_pass(material, pace(material, rater, pass_id), pass_id)
    ]


def _of_pass(material: Material, found: Pace, pass_id: str) -> list[Figure]:
    title = material.codebook.pass_(pass_id).title
    none = "Label Studio reported no times, or they were removed after their time was over."
    share: Value = found.shorter / found.n if found.n else Undefined("no_ratings")
    return [
        Figure(
            key=f"pace:{pass_id}",
            title=f"{title}: time on a recording, median",
            value=found.median,
            low=found.p5,
            high=found.p95,
            n=found.n,
            of="recordings",
            unit="time",
            means=because(
                found.median,
                means="How long a recording was open before it was submitted; nine in ten times "
                "lie in the range beside it.",
                why=none,
            ),
        ),
        Figure(
            key=f"pace:{pass_id}:shorter",
            title=f"{title}: shorter than the recording",
            value=share,
            n=found.n,
            of="recordings",
            means=because(
                share,
                means="Share of recordings submitted in less time than they last, so not watched "
                "to the end.",
                why=none,
            ),
            attention="Recordings were submitted before they could have been watched to the end."
            if not isinstance(share, Undefined) and share > MANY_SHORTER and found.shorter > 1
            else "",
        ),
        Figure(
            key=f"pace:{pass_id}:fast",
            title=f"{title}: faster than 95 % of the others' work",
            value=found.fast,
            n=found.n,
            of="recordings",
            means=because(
                found.fast,
                means="Share of recordings that took less time, for their length, than the "
                f"fastest twentieth of the other raters' ({found.peers} times). 5 % is usual.",
                why=f"The other raters have {found.peers} times so far; {FEWEST} are needed."
                if found.n
                else none,
            ),
            attention="Much of this work was faster than nearly all of the others'."
            if not isinstance(found.fast, Undefined)
            and found.fast > MANY_FAST
            and found.n >= FEWEST
            else "",
        ),
        Figure(
            key=f"pace:{pass_id}:recent",
            title=f"{title}: the last {FEWEST} against those before",
            value=found.recent,
            n=found.n,
            of="recordings",
            unit="ratio",
            means=because(
                found.recent,
                means="1 is unchanged, 0.5 is twice as fast as before (medians, for the "
                "recordings' lengths).",
                why=f"{found.n} times so far; {2 * FEWEST} are needed." if found.n else none,
            ),
        ),
    ]


def _timed(material: Material, pass_id: str) -> dict[UUID, list[Submission]]:
    """Give the submissions with a time in one pass, by rater, oldest first."""
    key = ("timed", pass_id)
    if key not in material.kept:
        found: dict[UUID, list[Submission]] = defaultdict(list)
        for each in material.submissions:
            if each.pass_id == pass_id and each.lead_us:
                found[each.rater].append(each)
        material.kept[key] = dict(found)
    kept: dict[UUID, list[Submission]] = material.kept[key]
    return kept


def _ratio(each: Submission) -> float:
    return (each.lead_us or 0) / max(each.duration_us, 1)
