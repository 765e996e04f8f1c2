"""The queue of adjudication and one item of it, as their pages show them.

Whoever decides must not know who said what: raters are letters in an order that differs from item
to item, and nothing else about them is read. Nor is the participant or the prompt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.utils.crypto import salted_hmac

from annotation.codebooks import ParsedAnnotation
from annotation.models import Adjudication, Annotation, CodebookVersion
from annotation.services import adjudication as service
from annotation.services import carried
from annotation.services.adjudication import Place, Queue, QueueItem, digest_of
from annotation.services.disputes import CONTEXT_US, Item
from annotation.services.standing import arms_of, codebook_with_work
from annotation.services.topics import PRESENT, Topic, codebook_of, topics_of
from waver.accounts.models import User
from waver.core.clock import format_us
from waver.recordings.models import Asset, Recording
from waver.studies.models import Study, StudyDesign

PAGE_SIZE = 25
TO_DO, DECIDED, ALL = "", "decided", "all"
STANDINGS = ((TO_DO, "To decide"), (DECIDED, "Decided"), (ALL, "All"))
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Line:
    """One line of the queue."""

    number: int
    key: str
    where: str
    votes: str
    raters: int
    length_us: int
    uncertainty: float
    score: float
    standing: str
    model: str
    is_mine: bool


@dataclass(frozen=True)
class QueuePage:
    """The queue of one topic. `queue` is None where no rater has submitted anything."""

    topics: list[Topic]
    queue: Queue | None
    standing: str
    page: Page[Item] | None
    lines: list[Line]

    @property
    def total(self) -> int:
        """All items in dispute."""
        return len(self.queue.found) if self.queue else 0

    @property
    def done(self) -> int:
        """Items with a decision that holds."""
        return self.queue.counts["decided"] if self.queue else 0

    @property
    def out_of_date(self) -> int:
        """Items whose decision rests on what a rater has changed since."""
        return self.queue.counts["out_of_date"] if self.queue else 0


def queue_page(
    study: Study, who: User, *, topic_key: str, standing: str, number: str | int
) -> QueuePage:
    """Read one page of the queue; if no label is named, of the first that raters differ about."""
    codebook = codebook_with_work(study)
    topics = list(topics_of(codebook).values()) if codebook else []
    if not topics:
        return QueuePage([], None, standing, None, [])
    keys = [topic.key for topic in topics]
    named = [topic_key] if topic_key in keys else keys
    # One after the other, as far as needed: where there is much work, the first has disputes.
    queues = (service.queue(study=study, topic_key=key) for key in named)
    found = next((one for one in queues if one.found), None)
    if found is None:
        found = service.queue(study=study, topic_key=named[0])
    wanted = [item for item in found.found if _fits(found.standing(item), standing)]
    page = Paginator(wanted, PAGE_SIZE).get_page(number)
    mine = service.rated_by(study, who)
    shown = {(item.recording, item.start_us) for item in page.object_list}
    numbers = {
        (item.recording, item.start_us): n
        for n, item in enumerate(found.found, start=1)
        if (item.recording, item.start_us) in shown
    }
    lines = [
        _line(found.topic, found.with_decision(item), numbers[item.recording, item.start_us], mine)
        for item in page.object_list
    ]
    return QueuePage(topics, found, standing, page, lines)


def next_of(study: Study, who: User, topic_key: str, *, after: Place | None = None) -> str | None:
    """Give the key of the most valuable item that is still to be decided and not one's own.

    With `after`, the next one behind that place in the queue's order (or the first again).
    """
    found = service.queue(study=study, topic_key=topic_key)
    mine = service.rated_by(study, who)
    behind, first = after is None, None
    for item in found.found:
        if after is not None and service.lies_at(item, after):
            behind = True
        elif item.recording not in mine and found.standing(item) != "decided":
            if behind:
                return service.place_of(found.topic, item).key
            first = first or item
    return service.place_of(found.topic, first).key if first else None


def _fits(stands: str, wanted: str) -> bool:
    return wanted == ALL or (stands == "decided") == (wanted == DECIDED)


def _line(topic: Topic, one: QueueItem, number: int, mine: frozenset[UUID]) -> Line:
    item = one.item
    return Line(
        number=number,
        key=one.place.key,
        where=_where(item.start_us, item.end_us),
        votes=votes_text(topic, item),
        raters=item.raters,
        length_us=item.length_us,
        uncertainty=item.uncertainty,
        score=item.score,
        standing=one.standing,
        model=topic.title_of(item.model_value) if item.model_value else "",
        is_mine=item.recording in mine,
    )


def _where(start_us: int | None, end_us: int | None) -> str:
    if start_us is None or end_us is None:
        return "the whole recording"
    return f"{format_us(start_us)} to {format_us(end_us)}"


def votes_text(topic: Topic, item: Item) -> str:
    """Say how many gave which answer: `Present 2, Absent 1`; for stretches the mean over time."""
    said = []
    for value, count in item.votes:
        text = f"{count:.0f}" if abs(count - round(count)) < 0.05 else f"{count:.1f}"
        said.append(f"{topic.title_of(value)} {text}")
    return ", ".join(said)


# One item


@dataclass(frozen=True)
class Mark:
    """A stretch that a rater marked: its place in the shown window in percent, and its words."""

    left: float
    width: float
    words: str
    details: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RaterLane:
    """One rater's work on the item. Only a letter tells the raters of this one item apart."""

    name: str
    marks: list[Mark]
    answers: list[str]
    notes: list[str]
    saw_prelabels: bool


