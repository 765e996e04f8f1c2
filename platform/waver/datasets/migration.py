"""What a new codebook version does to agreement: alpha before and after, on the same work.

The same annotations are measured twice: in the words of the version that they were made with, and
as the migration carries them over. Only what the migration carries over whole is compared, and
only in the arm that saw no pre-labels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from annotation.agreement import Interval, Undefined, coefficients, compare
from annotation.agreement.results import Value
from annotation.codebooks import Migration
from annotation.models import CodebookVersion
from waver.core.errors import BadInput
from waver.datasets import answers, measures
from waver.datasets.labels import Label, labels_of, read_codebook
from waver.datasets.measures import Measured
from waver.datasets.models import Snapshot
from waver.datasets.reports import in_json
from waver.datasets.snapshots import items_of

TICK_US = 40_000
"""The unit of time where a caller names none: that of the policies that come with Waver."""
_RESAMPLES, _SEED = 2000, 20261120


@dataclass(frozen=True)
class Effect:
    """One label of the new version beside those of the old one that it was made from.

    `before` maps each old label to its alpha; `difference` is the interval of after - before where
    there is exactly one. `carried` of `annotations` could be carried over whole.
    """

    label: str
    before: Mapping[str, Value]
    after: Value
    difference: Interval | Undefined | None
    carried: int
    annotations: int

    @property
    def sentence(self) -> str:
        """Say it for a person who decides whether to go on with the new version."""
        kept = f"{self.carried} of {self.annotations} annotations were carried over whole"
        if not self.before:
            return f"“{self.label}” is new: it has no agreement before. {kept.capitalize()}."
        was = " and ".join(f"“{name}” alpha {_said(value)}" for name, value in self.before.items())
        said = f"“{self.label}”: before, {was}; after, alpha {_said(self.after)}"
        if isinstance(self.difference, Interval):
            change = self.difference
            said += (
                f"; {change.level:.0%} interval of the difference {change.low:+.3f} to "
                f"{change.high:+.3f}"
            )
        elif self.difference is not None:
            said += f"; the difference has no interval: {self.difference.sentence.rstrip('.')}"
        return f"{said}. {kept}. The gate is open again: nothing is released before a new look."

    def to_dict(self) -> dict[str, Any]:
        """Give it in the form of a receipt."""
        change: Any = None
        if isinstance(self.difference, Interval):
            change = {
                "low": in_json(self.difference.low),
                "high": in_json(self.difference.high),
                "level": self.difference.level,
            }
        elif self.difference is not None:
            change = in_json(self.difference)
        return {
            "before": {name: in_json(value) for name, value in self.before.items()},
            "after": in_json(self.after),
            "difference": change,
            "carried": self.carried,
            "annotations": self.annotations,
            "sentence": self.sentence,
        }


def effect(
    snapshot: Snapshot,
    newest: CodebookVersion,
    *,
    tick_us: int = TICK_US,
    among: Collection[UUID] | None = None,
) -> list[Effect]:
    """Measure what carrying a snapshot over to a later codebook version does to each label.

    `among` names the annotations that may be looked at: those of people who still take part.
    Raises BadInput when the version does not come after the snapshot's.
    """
    way = answers.way_from(snapshot.codebook_id, newest.pk)
    if not way:
        raise BadInput(f"{newest} does not come after {snapshot.codebook}: there is no change.")
    items = [
        item
        for item in items_of(snapshot)
        if item.arm in measures.BLIND and (among is None or item.annotation in among)
    ]
    found = answers.carry(
        ((item.annotation, item.codebook, item.stored_pass) for item in items), newest.pk
    )
    whole = {key for key, one in found.items() if one.pass_id and one.complete}
    old = labels_of(read_codebook(snapshot.codebook.text))
    new = labels_of(read_codebook(newest.text))
    sources = made_from(snapshot.codebook, newest)
    of_pass = {item.annotation: item.pass_id for item in items}
    return [
        _effect(snapshot, newest, label, [old[k] for k in sources[key]], whole, of_pass, tick_us)
        for key, label in new.items()
    ]


def since_last_version(snapshot: Snapshot) -> dict[str, Any] | None:
    """Give what the change of version before this snapshot did, in the form of a receipt.

    None where no snapshot of an earlier version of this codebook was ever frozen. Only work that
    is in both snapshots is compared.
    """
    before = (
        Snapshot.objects.filter(
            study=snapshot.study,
            number__lt=snapshot.number,
            codebook__code=snapshot.codebook.code,
            codebook__version__lt=snapshot.codebook.version,
        )
        .select_related("codebook", "study")
        .order_by("-number")
        .first()
    )
    if before is None:
        return None
    both = frozenset(
        snapshot.annotations.filter(pk__in=before.annotations.values("pk")).values_list(
            "pk", flat=True
        )
    )
    found = effect(before, snapshot.codebook, among=both)
    return {
        "from": str(before.codebook),
        "to": str(snapshot.codebook),
        "snapshot": before.number,
        "labels": {one.label: one.to_dict() for one in found},
    }


def _effect(
    snapshot: Snapshot,
    newest: CodebookVersion,
    label: Label,
    sources: list[Label],
    whole: set[UUID],
    of_pass: Mapping[UUID, str],
    tick_us: int,
) -> Effect:
    def measured(one: Label, **more: Any) -> Measured:
        return measures.measure(snapshot, one, tick_us=tick_us, only=whole, **more)

    after = measured(label, codebook=newest).statistics
    stats = {one.key: measured(one).statistics for one in sources}
    difference: Interval | Undefined | None = None
    if len(stats) == 1:
        (before,) = stats.values()
        difference = compare(after, before, "alpha", resamples=_RESAMPLES, seed=_SEED)
    asked = [key for key, part in of_pass.items() if part in {one.pass_id for one in sources}]
    return Effect(
        label=label.key,
        before={key: coefficients(one).alpha for key, one in stats.items()},
        after=coefficients(after).alpha,
        difference=difference,
        carried=len(whole.intersection(asked)),
        annotations=len(asked),
    )


def made_from(before: CodebookVersion, after: CodebookVersion) -> dict[str, list[str]]:
    """New label -> the old ones whose answers it can hold, in the old codebook's order.

    Raises BadInput when `after` does not come after `before`.
    """
    way = answers.way_from(before.pk, after.pk)
    found: dict[str, list[str]] = {key: [] for key in labels_of(read_codebook(after.text))}
    for key, label in labels_of(read_codebook(before.text)).items():
        for target in _targets(label, way):
            if target in found:
                found[target].append(key)
    return found


def _targets(label: Label, way: tuple[Migration, ...]) -> set[str]:
    """The keys that a label can have at the end of the way."""
    here = {(label.pass_id, label.source, label.answer)}
    for migration in way:
        here = {after for one in here for after in _step(one, label, migration)}
    part = "certainty" if label.is_certainty else ""
    if part:  # a certainty is named by its own question, and stays where it was asked
        return {f"{one[0]}/{label.key.split('/')[1]}" for one in here}
    return {"/".join(name for name in one if name) for one in here}


def _step(
    one: tuple[str, str, str], label: Label, migration: Migration
) -> Iterator[tuple[str, str, str]]:
    pass_id, source, answer = one
    change = migration.passes.get(pass_id)
    if change is None or not change.to:
        return
    if label.data == "segments":
        target = change.labels.get(source)
        if target is not None:
            for name in (target.to, *target.when.values(), target.otherwise):
                if name:
                    yield change.to, name, ""
    elif answer:
        target = change.answers.get((source, answer))
        if target is not None:
            question = target.question or source
            for name in (target.to, *target.when.values(), target.otherwise):
                if name:
                    yield change.to, question, name
    else:
        target = change.questions.get(source)
        if target is not None and target.to:
            yield change.to, target.to, ""


def _said(value: Value) -> str:
    return str(value) if isinstance(value, Undefined) else f"{value:.3f}"
