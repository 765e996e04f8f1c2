"""Spans marked on recordings: who marked which label from when to when."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from annotation.agreement.ratings import Scale, index_names
from annotation.agreement.segment_rows import GAP, SegmentRows, lengths, positions, raters_of

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """A rated timeline cut at every boundary of every rater: nothing changes within a run.

    `duration_us`  int64, shape (runs,): length in microseconds, at least 1.
    `codes`        int16, shape (runs, raters): index into `values`; -1 where the rater did not
                   submit this recording (missing).
    `recording`    int32, shape (runs,): index into `recordings`; runs stand in time order.
    `cluster_of`   int32, shape (recordings,): index into `clusters`.
    `recording_weight`  float64, shape (recordings,): how many recordings each one stands for (the
                   inverse of the probability with which it was drawn); None: 1 for all.
    A run counts as `duration_us / tick_us` units: alpha over time is alpha of the ticks.
    """

    values: tuple[str, ...]
    raters: tuple[Hashable, ...]
    recordings: tuple[Hashable, ...]
    recording_cluster: tuple[Hashable, ...]
    clusters: tuple[Hashable, ...]
    cluster_of: npt.NDArray[np.int32]
    tick_us: int
    duration_us: Int64
    codes: npt.NDArray[np.int16]
    recording: npt.NDArray[np.int32]
    recording_weight: npt.NDArray[np.float64] | None = None

    scale: ClassVar[Scale] = "nominal"

    @property
    def ticks(self) -> npt.NDArray[np.float64]:
        """Length of each run in ticks; float64, shape (runs,)."""
        return self.duration_us / self.tick_us

    @property
    def weight(self) -> npt.NDArray[np.float64]:
        """Ticks that each run stands for: its length times its recording's weight."""
        if self.recording_weight is None:
            return self.ticks
        return np.asarray(self.ticks * self.recording_weight[self.recording])

    def weighted(self, by_recording: Mapping[Hashable, float]) -> Runs:
        """The same runs, each recording standing for as many as `by_recording` says.

        Raises ValueError for a weight that is not a positive finite number.
        """
        weights = np.array([by_recording[name] for name in self.recordings], dtype=np.float64)
        if not np.all(np.isfinite(weights)) or np.any(weights <= 0):
            raise ValueError("Every weight must be a finite number above 0.")
        return replace(self, recording_weight=weights)

    def counts(self) -> Int64:
        """How many raters gave each value during each run; int64, shape (runs, values)."""
        size = len(self.duration_us)
        # One row per value, the first for those who did not submit, so that time runs along it.
        cells = (self.codes.T + 1) * np.int64(size) + np.arange(size)
        found = np.bincount(cells.ravel(), minlength=(len(self.values) + 1) * size)
        return found.reshape(len(self.values) + 1, size)[1:].T

    def only_raters(self, raters: Iterable[Hashable]) -> Runs:
        """The same runs with every other rater missing."""
        wanted = set(raters)
        kept = np.array([name in wanted for name in self.raters], dtype=bool)
        return replace(self, codes=np.where(kept, self.codes, -1).astype(np.int16))


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Marked spans of many recordings; one row per span, half-open [start_us, end_us).

    `recording`, `rater`, `label`  int32, shape (rows,): indices into the name tuples.
    `submitted`    bool, shape (recordings, raters): who handed in which recording. A rater who
                   submitted without marking anything says "none" all along; one who did not
                   submit is missing.
    `duration_us`  int64, shape (recordings,).
    `cluster_of`   int32, shape (recordings,): index into `clusters`.
    `any_label`    whether `labels` are only those that occur, because no codebook named them: a
                   label that nobody marked may be asked for then, and is unmarked all along.
    """

    recordings: tuple[Hashable, ...]
    raters: tuple[Hashable, ...]
    labels: tuple[str, ...]
    recording_cluster: tuple[Hashable, ...]
    clusters: tuple[Hashable, ...]
    cluster_of: npt.NDArray[np.int32]
    duration_us: Int64
    submitted: npt.NDArray[np.bool_]
    tick_us: int
    recording: npt.NDArray[np.int32]
    rater: npt.NDArray[np.int32]
    start_us: Int64
    end_us: Int64
    label: npt.NDArray[np.int32]
    any_label: bool = False

    @classmethod
    def from_rows(
        cls,
        recording: Iterable[Hashable],
        rater: Iterable[Hashable],
        start_us: Iterable[int],
        end_us: Iterable[int],
        label: Iterable[str],
        *,
        roster: Mapping[Hashable, Iterable[Hashable]] | Iterable[Hashable],
        durations: Mapping[Hashable, int],
        tick_us: int,
        labels: Iterable[str] | None = None,
        clusters: Mapping[Hashable, Hashable] | None = None,
    ) -> Segments:
        """Segments from parallel columns, one entry per marked span.

        roster:    recording -> raters who submitted it, also those who marked nothing; or pairs
                   (recording, rater); or the raters, if all of them submitted every recording
                   of `durations`.
        durations: recording -> length in microseconds.
        tick_us:   the unit of time that counts as one unit of observation. It belongs to the
                   result: store it beside every figure.
        labels:    the codebook's labels; if left out, those that occur, and any other that is
                   asked for was marked by nobody.
        clusters:  recording -> what is resampled (the participant); the recording if left out.
        Times are whole microseconds. Raises ValueError with a sentence for a span outside its
        recording, of no length, by a rater who is not on the roster, or with a label that the
        codebook lacks.
        """
        if int(tick_us) != tick_us or tick_us < 1:
            raise ValueError(f"A tick lasts whole microseconds, at least one, not {tick_us}.")
        by_recording = raters_of(roster, durations)
        names = tuple(by_recording)
        raters = tuple(dict.fromkeys(who for name in names for who in by_recording[name]))
        rater_at = {name: index for index, name in enumerate(raters)}
        recording_at = {name: index for index, name in enumerate(names)}
        submitted = np.zeros((len(names), len(raters)), dtype=bool)
        for index, name in enumerate(names):
            submitted[index, [rater_at[who] for who in by_recording[name]]] = True
        rows = SegmentRows.from_columns(recording, rater, start_us, end_us, label)
        known = rows.labels(labels)
        label_at = {name: index for index, name in enumerate(known)}
        of_recording = tuple(clusters[name] if clusters else name for name in names)
        cluster_names, cluster_of = index_names(of_recording, "cluster")
        made = cls(
            recordings=names,
            raters=raters,
            labels=known,
            recording_cluster=of_recording,
            clusters=cluster_names,
            cluster_of=cluster_of,
            duration_us=lengths(durations, names),
            submitted=submitted,
            tick_us=int(tick_us),
            recording=positions(rows.recording, recording_at),
            rater=positions(rows.rater, rater_at),
            start_us=rows.start_us,
            end_us=rows.end_us,
            label=positions(rows.label, label_at),
            any_label=labels is None,
        )
        rows.check(made)
        return made

    def on_grid(self) -> Segments:
        """The same spans with every time rounded half up to whole ticks.

        Use it before statistics that must be checked unit by unit (`cross_check`). A span that
        is shorter than the grid can show keeps one tick; a recording keeps at least one tick.
        """

        def snap(times: Int64) -> Int64:
            return (2 * times + self.tick_us) // (2 * self.tick_us) * self.tick_us

        duration = np.maximum(snap(self.duration_us), self.tick_us)
        limit = duration[self.recording]
        start = np.minimum(snap(self.start_us), limit - self.tick_us)
        end = np.minimum(np.maximum(snap(self.end_us), start + self.tick_us), limit)
        return replace(self, duration_us=duration, start_us=start, end_us=end)

    def only_raters(self, raters: Iterable[Hashable]) -> Segments:
        """The same recordings as if only these raters had submitted them."""
        wanted = set(raters)
        kept = np.array([name in wanted for name in self.raters], dtype=bool)
        rows = kept[self.rater]
        return replace(
            self,
            submitted=self.submitted & kept,
            recording=self.recording[rows],
            rater=self.rater[rows],
            start_us=self.start_us[rows],
            end_us=self.end_us[rows],
            label=self.label[rows],
        )

    def only_label(self, label: str) -> Segments:
        """The same recordings with the spans of one label. ValueError for an unknown label."""
        rows = self.label == self.position(label)
        return replace(
            self,
            labels=(str(label),),
            recording=self.recording[rows],
            rater=self.rater[rows],
            start_us=self.start_us[rows],
            end_us=self.end_us[rows],
            label=np.zeros(int(rows.sum()), dtype=np.int32),
        )

    def merged(self, *, gap_us: int = 0) -> Segments:
        """A rater's spans of one label that overlap, or lie at most `gap_us` apart, made one.

        With 0, spans that touch become one; with -1, only those that overlap do. Alpha over time
        does not need it; unitizing alpha and event F1 count spans, so store the rule with them.
        """
        order = np.lexsort((self.start_us, self.label, self.rater, self.recording))
        start, end = self.start_us[order], self.end_us[order]
        keys = np.stack([self.recording[order], self.rater[order], self.label[order]])
        group = np.cumsum(np.any(np.diff(keys, axis=1, prepend=keys[:, :1]) != 0, axis=0))
        # On an axis where the groups lie far apart, "the furthest end so far" never crosses over.
        apart = int(self.duration_us.max(initial=0)) + abs(gap_us) + 1
        furthest = np.maximum.accumulate(end + group * apart)
        opens = np.ones(len(order), dtype=bool)
        opens[1:] = start[1:] + group[1:] * apart > furthest[:-1] + gap_us
        first = np.flatnonzero(opens)
        return replace(
            self,
            recording=keys[0, first],
            rater=keys[1, first],
            label=keys[2, first],
            start_us=start[first],
            end_us=np.maximum.reduceat(end, first) if len(first) else end,
        )

    def position(self, label: str) -> int:
        """The label's index into `labels`; -1 for one that nobody marked where any may be asked
        for (`any_label`). Raises ValueError for a label that the codebook lacks.
        """
        name = str(label)
        if name in self.labels:
            return self.labels.index(name)
        if self.any_label and name.strip() and name != GAP:
            return -1
        known = ", ".join(self.labels) or "none at all"
        raise ValueError(f"The label {label!r} is not among the labels: {known}.")

    def runs(self, label: str | None = None) -> Runs:
        """The timeline of one label ("none" or marked), or of all labels (None), as runs.

        One sweep over the sorted boundaries, never over frames: recordings are laid end to end
        on one time axis, each span adds 1 at its start and takes 1 off at its end.
        For one label, overlapping and abutting spans of one rater are one marked stretch.
        Raises ValueError for a label that the codebook lacks; for all labels, if a rater marked
        two different labels at once.
        """
        wanted = self.labels if label is None else (str(label),)
        rows = [np.flatnonzero(self.label == self.position(name)) for name in wanted]
        chosen = np.concatenate([np.empty(0, dtype=np.intp), *rows])
        origin = np.concatenate([[0], np.cumsum(self.duration_us)])
        begin = origin[self.recording[chosen]]
        points = np.concatenate(
            [origin, begin + self.start_us[chosen], begin + self.end_us[chosen]]
        )
        cuts, place = np.unique(points, return_inverse=True)
        edge, start, end = np.split(place, [len(origin), len(origin) + len(chosen)])
        length = np.diff(cuts)
        recording = np.repeat(np.arange(len(origin) - 1, dtype=np.int32), np.diff(edge))
        codes = np.zeros((len(self.raters), len(length)), dtype=np.int16)
        done = 0
        for code, own in enumerate(rows, start=1):
            part = slice(done, done := done + len(own))
            covered = _covered(start[part], end[part], self.rater[own], codes.shape)
            if np.any(covered & (codes > 0)):
                who, where = np.argwhere(covered & (codes > 0))[0]
                raise ValueError(
                    f"Rater {self.raters[who]!r} marked two labels at the same time in recording "
                    f"{self.recordings[recording[where]]!r}: look at one label at a time."
                )
            codes[covered] = code
        if not self.submitted.all():
            codes[~self.submitted.T.take(recording, axis=1)] = -1
        return Runs(
            values=(GAP, *wanted),
            raters=self.raters,
            recordings=self.recordings,
            recording_cluster=self.recording_cluster,
            clusters=self.clusters,
            cluster_of=self.cluster_of,
            tick_us=self.tick_us,
            duration_us=length,
            codes=codes.T,
            recording=recording,
        )


def _covered(
    start: npt.NDArray[np.intp],
    end: npt.NDArray[np.intp],
    rater: npt.NDArray[np.int32],
    shape: tuple[int, ...],
) -> npt.NDArray[np.bool_]:
    """Which rater marked which stretch between cuts; bool, shape (raters, stretches).

    start, end: of each span, as the numbers of cuts.
    """
    raters, width = shape[0], shape[1] + 1
    cell = rater * np.int64(width)
    change = np.bincount(cell + start, minlength=raters * width)
    change -= np.bincount(cell + end, minlength=raters * width)
    return np.asarray(np.cumsum(change.reshape(raters, width), axis=1)[:, :-1] > 0)
