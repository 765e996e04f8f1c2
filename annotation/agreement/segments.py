"""Spans marked on recordings: who marked which label from when to when."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from annotation.agreement.ratings import Scale

GAP = "none"
"""The value of time that a rater who submitted the recording did not mark."""

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """A rated timeline cut at every boundary of every rater: nothing changes within a run.

    `duration_us`  int64, shape (runs,): length in microseconds, at least 1.
    `codes`        int16, shape (runs, raters): index into `values`; -1 where the rater did not
                   submit this recording (missing).
    `recording`    int32, shape (runs,): index into `recordings`; runs stand in time order.
    `recording_weight`  float64, shape (recordings,): how many recordings each one stands for (the
                   inverse of the probability with which it was drawn); None: 1 for all.
    A run counts as `duration_us / tick_us` units: alpha over time is alpha of the ticks.
    """

    values: tuple[str, ...]
    raters: tuple[Hashable, ...]
    recordings: tuple[Hashable, ...]
    recording_cluster: tuple[Hashable, ...]
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
        width = len(self.values) + 1  # the first column takes those who did not submit
        runs = len(self.codes)
        cells = self.codes + np.arange(1, runs * width + 1, width)[:, None]
        found = np.bincount(cells.ravel(), minlength=runs * width)
        return found.reshape(runs, width)[:, 1:]

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
    """

    recordings: tuple[Hashable, ...]
    raters: tuple[Hashable, ...]
    labels: tuple[str, ...]
    recording_cluster: tuple[Hashable, ...]
    duration_us: Int64
    submitted: npt.NDArray[np.bool_]
    tick_us: int
    recording: npt.NDArray[np.int32]
    rater: npt.NDArray[np.int32]
    start_us: Int64
    end_us: Int64
    label: npt.NDArray[np.int32]

    @classmethod
    def from_rows(
        cls,
        recording: Iterable[Hashable],
        rater: Iterable[Hashable],
        start_us: Iterable[int],
        end_us: Iterable[int],
        label: Iterable[str],
        *,
        roster: Mapping[Hashable, Iterable[Hashable]],
        durations: Mapping[Hashable, int],
        tick_us: int,
        labels: Iterable[str] | None = None,
        clusters: Mapping[Hashable, Hashable] | None = None,
    ) -> Segments:
        """Segments from parallel columns, one entry per marked span.

        roster:    recording -> raters who submitted it, also those who marked nothing.
        durations: recording -> length in microseconds.
        tick_us:   the unit of time that counts as one unit of observation. It belongs to the
                   result: store it beside every figure.
        labels:    the codebook's labels; those that occur if left out.
        clusters:  recording -> what is resampled (the participant); the recording if left out.
        Raises ValueError with a sentence for a span outside its recording, of no length, by a
        rater who is not on the roster, or with a label that the codebook lacks.
        """
        if tick_us < 1:
            raise ValueError(f"A tick must last at least one microsecond, not {tick_us}.")
        names = tuple(roster)
        by_recording = {name: tuple(roster[name]) for name in names}
        raters = tuple(dict.fromkeys(who for name in names for who in by_recording[name]))
        rows = _Rows(
            list(recording), list(rater), list(start_us), list(end_us), [str(x) for x in label]
        )
        known = tuple(labels) if labels is not None else tuple(sorted(set(rows.label)))
        rows.check(by_recording, durations, known)
        rater_at = {name: index for index, name in enumerate(raters)}
        recording_at = {name: index for index, name in enumerate(names)}
        label_at = {name: index for index, name in enumerate(known)}
        submitted = np.zeros((len(names), len(raters)), dtype=bool)
        for name in names:
            submitted[recording_at[name], [rater_at[who] for who in by_recording[name]]] = True
        return cls(
            recordings=names,
            raters=raters,
            labels=known,
            recording_cluster=tuple(clusters[name] if clusters else name for name in names),
            duration_us=np.array([durations[name] for name in names], dtype=np.int64),
            submitted=submitted,
            tick_us=int(tick_us),
            recording=np.array([recording_at[name] for name in rows.recording], dtype=np.int32),
            rater=np.array([rater_at[name] for name in rows.rater], dtype=np.int32),
            start_us=np.array(rows.start_us, dtype=np.int64),
            end_us=np.array(rows.end_us, dtype=np.int64),
            label=np.array([label_at[name] for name in rows.label], dtype=np.int32),
        )

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

    def runs(self, label: str | None = None) -> Runs:
        """The timeline of one label ("none" or marked), or of all labels (None), as runs.

        One sweep over the sorted boundaries, never over frames: recordings are laid end to end
        on one time axis, each span adds 1 at its start and takes 1 off at its end.
        For one label, overlapping and abutting spans of one rater are one marked stretch.
        For all labels, ValueError if a rater marked two different labels at once.
        """
        wanted = self.labels if label is None else (label,)
        unknown = [name for name in wanted if name not in self.labels]
        if unknown:
            known = ", ".join(self.labels) or "none at all"
            raise ValueError(f"The label {unknown[0]!r} is not among the labels: {known}.")
        origin = np.concatenate([[0], np.cumsum(self.duration_us)])
        start = origin[self.recording] + self.start_us
        end = origin[self.recording] + self.end_us
        chosen = np.isin(self.label, [self.labels.index(name) for name in wanted])
        cuts = np.unique(np.concatenate([origin, start[chosen], end[chosen]]))
        length = np.diff(cuts)
        runs_of_each = np.diff(np.searchsorted(cuts, origin))
        recording = np.repeat(np.arange(len(runs_of_each), dtype=np.int32), runs_of_each)
        codes = np.zeros((len(length), len(self.raters)), dtype=np.int16)
        for code, name in enumerate(wanted, start=1):
            rows = self.label == self.labels.index(name)
            covered = _covered(cuts, start[rows], end[rows], self.rater[rows], len(self.raters))
            if np.any(covered & (codes > 0)):
                where = np.argwhere(covered & (codes > 0))[0]
                raise ValueError(
                    f"Rater {self.raters[where[1]]!r} marked two labels at the same time in "
                    f"recording {self.recordings[recording[where[0]]]!r}: look at one label at a "
                    "time."
                )
            codes[covered] = code
        codes[~self.submitted.take(recording, axis=0)] = -1
        return Runs(
            values=(GAP, *wanted),
            raters=self.raters,
            recordings=self.recordings,
            recording_cluster=self.recording_cluster,
            tick_us=self.tick_us,
            duration_us=length,
            codes=codes,
            recording=recording,
        )