@dataclass(frozen=True)
class Past:
    """A decision in the item's history, in words; who decided is known to the study's team."""

    row: Adjudication
    words: str
    holds: bool


@dataclass(frozen=True)
class ItemPage:
    """Everything on an item's page."""

    topic: Topic
    item: Item
    place: Place
    recording: Recording
    standing: str
    decision: Adjudication | None
    number: int
    total: int
    left: int
    lanes: list[RaterLane]
    history: list[Past]
    has_video: bool
    shown_from_us: int
    shown_until_us: int
    codebook: CodebookVersion
    some_synthetic: bool

    @property
    def where(self) -> str:
        """The disputed stretch in words."""
        return _where(self.item.start_us, self.item.end_us)

    @property
    def votes(self) -> str:
        """How many raters said what."""
        return votes_text(self.topic, self.item)

    @property
    def model(self) -> str:
        """What the model of the raters' errors says, where it contradicts the vote."""
        return self.topic.title_of(self.item.model_value) if self.item.model_value else ""

    @property
    def decision_here(self) -> Adjudication | None:
        """The newest decision on exactly this stretch, whether it holds or not."""
        here = (self.item.start_us, self.item.end_us)
        rows = (past.row for past in self.history)
        return next((row for row in rows if (row.start_us, row.end_us) == here), None)

    @property
    def looked_at(self) -> str:
        """The digest of the annotations that the page shows."""
        return digest_of(self.item.looked_at)

    @property
    def band(self) -> tuple[float, float]:
        """The disputed stretch in the shown window: left and width in percent."""
        start, end = self.item.start_us, self.item.end_us
        if start is None or end is None:
            return 0.0, 100.0
        return self.percent(start), self.percent(end) - self.percent(start)

    def percent(self, us: int) -> float:
        """Where a time stands in the shown window, from 0 to 100."""
        length = self.shown_until_us - self.shown_from_us
        return min(100.0, max(0.0, 100 * (us - self.shown_from_us) / length))


def item_page(study: Study, place: Place, recording: Recording) -> ItemPage:
    """Read an item's page. Raises Missing when the raters do not differ there (any more)."""
    codebook, topic = service.find_topic(study, place.topic_key)
    found = service.queue(study=study, topic_key=topic.key)
    number, queued = next(
        ((n, it) for n, it in enumerate(found.found, start=1) if service.lies_at(it, place)),
        (0, None),
    )
    item = service.find_item(study, codebook, topic, place)
    one = found.with_decision(replace(item, model_value=queued.model_value if queued else ""))
    duration = recording.duration_us or 0
    start = max(0, (place.start_us or 0) - CONTEXT_US) if place.start_us is not None else 0
    end = min(duration, place.end_us + CONTEXT_US) if place.end_us is not None else duration
    rows = _annotations(one.item.looked_at)
    return ItemPage(
        topic=topic,
        item=one.item,
        place=place,
        recording=recording,
        standing=one.standing,
        decision=one.decision,
        number=number,
        total=len(found.found),
        left=len(found.found) - found.counts["decided"],
        lanes=_lanes(topic, codebook, place, rows, (start, end)),
        history=_history(topic, place, codebook, one),
        has_video=recording.assets.filter(kind=Asset.Kind.PROXY).exists()
        and recording.rate is not None,
        shown_from_us=start,
        shown_until_us=end,
        codebook=codebook,
        some_synthetic=any(row.is_synthetic for row in rows),
    )


def seconds(us: int | None) -> str:
    """Write a time as seconds, exactly: what a form shows and sends back."""
    return "" if us is None else f"{Decimal(us) / 1_000_000:f}"


