"""Deciding what raters disagree about: a queue, and decisions kept beside the raw labels.

A decision is a row that is never changed; a later one supersedes it. It rests on the annotations
that were there: when a rater submits again, it is out of date and its item is open again.
Decisions feed consensus and never agreement.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal
from uuid import UUID

from django.db import IntegrityError, transaction

from annotation.models import Adjudication, Assignment, CodebookVersion
from annotation.services import carried, standing
from annotation.services import disputes as finding
from annotation.services.disputes import Disputes, Item
from annotation.services.topics import PRESENT, Topic, topics_of
from waver.accounts.models import User
from waver.consent import policy
from waver.consent.models import Purpose
from waver.core import audit
from waver.core.clock import Span, format_us
from waver.core.errors import BadInput, Conflict, ConsentRefused, Missing, NotAllowed
from waver.recordings.models import Recording
from waver.recordings.subjects import subject_of
from waver.studies.models import Membership, Study

Standing = Literal["open", "out_of_date", "decided"]
MAY_DECIDE = (Membership.Role.LEAD, Membership.Role.RESEARCHER)
_KEY = re.compile(r"([0-9a-f]{32})\.([a-z0-9_-]+)\.([a-z0-9_~-]+)(?:\.(\d{1,18})-(\d{1,18}))?")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item lies: what its address says."""

    recording: UUID
    topic_key: str
    start_us: int | None
    end_us: int | None

    @property
    def key(self) -> str:
        """Its name in addresses."""
        pass_id, label = self.topic_key.split("/", 1)
        span = "" if self.start_us is None else f".{self.start_us}-{self.end_us}"
        return f"{self.recording.hex}.{pass_id}.{label.replace('/', '~')}{span}"


@dataclass(frozen=True, slots=True)
class QueueItem:
    """An item with its decisions: `decision` is the newest on it, `standing` whether it holds."""

    item: Item
    place: Place
    standing: Standing
    decision: Adjudication | None


@dataclass(frozen=True)
class Queue:
    """A topic's items in the order of their expected value, and what was decided about them."""

    topic: Topic
    codebook: CodebookVersion
    disputes: Disputes
    found: tuple[Item, ...]
    decisions: Mapping[UUID, list[Adjudication]]

    @property
    def items(self) -> tuple[QueueItem, ...]:
        """All items; for a page of a long queue take `found` and `with_decision`."""
        return tuple(self.with_decision(item) for item in self.found)

    def with_decision(self, item: Item) -> QueueItem:
        """Give an item with its newest decision."""
        return _with_decision(self.topic, item, self.decisions.get(item.recording, []))

    def standing(self, item: Item) -> Standing:
        """Tell how an item stands."""
        if item.recording not in self.decisions:
            return "open"
        return self.with_decision(item).standing

    @cached_property
    def counts(self) -> Counter[str]:
        """Items by standing."""
        return Counter(self.standing(item) for item in self.found)


def place_of(topic: Topic, item: Item) -> Place:
    """Give an item's place."""
    return Place(item.recording, topic.key, item.start_us, item.end_us)


def read_place(key: str) -> Place:
    """Read a place from an address. Raises Missing for what is none."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise Missing("This address names no item. Open it from the queue of adjudication.")
    recording, pass_id, label, start, end = match.groups()
    return Place(
        UUID(recording),
        f"{pass_id}/{label.replace('~', '/')}",
        int(start) if start else None,
        int(end) if end else None,
    )


def digest_of(annotations: Iterable[UUID]) -> str:
    """Name a set of annotations, to tell whether it is still the same when a form comes back."""
    return hashlib.sha256(" ".join(sorted(map(str, annotations))).encode()).hexdigest()[:16]


def queue(*, study: Study, topic_key: str) -> Queue:
    """Give a topic's disputes with what was decided about them, most valuable first.

    Recordings of participants who withdrew are not in it. Raises Missing when no rater has
    submitted anything, or the codebook has no such topic.
    """
    codebook, topic = find_topic(study, topic_key)
    found = finding.disputes(study=study, codebook=codebook, topic=topic)
    decisions = _newest_by_recording(codebook, topic)
    left = standing.who_left(study)
    items = tuple(item for item in found.items if item.participant not in left)
    return Queue(topic, codebook, found, items, decisions)


def find_topic(study: Study, topic_key: str) -> tuple[CodebookVersion, Topic]:
    """Give a topic of the codebook version that work was submitted under. Raises Missing."""
    codebook = standing.codebook_with_work(study)
    if codebook is None:
        raise Missing(
            f"No rater of “{study.title}” has submitted anything yet, so there is nothing to "
            "adjudicate."
        )
    topic = topics_of(codebook).get(topic_key)
    if topic is None:
        raise Missing(
            f"The codebook of “{study.title}” has no label “{topic_key}” to adjudicate. Open the "
            "item from the queue of adjudication."
        )
    return codebook, topic


def require_adjudicator(*, study: Study, who: User, recording: Recording) -> None:
    """Make sure that somebody may decide about a recording.

    Raises NotAllowed for who neither leads nor researches the study, and for who rated (or is to
    rate) the recording: nobody judges their own work.
    """
    if not Membership.objects.filter(study=study, user=who, role__in=MAY_DECIDE).exists():
        raise NotAllowed(
            f"Items of “{study.title}” are decided by its lead and its researchers. Ask the lead "
            "if you should be one of them."
        )
    if Assignment.objects.filter(recording=recording, rater=who).exists():
        raise NotAllowed(
            "You are a rater of this recording yourself, so somebody else must decide about it. "
            "Go on with the next item."
        )


def rated_by(study: Study, who: User) -> frozenset[UUID]:
    """Give the recordings that somebody rates themself."""
    rows = Assignment.objects.filter(batch__study=study, rater=who)
    return frozenset(rows.values_list("recording_id", flat=True))


def history(place: Place, codebook: CodebookVersion) -> list[Adjudication]:
    """Give all decisions on a recording's label that touch this place, newest first."""
    return [
        row
        for row in _decisions(codebook, place.topic_key, recording=place.recording)
        if _touches(row, place)
    ]


