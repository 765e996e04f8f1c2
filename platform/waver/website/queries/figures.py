"""What stands in the pictures of a look, and in the tables behind them: one source for both.

This module loads numpy; views import it where it is used, and most web processes never do.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.paginator import Page, Paginator

from annotation.agreement import GAP, Undefined
from annotation.codebooks import Question
from annotation.codebooks.model import PAIR
from waver.core.errors import Missing
from waver.datasets import figures
from waver.datasets.labels import Label, read_codebook
from waver.datasets.models import GateRun, RecordingDisagreement
from waver.recordings.models import Recording
from waver.studies.models import Study
from waver.website import plots
from waver.website.plots.drawing import Caption, number
from waver.website.queries.agreement import source
from waver.website.queries.jobs import recording_title
from waver.website.queries.recording import rater_numbers

PAGE_SIZE = 8
RATER_COLUMNS = (
    "label", "what", "rater", "other_rater", "alpha", "undefined_because", "recordings_of_both",
)  # fmt: skip
CONFUSION_COLUMNS = ("label", "one_called", "another_called", "amount", "unit", "share_of_row")
RECORDING_COLUMNS = (
    "label", "recording", "participant", "prompt", "raters", "share_of_pairs_apart",
    "disputed_seconds", "raters_apart_seconds",
)  # fmt: skip


@dataclass(frozen=True)
class RaterPicture:
    """Every two raters of one label: names in order, the numbers, what was needed."""

    title: str
    raters: list[UUID]
    names: list[str]
    pairs: list[list[figures.Pair | None]]  # None where the two share no recording
    without: list[Any]  # a number or Undefined
    needed: float | None
    recordings: int

    def rows(self, key: str) -> Iterable[list[Any]]:
        """Give the table's rows, in the order of RATER_COLUMNS."""
        for i, name in enumerate(self.names):
            for j in range(i + 1, len(self.names)):
                pair = self.pairs[i][j]
                alpha = Undefined("no_pairs") if pair is None else pair.alpha
                shared = 0 if pair is None else pair.recordings
                yield [key, "pair", name, self.names[j], *_cells(alpha), shared]
        for name, value in zip(self.names, self.without, strict=True):
            yield [key, "all without this rater", name, "", *_cells(value), ""]

    def draw(
        self, caption: Caption, *, alone: bool, url: str = "", urls: Sequence[str] = ()
    ) -> str:
        """Draw it; `url` is where the disputed recordings stand, `urls` the raters' pages."""
        cells = [
            [self._cell(i, j, url) for j in range(len(self.names))] for i in range(len(self.names))
        ]
        without = [
            _rater_cell(value, f"All but {name}", "")
            for name, value in zip(self.names, self.without, strict=True)
        ]
        return plots.raters(
            self.names, cells, without, needed=self.needed, caption=caption, urls=urls, alone=alone
        )

    def _cell(self, i: int, j: int, url: str) -> plots.RaterCell:
        who = f"{self.names[i]} and {self.names[j]}"
        pair = self.pairs[i][j]
        if pair is None:
            return plots.RaterCell(None, f"{who} labelled no recording in common.")
        return _rater_cell(pair.alpha, f"{who}, {pair.recordings} recordings", url)


@dataclass(frozen=True)
class ConfusionPicture:
    """The confusion of one label's answers, or of a pass's labels over time."""

    title: str
    names: list[str]
    found: figures.Confusion

    @property
    def total(self) -> str:
        """Write how much was compared."""
        return _amount(sum(map(sum, self.found.cells)), self.found.unit)

    def rows(self, key: str) -> Iterable[list[Any]]:
        """Give the table's rows, in the order of CONFUSION_COLUMNS."""
        for i, name in enumerate(self.names):
            for j, other in enumerate(self.names):
                share = self.found.share(i, j)
                cell = self.found.cells[i][j]
                yield [key, name, other, cell, self.found.unit, "" if share is None else share]

    def draw(self, caption: Caption, *, alone: bool, url: str = "") -> str:
        """Draw it; `url` is where the disputed recordings stand."""
        size = range(len(self.names))
        cells = [
            [
                plots.ConfusionCell(
                    share=self.found.share(i, j),
                    amount=_amount(self.found.cells[i][j], self.found.unit),
                    url=url,
                )
                for j in size
            ]
            for i in size
        ]
        return plots.confusion(self.names, cells, caption=caption, alone=alone)


def choose(run: GateRun, key: str) -> tuple[str, figures.Judged]:
    """Give the label that somebody asks about, or without a wish the one that needs it most.

    That is the first that is blocked, or the first. Raises Missing for a label that the look did
    not judge.
    """
    known = figures.judged(run)
    if key:
        if key not in known:
            raise Missing("This look judged no such label. The agreement page lists them all.")
        return key, known[key]
    if not known:
        raise Missing("The codebook of this look cannot be read, so there are no pictures of it.")
    receipt = run.receipt["labels"]
    blocked = [name for name in known if receipt[name]["verdict"] != GateRun.Verdict.PASS]
    name = next(iter([*blocked, *known]))
    return name, known[name]