@dataclass(slots=True)
class _Rows:
    recording: list[Hashable]
    rater: list[Hashable]
    start_us: list[int]
    end_us: list[int]
    label: list[str]

    def check(
        self,
        roster: Mapping[Hashable, tuple[Hashable, ...]],
        durations: Mapping[Hashable, int],
        labels: tuple[str, ...],
    ) -> None:
        """Raise ValueError with a sentence for the first row that cannot be."""
        if len({len(x) for x in (self.recording, self.rater, self.start_us, self.end_us)}) > 1:
            raise ValueError("The columns of segments differ in length.")
        if GAP in labels:
            raise ValueError(f"{GAP!r} means unmarked time and cannot be a label.")
        for name in roster:
            if durations.get(name, 0) < 1:
                raise ValueError(f"Recording {name!r} has no duration; give its length in µs.")
        for recording, rater, start, end, label in zip(
            self.recording, self.rater, self.start_us, self.end_us, self.label, strict=True
        ):
            if rater not in roster.get(recording, ()):
                raise ValueError(
                    f"Rater {rater!r} marked recording {recording!r} without being on its roster; "
                    "add them to the roster or leave the segment out."
                )
            if not 0 <= start < end <= durations[recording]:
                raise ValueError(
                    f"The segment [{start}, {end}) of rater {rater!r} does not lie in recording "
                    f"{recording!r}, which lasts {durations[recording]} µs."
                )
            if label not in labels:
                raise ValueError(f"The label {label!r} is not one of the codebook's labels.")


def _covered(
    cuts: Int64, start: Int64, end: Int64, rater: npt.NDArray[np.int32], raters: int
) -> npt.NDArray[np.bool_]:
    """Which rater marked which stretch between cuts; bool, shape (cuts - 1, raters)."""
    change = np.zeros(len(cuts) * raters, dtype=np.int32)
    np.add.at(change, np.searchsorted(cuts, start) * raters + rater, 1)
    np.add.at(change, np.searchsorted(cuts, end) * raters + rater, -1)
    depth = np.cumsum(change.reshape(len(cuts), raters), axis=0, dtype=np.int32)
    return np.asarray(depth[:-1] > 0)