def _annotations(ids: Iterable[UUID]) -> list[Annotation]:
    rows = Annotation.objects.filter(pk__in=list(ids)).select_related("assignment__batch")
    return list(rows.prefetch_related("segments__cues", "clip_labels"))


def _lanes(
    topic: Topic,
    codebook: CodebookVersion,
    place: Place,
    rows: list[Annotation],
    window: tuple[int, int],
) -> list[RaterLane]:
    """The raters in an order that nobody can follow from item to item."""

    def lot(row: Annotation) -> str:
        return salted_hmac("adjudication", f"{place.key} {row.assignment.rater_id}").hexdigest()

    words = _Words(topic, codebook)
    lanes = []
    for index, row in enumerate(sorted(rows, key=lot)):
        said = carried.read_in(row, row.assignment.batch.pass_id, codebook).annotation
        marks, notes = _marks(topic, said, window, words)
        answers, written = _answers(topic, said, words)
        lanes.append(
            RaterLane(
                name=f"Rater {_LETTERS[index] if index < len(_LETTERS) else index + 1}",
                marks=marks,
                answers=answers,
                notes=notes + written,
                saw_prelabels=row.assignment.arm == StudyDesign.Arm.PRELABEL,
            )
        )
    return lanes


class _Words:
    """The codebook's titles for the cues and questions of a pass."""

    def __init__(self, topic: Topic, codebook: CodebookVersion) -> None:
        part = codebook_of(codebook).pass_(topic.pass_id)
        self.texts = {question.id for question in part.questions if question.kind == "text"}
        self.questions = {question.id: question.title for question in part.questions}
        self.values = {
            (question.id, value.id): value.title
            for question in part.questions
            for value in question.values
        }
        asked = next((q for q in part.questions if q.role == "certainty"), None)
        self.certainties = {value.id: value.title for value in asked.values} if asked else {}

    def certainty(self, number: float | int | None) -> str:
        """Give the words for a certainty; empty where none was given."""
        if number is None:
            return ""
        title = self.certainties.get(f"{number:g}", f"{number:g}")
        return f"certainty: {title.lower()}"


def _marks(
    topic: Topic, said: ParsedAnnotation, window: tuple[int, int], words: _Words
) -> tuple[list[Mark], list[str]]:
    if topic.unit != "segment":
        return [], []
    low, high = window
    marks, notes = [], []
    for segment in said.segments:
        if segment.label != topic.source or segment.end_us <= low or segment.start_us >= high:
            continue
        start, end = max(low, segment.start_us), min(high, segment.end_us)
        cues = [words.values.get((cue.modality, cue.cue), cue.cue) for cue in segment.cues]
        known = [words.certainty(segment.certainty), f"cues: {', '.join(cues)}" if cues else ""]
        marks.append(
            Mark(
                left=100 * (start - low) / (high - low),
                width=100 * (end - start) / (high - low),
                words=f"{format_us(segment.start_us)} to {format_us(segment.end_us)}",
                details=[text for text in known if text],
            )
        )
        if segment.note.strip():
            notes.append(segment.note.strip())
    return marks, notes


def _answers(topic: Topic, row: ParsedAnnotation, words: _Words) -> tuple[list[str], list[str]]:
    if topic.unit == "segment":
        return [], []
    given: dict[str, list[str]] = defaultdict(list)
    sure = None
    for answer in row.clip_labels:
        given[answer.scale].append(answer.value)
        if answer.scale == topic.source and answer.confidence is not None:
            sure = answer.confidence
    values = given.get(topic.source, [])
    if topic.answer:
        values = ["yes" if topic.answer in values else "no"]
    said = [topic.title_of(value) for value in values] or ["No answer"]
    certainty = words.certainty(sure)
    notes = [
        f"{words.questions.get(name, name)}: {text}"
        for name, texts in given.items()
        if name in words.texts
        for text in texts
    ]
    return [", ".join(said), *([certainty] if certainty else [])], notes


def _history(topic: Topic, place: Place, codebook: CodebookVersion, one: QueueItem) -> list[Past]:
    holding = one.decision.pk if one.decision and one.standing == "decided" else None
    return [
        Past(row, decision_words(topic, row), row.pk == holding)
        for row in service.history(place, codebook)
    ]


def decision_words(topic: Topic, row: Adjudication) -> str:
    """Say what was decided."""
    said = topic.title_of(row.value)
    where = (row.decided_start_us, row.decided_end_us)
    if row.value == PRESENT and where[0] is not None and where != (row.start_us, row.end_us):
        return f"{said}, from {_where(*where)}"
    return said


def takes_prelabelled(study: Study) -> bool:
    """Tell whether the study's design lets labels from the pre-label arm into consensus."""
    return len(arms_of(study)) > 1