def raters(run: GateRun, key: str, one: figures.Judged, *, for_lead: bool) -> RaterPicture:
    """Gather every two raters of a label; names of people are for the lead only."""
    table = figures.raters(run, one)
    numbers = rater_numbers(run.snapshot.study)
    order = sorted(table.raters, key=lambda pk: numbers.get(pk, 0))
    names = rater_names(run.snapshot.study, order, for_lead=for_lead)

    def pair(a: UUID, b: UUID) -> figures.Pair | None:
        return table.pairs.get((a, b)) or table.pairs.get((b, a))

    rule = run.receipt["labels"][key]
    return RaterPicture(
        title=title_of(run, one),
        raters=order,
        names=[names[pk] for pk in order],
        pairs=[[pair(a, b) for b in order] for a in order],
        without=[table.without[pk] for pk in order],
        needed=rule.get("required"),
        recordings=rule.get("n", {}).get("recordings") or 0,
    )


def confusion(run: GateRun, one: figures.Judged) -> ConfusionPicture | None:
    """Gather the confusion that a label takes part in; None when nothing was compared."""
    found = figures.confusion(run, one)
    if found is None:
        return None
    titles = value_titles(run, one.label)
    return ConfusionPicture(
        title=title_of(run, one) if one.tick_us is None else _pass_title(run, one.label),
        names=[titles.get(value, value) for value in found.values],
        found=found,
    )


def disputed(run: GateRun, one: figures.Judged, number_: str) -> Page[RecordingDisagreement]:
    """Give one page of a label's recordings, those on which most is disputed first."""
    return Paginator(figures.most_disputed(run, one), PAGE_SIZE).get_page(number_)


def disputed_rows(run: GateRun, key: str, one: figures.Judged) -> Iterable[list[Any]]:
    """Give all recordings of a label, in the order of RECORDING_COLUMNS."""
    for row in figures.most_disputed(run, one).iterator(chunk_size=2000):
        take = row.recording.take
        seconds = row.disputed_us is not None
        yield [
            key, row.recording_id, take.participant.code, take.prompt.order if take.prompt else "",
            row.raters, row.share, (row.disputed_us or 0) / 1e6 if seconds else "",
            row.amount / 1e6 if seconds else "",
        ]  # fmt: skip


def rater_names(study: Study, raters: Sequence[UUID], *, for_lead: bool) -> dict[UUID, str]:
    """Name raters as everywhere in the study: “Rater 2”; for the lead also who that is."""
    numbers = rater_numbers(study)
    who: dict[UUID, str] = {}
    if for_lead:
        people = get_user_model()._default_manager.filter(pk__in=raters)
        who = dict(people.values_list("pk", "username"))
    return {
        pk: f"Rater {numbers.get(pk, '?')}" + (f" ({who[pk]})" if pk in who else "")
        for pk in raters
    }


def raters_caption(run: GateRun, picture: RaterPicture) -> Caption:
    """Say what the raters' picture shows."""
    return Caption(
        f"Who disagrees: {picture.title}",
        [
            (
                "Krippendorff's α of every two raters on the recordings that both labelled "
                "without pre-labels; 1 is full agreement, 0 what chance would give. Hatched: "
                "below what the policy needs. It shows who differs, not who is right."
            ),
            f"n = {len(picture.names)} raters, {picture.recordings} recordings.",
        ],
        source(run),
    )


def confusion_caption(run: GateRun, picture: ConfusionPicture) -> Caption:
    """Say what the confusion picture shows."""
    unit = "rated time" if picture.found.unit == "seconds" else "answers"
    return Caption(
        f"Labels mistaken for each other: {picture.title}",
        [
            (
                f"Of the {unit} that one rater called as at the left, the share that another "
                "rater of the same recording called as above; rows add up to 100 %. It shows what "
                "is mistaken for what, not which is right."
            ),
            f"n = {picture.total}, without pre-labels.",
        ],
        source(run),
    )


def title_of(run: GateRun, one: figures.Judged) -> str:
    """Give a label's title with its pass."""
    return f"{one.label.title} ({_pass_title(run, one.label).lower()})"


def write(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Write a table as CSV; text that a spreadsheet would run as a formula is put in quotes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([harmless(cell) for cell in row] for row in rows)
    return out.getvalue()


def name_of(recording: Recording) -> str:
    """Name a recording for researchers."""
    return recording_title(recording)


def harmless(cell: Any) -> Any:
    """Give a cell that no spreadsheet runs as a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" and cell else cell


def _cells(value: Any) -> list[Any]:
    return ["", value.sentence] if isinstance(value, Undefined) else [value, ""]


def _rater_cell(value: Any, who: str, url: str) -> plots.RaterCell:
    if isinstance(value, Undefined):
        return plots.RaterCell(None, f"{who}: {value.sentence}")
    return plots.RaterCell(value, f"{who}: {number(value, 3)}", url)


def _amount(value: float, unit: str) -> str:
    if unit == "answers":
        return f"{number(value, 0 if value == round(value) else 1)} answers"
    return f"{number(value, 1)} s" if value < 120 else f"{number(value / 60, 1)} min"


def _pass_title(run: GateRun, label: Label) -> str:
    return read_codebook(run.snapshot.codebook.text).pass_(label.pass_id).title


def value_titles(run: GateRun, label: Label) -> dict[str, str]:
    """Give the titles of a label's values, where the codebook has any."""
    part = read_codebook(run.snapshot.codebook.text).pass_(label.pass_id)
    if label.data == "segments":
        return {GAP: "nothing marked", **{value.id: value.title for value in part.labels}}
    if label.answer:
        return {}
    return titles_in(part.question(label.key.split("/")[1]))


def titles_in(question: Question) -> dict[str, str]:
    """Give the words for a question's answers; a pair of them has those of both."""
    titles = {value.id: value.title for value in question.values}
    return {
        value: " and ".join(titles.get(each, each) for each in value.split(PAIR))
        for value in question.value_ids
    }
