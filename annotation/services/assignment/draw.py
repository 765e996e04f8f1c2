"""Drawing by seed: samples, balanced loads, and the order in which a rater gets their work.

Pure: keys in, keys out. Every choice is made by hashing the seed with the things' own names, so
that the same study and seed always give the same plan, in whatever order the rows come.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Thing = TypeVar("Thing", bound=Hashable)
Rater = TypeVar("Rater", bound=Hashable)


def lot(*parts: object) -> bytes:
    """Give the lot that a thing draws: the same for the same parts, without order otherwise."""
    return hashlib.sha256(":".join(map(str, parts)).encode()).digest()


def share_of(share: float, count: int) -> int:
    """Give `share · count`, rounded half up."""
    return math.floor(share * count + 0.5)


def draw_sample(strata: Mapping[Thing, object], share: float, *, seed: int) -> set[Thing]:
    """Draw things at random, exactly `share` of them (rounded half up, at least one).

    `strata` says of each thing what the sample is spread over, such as its prompt. Systematic
    sampling of the list by stratum and lot: every thing has the same probability to be drawn,
    sample size / number of things, and every stratum gives its share, up or down to a whole number.
    """
    if not strata:
        return set()
    listed = sorted(strata, key=lambda thing: (str(strata[thing]), lot("sample", seed, thing)))
    size = max(1, share_of(share, len(listed)))
    step = len(listed) / size
    # The start depends on what is in the list, so that not always its first is drawn.
    start = random.Random(lot("start", seed, *sorted(map(str, listed)))).random()  # noqa: S311
    return {listed[min(int((start + number) * step), len(listed) - 1)] for number in range(size)}


@dataclass(frozen=True)
class Wanted(Generic[Rater]):
    """How many raters a recording needs, and who may be one."""

    need: int
    may: frozenset[Rater]


def allocate(
    wanted: Mapping[Thing, Wanted[Rater]],
    *,
    seed: int,
    earlier: Mapping[Rater, int] | None = None,
    already: Mapping[Rater, int] | None = None,
) -> dict[Thing, frozenset[Rater]]:
    """Give every recording exactly the raters that it needs, with loads as even as can be.

    Where everybody may label everything, the largest and the smallest load differ by 1 at most.
    Where languages or conflicts forbid that, no rater has a recording that could be handed on, in
    one step or along a chain of raters, to somebody who has two less: this minimises the sum of
    squared loads. `already` is what raters hold and keep: it counts as load. `earlier` is what they
    had before; it decides between equals only.
    Raises ValueError for a recording that needs more raters than may label it.
    """
    before = earlier or {}
    short = [thing for thing, each in wanted.items() if each.need > len(each.may)]
    if short:
        raise ValueError(f"Too few raters may label {short[0]}.")
    held = already or {}
    load = {rater: held.get(rater, 0) for each in wanted.values() for rater in each.may}
    given: dict[Thing, set[Rater]] = {}
    # Who can be given to few first: the others make good what those leave uneven.
    for thing in sorted(
        wanted, key=lambda t: (len(wanted[t].may) - wanted[t].need, lot("thing", seed, t))
    ):
        may = sorted(
            wanted[thing].may,
            key=lambda r: (load[r], before.get(r, 0), lot("rater", seed, thing, r)),
        )
        given[thing] = set(may[: wanted[thing].need])
        for rater in given[thing]:
            load[rater] += 1
    _even_out(given, wanted, load)
    return {thing: frozenset(raters) for thing, raters in given.items()}


def _even_out(
    given: dict[Thing, set[Rater]], wanted: Mapping[Thing, Wanted[Rater]], load: dict[Rater, int]
) -> None:
    """Hand recordings on along chains of raters until no load can be made more even."""
    things = list(given)
    raters = sorted(load, key=str)
    # A set of recordings is a number, one bit for each: whole sets are compared at once.
    has = {r: sum(1 << i for i, t in enumerate(things) if r in given[t]) for r in raters}
    may = {r: sum(1 << i for i, t in enumerate(things) if r in wanted[t].may) for r in raters}
    while chain := _chain(raters, has, may, load):
        for giver, taker in itertools.pairwise(chain):
            movable = has[giver] & may[taker] & ~has[taker]
            bit = movable & -movable
            has[giver] ^= bit
            has[taker] |= bit
            thing = things[bit.bit_length() - 1]
            given[thing].remove(giver)
            given[thing].add(taker)
        load[chain[0]] -= 1
        load[chain[-1]] += 1


def _chain(
    raters: Sequence[Rater],
    has: Mapping[Rater, int],
    may: Mapping[Rater, int],
    load: Mapping[Rater, int],
) -> list[Rater]:
    """Find a shortest chain from a rater to one who has at least two less; [] for none."""
    for first in sorted(raters, key=lambda r: -load[r]):
        came_from: dict[Rater, Rater | None] = {first: None}
        waiting = [first]
        for giver in waiting:
            if load[giver] <= load[first] - 2:
                chain = [giver]
                while (previous := came_from[chain[-1]]) is not None:
                    chain.append(previous)
                return chain[::-1]
            for taker in raters:
                if taker not in came_from and has[giver] & may[taker] & ~has[taker]:
                    came_from[taker] = giver
                    waiting.append(taker)
    return []


@dataclass(frozen=True)
class Place(Generic[Thing]):
    """One place in a rater's order. `repeat` is 1 where they meet the recording again."""

    thing: Thing
    repeat: int = 0


def put_in_order(
    work: Iterable[Thing], gold: Collection[Thing], *, repeats: int, gap: int, seed: bytes
) -> list[Place[Thing]]:
    """Give a random order with controls in random places: known answers, and repeats of work.

    At least `gap` other recordings lie between a recording and its repeat. Where the order is too
    short for all `repeats`, there are fewer: count them.
    """
    chance = random.Random(seed)  # noqa: S311 - a draw that must be the same again
    own = set(work)
    first: list[Thing] = sorted([*own, *gold], key=lambda thing: lot(seed, thing))
    early = [at for at, thing in enumerate(first) if thing in own and at + gap < len(first)]
    after: dict[int, list[Thing]] = {}
    for at in sorted(chance.sample(early, min(repeats, len(early)))):
        # Before the thing at this place, or at the very end: `gap` others at least in between.
        place = chance.randint(at + gap + 1, len(first))
        after.setdefault(place, []).append(first[at])
    order: list[Place[Thing]] = []
    for at in range(len(first) + 1):
        again = after.get(at, [])
        chance.shuffle(again)
        order += [Place(thing, repeat=1) for thing in again]
        if at < len(first):
            order.append(Place(first[at]))
    return order
