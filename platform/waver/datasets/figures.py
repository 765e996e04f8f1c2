"""What the agreement page's pictures show: computed once for a look, kept per participant.

`compute` and `store` are a job's work. What is kept are sums of one participant each, erased with
the person; the readers below add up those who still take part, so a picture never shows somebody
who left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from django.db import transaction
from django.db.models import QuerySet

from annotation.agreement import GAP, coefficients
from annotation.agreement.results import Value
from annotation.agreement.statistics import SufficientStatistics
from annotation.models import RaterProfile
from waver.consent.models import ConsentState, Participant, Purpose
from waver.core.jobs import enqueue
from waver.core.models import Job
from waver.datasets import disagreement
from waver.datasets.anchoring import Anchoring, ArmData, anchoring
from waver.datasets.jobs import FIGURES
from waver.datasets.labels import Label, labels_of, read_codebook
from waver.datasets.measures import Measured, measure, statistic_name
from waver.datasets.models import Figure, GateRun, RecordingDisagreement, Snapshot
from waver.studies.models import Study, StudyDesign

Kind = Figure.Kind
_BATCH = 2000
_ARMS = (StudyDesign.Arm.BLIND.value, StudyDesign.Arm.PRELABEL.value)


@dataclass(frozen=True, slots=True)
class Judged:
    """A label that a look judged, with the unit of time that it was measured in."""

    label: Label
    tick_us: int | None

    @property
    def name(self) -> str:
        """What its rows are kept under."""
        return statistic_name(self.label, self.tick_us)

    @property
    def confusion_name(self) -> str:
        """What the confusion it takes part in is kept under: for segments, its whole pass."""
        return self.name if self.tick_us is None else f"{self.label.pass_id}@{self.tick_us}"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two raters: alpha on the recordings that both labelled blind, and how many these are."""

    alpha: Value
    recordings: int


@dataclass(frozen=True, slots=True)
class RaterTable:
    """Every two raters of a label. `without` is alpha when that one rater is left out."""

    raters: tuple[UUID, ...]
    pairs: dict[tuple[UUID, UUID], Pair]
    without: dict[UUID, Value]


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often one rater's `values[c]` stands beside another's `values[k]`: `cells[c][k]`.

    In `unit`: seconds of rated time, or answers. Symmetric; the diagonal is agreement.
    """

    values: tuple[str, ...]
    cells: tuple[tuple[float, ...], ...]
    unit: str

    def share(self, row: int, column: int) -> float | None:
        """Of what one rater called `row`, the share that another called `column`."""
        whole = sum(self.cells[row])
        return self.cells[row][column] / whole if whole else None


@dataclass(frozen=True, slots=True)
class Computed:
    """What the pictures of a look rest on, not stored yet."""

    sums: list[Figure]
    apart: list[RecordingDisagreement]


def judged(run: GateRun) -> dict[str, Judged]:
    """Give the labels that a look judged, in the codebook's order."""
    found = run.receipt["labels"]
    return {
        key: Judged(label, found[key].get("tick_us"))
        for key, label in labels_of(read_codebook(run.snapshot.codebook.text)).items()
        if key in found
    }


def are_there(run: GateRun) -> bool:
    """Whether the pictures of a look were computed."""
    names = [one.name for one in judged(run).values()]
    return Figure.objects.filter(snapshot=run.snapshot_id, kind=Kind.ARMS, label__in=names).exists()


def ask(run: GateRun) -> Job:
    """Ask a worker to compute the pictures of a look."""
    return enqueue(
        FIGURES, subject_kind="gate_run", subject_id=run.pk, key=f"{FIGURES.name}:{run.pk}"
    )


def compute(run: GateRun) -> Computed:
    """Compute what the pictures of a look show; nothing is stored yet."""
    rows: list[Figure] = []
    apart: list[RecordingDisagreement] = []
    for one in judged(run).values():
        # As the gate measures: what was drawn for it, weighted. The rest is about all labels.
        drawn = measure(run.snapshot, one.label, tick_us=one.tick_us, sample_only=True)
        rows += _figures(run.snapshot, Kind.RATERS, one.name, disagreement.by_raters(drawn))
        blind = measure(run.snapshot, one.label, tick_us=one.tick_us)
        rows += _figures(run.snapshot, Kind.ARMS, one.name, _arms(run.snapshot, one, blind))
        if one.tick_us is None:
            found = disagreement.of_answers(blind)
            rows += _figures(run.snapshot, Kind.CONFUSION, one.confusion_name, found)
        apart += _apart(run.snapshot, one.name, blind)
    for name, found in _over_time(run):
        rows += _figures(run.snapshot, Kind.CONFUSION, name, found)
    return Computed(rows, apart)