def require_consent(recording: Recording, place: Place, *, who: User) -> None:
    """Make sure that the participant still lets people judge this stretch; a refusal is recorded.

    Raises ConsentRefused with the reason.
    """
    policy.require(
        Purpose.ANNOTATE, subject_of(recording), span=_span(place), actor=who.get_username()
    )


def decide(
    *,
    study: Study,
    place: Place,
    value: str,
    rationale: str,
    who: User,
    seen: UUID | None,
    looked_at: str,
    stretch: tuple[int, int] | None = None,
) -> Adjudication:
    """Store a decision on an item.

    `value` is one of the topic's choices; `stretch` says where, within the disputed interval, a
    segment label is present (all of it if left out). `seen` is the decision that the person saw
    there, `looked_at` the digest of the annotations that they saw.
    Raises what `require_adjudicator` and `require_consent` raise, Missing when raters do not
    differ there, BadInput for a value or a stretch that cannot be and for an empty rationale,
    Conflict when somebody decided, or a rater submitted again, in the meantime.
    """
    recording = find_recording(study, place)
    require_adjudicator(study=study, who=who, recording=recording)
    require_consent(recording, place, who=who)
    codebook, topic = find_topic(study, place.topic_key)
    item = find_item(study, codebook, topic, place)
    span = _checked(topic, item, value, rationale, stretch)
    try:
        with transaction.atomic():
            return _store(
                study, codebook, topic, item, place, value, span, rationale.strip(), who, seen,
                looked_at,
            )  # fmt: skip
    except IntegrityError as error:
        raise Conflict(_FASTER) from error


_FASTER = (
    "Somebody else decided this item while you had it open. Their decision stands below; what you "
    "wrote is kept. Save again if you still want to put yours in its place."
)
_RESUBMITTED = (
    "A rater submitted this recording again while you had the item open. Below is what the raters "
    "say now; what you wrote is kept. Look again, then save."
)


def find_recording(study: Study, place: Place) -> Recording:
    """Give a place's recording. Raises Missing when the study has none such."""
    row = Recording.objects.filter(study=study, pk=place.recording).select_related(
        "take__participant__study", "study"
    )
    found = row.first()
    if found is None:
        raise Missing(
            "This item's recording is not in this study. It may have been erased at the "
            "participant's wish; the queue shows what is there."
        )
    return found


def find_item(study: Study, codebook: CodebookVersion, topic: Topic, place: Place) -> Item:
    """Give what raters disagree about at a place. Raises Missing when they do not (any more)."""
    for item in finding.items_at(
        study=study, codebook=codebook, topic=topic, recording=place.recording
    ):
        if lies_at(item, place):
            return item
    raise Missing(
        "The raters do not differ here any more: somebody submitted again, or their work was taken "
        "out. The queue shows what is in dispute now."
    )


def lies_at(item: Item, place: Place) -> bool:
    """Tell whether an item is the one at a place."""
    here = (place.recording, place.start_us, place.end_us)
    return (item.recording, item.start_us, item.end_us) == here