def store(run: GateRun, found: Computed) -> int:
    """Keep what was computed in the place of what was there; give the number of rows.

    Who has left by now gets none.
    """
    names = {row.label for row in found.sums} | {row.label for row in found.apart}
    people = {row.participant_id for row in found.sums}
    with transaction.atomic():
        # Whoever erases a participant first changes their state, and waits for this lock: either
        # they find our rows, or we see that the person has left.
        active = set(
            Participant.objects.select_for_update(no_key=True)
            .filter(pk__in=people, state=Participant.State.ACTIVE)
            .order_by("pk")
            .values_list("pk", flat=True)
        )
        Figure.objects.filter(snapshot=run.snapshot_id, label__in=names).delete()
        RecordingDisagreement.objects.filter(snapshot=run.snapshot_id, label__in=names).delete()
        sums = [row for row in found.sums if row.participant_id in active]
        apart = [row for row in found.apart if row.participant_id in active]
        Figure.objects.bulk_create(sums, batch_size=_BATCH)
        RecordingDisagreement.objects.bulk_create(apart, batch_size=_BATCH)
    return len(sums) + len(apart)


def raters(run: GateRun, one: Judged) -> RaterTable:
    """Give every two raters of a label, of the participants who still take part."""
    pairs: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
    without: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
    for values in _values(run, Kind.RATERS, one.name):
        for sums, found in ((pairs, values["pairs"]), (without, values["without"])):
            for name, row in found.items():
                sums[name] = sums[name] + row if name in sums else np.array(row)
    table = {}
    for name, row in pairs.items():
        first, second = map(UUID, name.split())
        table[first, second] = Pair(_alpha(one, row[1:]), round(row[0]))
    gone = _over(run.snapshot)
    return RaterTable(
        raters=tuple(sorted(UUID(name) for name in without if UUID(name) not in gone)),
        pairs={pair: found for pair, found in table.items() if not gone & set(pair)},
        without={
            UUID(name): _alpha(one, row) for name, row in without.items() if UUID(name) not in gone
        },
    )


def forget_raters() -> int:
    """Take out of the kept figures the raters whose time is over; give how many rows changed.

    Raters are data subjects too: figures about single ones go when the study's design says so.
    """
    changed = 0
    for snapshot in Snapshot.objects.filter(figures__kind=Kind.RATERS).distinct():
        gone = {str(pk) for pk in _over(snapshot)}
        rows = snapshot.figures.filter(kind=Kind.RATERS) if gone else Figure.objects.none()
        for row in rows.iterator(chunk_size=_BATCH):
            pairs = {k: v for k, v in row.values["pairs"].items() if not gone & set(k.split())}
            rest = {k: v for k, v in row.values["without"].items() if k not in gone}
            if (len(pairs), len(rest)) != (len(row.values["pairs"]), len(row.values["without"])):
                row.values = {"pairs": pairs, "without": rest}
                row.save(update_fields=["values"])
                changed += 1
    return changed


def confusion(run: GateRun, one: Judged) -> Confusion | None:
    """Give the confusion of a label's answers, or of all labels of its pass over time."""
    matrices = [np.array(cells) for cells in _values(run, Kind.CONFUSION, one.confusion_name)]
    if not matrices:
        return None
    values = one.label.values if one.tick_us is None else _with_gap(run, one.label.pass_id)
    return Confusion(
        values=values,
        cells=tuple(tuple(row) for row in sum(matrices[1:], matrices[0]).tolist()),
        unit="answers" if one.tick_us is None else "seconds",
    )


def most_disputed(run: GateRun, one: Judged) -> QuerySet[RecordingDisagreement]:
    """Give the recordings of a label, those on which most is disputed first."""
    return (
        RecordingDisagreement.objects.filter(snapshot=run.snapshot_id, label=one.name)
        .filter(participant__in=taking_part(run.snapshot.study))
        .select_related("recording__take__participant", "recording__take__prompt")
        .order_by("-amount", "recording_id")
    )


def arms(run: GateRun) -> list[Anchoring]:
    """Compare the arms of every label that a look judged, among those who could be in either."""
    return [
        anchoring(one.label, blind=sides[_ARMS[0]], shown=sides[_ARMS[1]])
        for one in judged(run).values()
        for sides in [_sides(run, one)]
    ]


def taking_part(study: Study) -> QuerySet[Participant]:
    """Give the participants who neither left the study nor ended being labelled."""
    ended = ConsentState.objects.filter(
        participant__study=study,
        purpose__in=[Purpose.PROCESS, Purpose.ANNOTATE],
        ended_at__isnull=False,
    )
    return Participant.objects.filter(study=study, state=Participant.State.ACTIVE).exclude(
        pk__in=ended.values("participant")
    )


def _over(snapshot: Snapshot) -> set[UUID]:
    """Raters whose figures were removed after this snapshot's work was done."""
    profiles = RaterProfile.objects.filter(
        study=snapshot.study_id, figures_removed_at__gt=snapshot.created_at
    )
    return set(profiles.values_list("user_id", flat=True))


def _values(run: GateRun, kind: str, label: str) -> Iterator[Any]:
    rows = Figure.objects.filter(snapshot=run.snapshot_id, kind=kind, label=label).filter(
        participant__in=taking_part(run.snapshot.study)
    )
    return rows.order_by("participant").values_list("values", flat=True).iterator(chunk_size=_BATCH)


def _alpha(one: Judged, row: Iterable[float]) -> Value:
    table = np.array([list(row)])
    stats = SufficientStatistics(one.label.scale, one.label.values, ("all",), table)
    return coefficients(stats).alpha


def _figures(
    snapshot: Snapshot, kind: str, label: str, found: Mapping[str, Any]
) -> Iterator[Figure]:
    for participant, values in found.items():
        yield Figure(
            snapshot=snapshot, kind=kind, label=label, participant_id=UUID(participant),
            values=values,
        )  # fmt: skip


def _apart(snapshot: Snapshot, name: str, measured: Measured) -> Iterator[RecordingDisagreement]:
    for found in disagreement.recordings(measured):
        yield RecordingDisagreement(
            snapshot=snapshot, label=name, recording_id=UUID(found.recording),
            participant_id=UUID(found.participant), raters=found.raters, share=found.share,
            amount=found.amount, disputed_us=found.disputed_us,
        )  # fmt: skip


def _over_time(run: GateRun) -> Iterator[tuple[str, dict[str, list[list[float]]]]]:
    """Give the confusion between all labels of each pass of segments that a look judged."""
    known = labels_of(read_codebook(run.snapshot.codebook.text)).values()
    passes = {one.confusion_name: one for one in judged(run).values() if one.tick_us is not None}
    for name, one in passes.items():
        parts = [
            measure(run.snapshot, label, tick_us=one.tick_us)
            for label in known
            if label.pass_id == one.label.pass_id and label.data == "segments"
        ]
        if parts[0].roster:
            yield name, disagreement.of_segments(parts)


def _with_gap(run: GateRun, pass_id: str) -> tuple[str, ...]:
    known = labels_of(read_codebook(run.snapshot.codebook.text)).values()
    return (
        GAP,
        *(one.source for one in known if one.pass_id == pass_id and one.data == "segments"),
    )


def _arms(snapshot: Snapshot, one: Judged, blind: Measured) -> dict[str, dict[str, Any]]:
    """Give participant -> arm -> [recordings, submissions, *sums]."""
    shown = measure(snapshot, one.label, tick_us=one.tick_us, arms=(_ARMS[1],))
    found: dict[str, dict[str, Any]] = {}
    for arm, measured in zip(_ARMS, (blind, shown), strict=True):
        recordings: dict[str, list[int]] = {}
        for recording, who in measured.roster.items():
            counts = recordings.setdefault(measured.participant_of[recording], [0, 0])
            counts[0] += 1
            counts[1] += len(who)
        stats = measured.statistics
        for cluster, row in zip(stats.clusters, stats.table.tolist(), strict=True):
            found.setdefault(str(cluster), {})[arm] = [*recordings[str(cluster)], *row]
    return found


def _sides(run: GateRun, one: Judged) -> dict[str, ArmData]:
    rows: dict[str, dict[str, list[float]]] = {arm: {} for arm in _ARMS}
    # Whoever does not let models mark cues could not be drawn for the arm with pre-labels: in the
    # comparison they would make the other arm different for another reason than the draw.
    allow = ConsentState.objects.filter(purpose=Purpose.INFER, allowed=True)
    could_be_drawn = taking_part(run.snapshot.study).filter(pk__in=allow.values("participant"))
    found = Figure.objects.filter(
        snapshot=run.snapshot_id, kind=Kind.ARMS, label=one.name, participant__in=could_be_drawn
    ).order_by("participant").values_list("participant", "values")  # fmt: skip
    for participant, values in found.iterator(chunk_size=_BATCH):
        for arm, row in values.items():
            rows[arm][str(participant)] = row
    width = len(one.label.values) * (len(one.label.values) + 2) + 4
    return {
        arm: ArmData(
            statistics=SufficientStatistics(
                one.label.scale,
                one.label.values,
                tuple(sums),
                np.array([row[2:] for row in sums.values()]).reshape(-1, width),
            ),
            recordings=round(sum(row[0] for row in sums.values())),
            submissions=round(sum(row[1] for row in sums.values())),
            seconds_per_unit=1.0 if one.tick_us is None else one.tick_us / 1e6,
        )
        for arm, sums in rows.items()
    }