def _store(
    study: Study,
    codebook: CodebookVersion,
    topic: Topic,
    item: Item,
    place: Place,
    value: str,
    span: tuple[int, int] | None,
    rationale: str,
    who: User,
    seen: UUID | None,
    looked_at: str,
) -> Adjudication:
    recording = (
        Recording.objects.select_for_update(of=("self",))
        .select_related("take__participant")
        .get(pk=place.recording)
    )
    # The answer is held until the commit, so that no withdrawal comes in between.
    allowed = policy.decide(Purpose.ANNOTATE, subject_of(recording), span=_span(place), hold=True)
    if not allowed:
        raise ConsentRefused(allowed.reason, purpose=allowed.purpose.value)
    now = finding.looked_at(study=study, codebook=codebook, topic=topic, recording=place.recording)
    if digest_of(now) != looked_at or now != item.looked_at:
        raise Conflict(_RESUBMITTED)
    before = _newest_at(codebook, topic, place)
    if (before.pk if before else None) != seen:
        raise Conflict(_FASTER)
    made = Adjudication.objects.create(
        recording=recording,
        codebook=codebook,
        pass_id=topic.pass_id,
        label=topic.label,
        start_us=place.start_us,
        end_us=place.end_us,
        value=value,
        decided_start_us=span[0] if span else None,
        decided_end_us=span[1] if span else None,
        rationale=rationale,
        decided_by=who,
        looked_at=[str(annotation) for annotation in now],
        supersedes=before,
        is_synthetic=who.is_synthetic,
    )
    audit.record(
        actor=who.get_username(),
        verb="adjudication.superseded" if before else "adjudication.decided",
        object_kind="adjudication",
        object_id=made.pk,
        detail={
            "label": topic.key,
            "value": value,
            "annotations": len(now),
            "supersedes": str(before.pk) if before else "",
        },
    )
    return made


def _checked(
    topic: Topic, item: Item, value: str, rationale: str, stretch: tuple[int, int] | None
) -> tuple[int, int] | None:
    """The stretch that the decision is about, checked; None where nothing is present."""
    if value not in dict(topic.choices):
        raise BadInput(
            f"Choose what “{topic.title}” is here: "
            f"{', '.join(title for _, title in topic.choices)}."
        )
    if not rationale.strip():
        raise BadInput("Write why: a decision without its reasons cannot be followed by anybody.")
    if item.start_us is None or item.end_us is None or value != PRESENT:
        return None
    start, end = stretch or (item.start_us, item.end_us)
    if not item.start_us <= start < end <= item.end_us:
        raise BadInput(
            f"The stretch must lie between {format_us(item.start_us)} and "
            f"{format_us(item.end_us)}, and end after it begins: outside of it the raters agree."
        )
    return start, end


def _span(place: Place) -> Span | None:
    if place.start_us is None or place.end_us is None:
        return None
    return Span(place.start_us, place.end_us)


def _newest_at(codebook: CodebookVersion, topic: Topic, place: Place) -> Adjudication | None:
    return Adjudication.objects.filter(
        recording=place.recording,
        codebook=codebook,
        pass_id=topic.pass_id,
        label=topic.label,
        start_us=place.start_us,
        end_us=place.end_us,
        adjudication__isnull=True,
    ).first()


def _decisions(codebook: CodebookVersion, topic_key: str, **only: object) -> Iterator[Adjudication]:
    """The decisions on a topic, newest first; earlier versions' too, where it is the same thing."""
    versions = {version.pk for version in carried.versions_of(codebook)}
    rows = Adjudication.objects.filter(codebook__in=versions, **only).select_related("decided_by")
    for row in rows.order_by("-created_at", "-pk").iterator():
        named = carried.decision_in(row, codebook)
        if named is not None and f"{named[0]}/{named[1]}" == topic_key:
            row.value = named[2]  # in this version's words; the row itself is never saved
            yield row


def _newest_by_recording(
    codebook: CodebookVersion, topic: Topic
) -> Mapping[UUID, list[Adjudication]]:
    """The decisions that none supersedes, by recording, newest first."""
    found: dict[UUID, list[Adjudication]] = {}
    for row in _decisions(codebook, topic.key, adjudication__isnull=True):
        found.setdefault(row.recording_id, []).append(row)
    return found


def _with_decision(topic: Topic, item: Item, decisions: list[Adjudication]) -> QueueItem:
    place = place_of(topic, item)
    touching = [row for row in decisions if _touches(row, place)]
    now = {str(annotation) for annotation in item.looked_at}
    for row in touching:
        if (row.start_us, row.end_us) == (item.start_us, item.end_us) and set(row.looked_at) == now:
            return QueueItem(item, place, "decided", row)
    newest = touching[0] if touching else None
    return QueueItem(item, place, "out_of_date" if newest else "open", newest)


def _touches(row: Adjudication, place: Place) -> bool:
    """Whether a decision is about some of the same time (or the same whole recording)."""
    if row.start_us is None or place.start_us is None:
        return row.start_us is None and place.start_us is None
    return row.start_us < (place.end_us or 0) and place.start_us < (row.end_us or 0)
