"""The versions of a recording's transcript: kept, corrected, restored; none is ever changed.

The highest version stands: raters, timelines and releases read it, through the asset of the kind
`transcript`, which always has the same bytes. Batches that were sent to Label Studio keep what they
were sent; the next batch reads the version that stands then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction

from waver.consent import policy
from waver.consent.models import Purpose, Restriction
from waver.core import audit, storage
from waver.core.clock import Span
from waver.core.errors import BadInput, Conflict, ConsentRefused, Missing
from waver.recordings.models import Asset, Recording, Transcript
from waver.recordings.subjects import subject_of
from waver.recordings.transcripts.reading import checked
from waver.recordings.transcripts.said import Said

MEDIA_TYPE = "application/json"
_HUMAN = (Transcript.Source.CORRECTED, Transcript.Source.IMPORTED)


class Overtaken(Conflict):
    """Somebody saved another version since; `standing` is that one."""

    def __init__(self, sentence: str, *, standing: Transcript) -> None:
        super().__init__(sentence)
        self.standing = standing


@dataclass(frozen=True)
class Kept:
    """The version that stands now, and whether it was made just now."""

    transcript: Transcript
    is_new: bool


def standing(recording: Recording) -> Transcript | None:
    """Give the version that stands, None where nobody wrote down what is said."""
    return recording.transcripts.select_related("blob").order_by("-version").first()


def versions(recording: Recording) -> Sequence[Transcript]:
    """Give every version, the newest first."""
    return list(recording.transcripts.select_related("blob").order_by("-version"))


def version(recording: Recording, number: int) -> Transcript:
    """Give one version. Raises Missing."""
    found = recording.transcripts.select_related("blob").filter(version=number).first()
    if found is None:
        raise Missing(
            f"The transcript of this recording has no version {number}. Reload the page to see "
            "which there are."
        )
    return found


def read(transcript: Transcript, *, actor: str) -> Said:
    """Give what a version says. Raises ConsentRefused, and Missing for erased bytes."""
    policy.require(Purpose.PROCESS, subject_of(transcript.recording), actor=actor)
    return said_in(transcript)


def said_in(transcript: Transcript) -> Said:
    """Give what a version says, for who has asked consent already."""
    return Said.from_json(b"".join(storage.open_range(transcript.blob)))


def store(
    *,
    recording: Recording,
    said: Said,
    source: str,
    made_from: str,
    made_by: str,
    based_on: int | None = None,
    replace: bool = False,
) -> Kept:
    """Keep a transcript as the next version; the same as the standing one makes no new version.

    1. Hold it against the recording (`reading.checked`) and against consent: the recording may be
       prepared, and no segment reaches into a stretch that must not be used.
    2. Store its bytes, once for the version and the asset.
    3. In one transaction, with consent held: make the version, let the asset be it, audit.

    `source` is one of Transcript.Source, `made_from` a format or a model, `made_by` who or what.
    `based_on` is the version that a correction was made from, 0 for none: when another stands,
    Overtaken is raised. An import that was kept before is not kept again, and an import does not
    take the place of a correction, nor a model's transcript that of people's: unless `replace` says
    that it is to stand.
    Raises BadInput for what does not fit, Conflict for what may not be replaced, ConsentRefused.
    """
    said = checked(said, duration_us=length_of(recording))
    require_covered(recording, said, actor=made_by)
    with storage.workspace("transcript") as folder:
        path = folder / "transcript.json"
        path.write_bytes(said.to_json())
        stored = storage.put(path)
    try:
        with transaction.atomic():
            subject = subject_of(recording)
            decision = policy.decide(Purpose.PROCESS, subject, hold=True)
            if not decision:
                raise ConsentRefused(decision.reason, purpose=decision.purpose.value)
            Recording.objects.select_for_update().get(pk=recording.pk)
            known = _known(recording, stored, source, replace=replace)
            if known is not None:
                return Kept(known, is_new=False)
            _refuse_overtaken(recording, based_on)
            if not replace:
                refuse_replacing(recording, source)
            return Kept(
                add(
                    recording, stored,
                    source=source, made_from=made_from, made_by=made_by, language=said.language,
                ),
                is_new=True,
            )  # fmt: skip
    finally:
        storage.discard(stored)  # does nothing once a version has its reference


def add(
    recording: Recording,
    stored: storage.Stored,
    *,
    source: str,
    made_from: str,
    made_by: str,
    language: str,
    provenance: Mapping[str, Any] | None = None,
) -> Transcript:
    """Make stored bytes the next version, in the caller's transaction with the recording locked.

    `provenance` is how a stage made them; a person's work names its version and its source.
    """
    newest = standing(recording)
    # Both are references to the same bytes.
    blob = storage.acquire(stored)
    storage.acquire(stored)
    row = Transcript.objects.create(
        recording=recording,
        version=newest.version + 1 if newest else 1,
        source=source,
        made_from=made_from[:120],
        language=language,
        made_by=made_by[:150],
        blob=blob,
    )
    for older in recording.assets.filter(kind=Asset.Kind.TRANSCRIPT).select_related("blob"):
        older.delete()
        storage.let_go(older.blob)
    Asset.objects.create(
        recording=recording,
        kind=Asset.Kind.TRANSCRIPT,
        blob=blob,
        media_type=MEDIA_TYPE,
        made_by=dict(provenance)
        if provenance is not None
        else {
            "stage": f"transcript, {row.get_source_display().lower()}",
            "version": row.version,
            "inputs": [],
            "tools": {"from": row.made_from} if row.made_from else {},
            "parameters": {},
        },
    )
    audit.record(
        actor=made_by,
        verb="transcript.kept",
        object_kind="recording",
        object_id=recording.pk,
        detail={"version": row.version, "source": source, "sha256": stored.sha256},
    )
    return row


def restore(*, recording: Recording, number: int, actor: str, based_on: int) -> Kept:
    """Let an older version stand again, as a new version. Raises as `store`."""
    older = version(recording, number)
    return store(
        recording=recording,
        said=read(older, actor=actor),
        source=Transcript.Source.CORRECTED,
        made_from=f"version {number}",
        made_by=actor,
        based_on=based_on,
    )


def length_of(recording: Recording) -> int:
    """Give the recording's length in microseconds. Raises BadInput before it is prepared."""
    if recording.duration_us is None:
        raise BadInput(
            f"{recording.original_name} has not been prepared, so its length is not known and no "
            "transcript can be held against it. Wait until it is prepared, then try again."
        )
    return recording.duration_us


def fitting(recording: Recording, said: Said) -> Said:
    """Hold a transcript against the recording's length, as `store` does. Raises BadInput."""
    return checked(said, duration_us=length_of(recording))


def require_covered(recording: Recording, said: Said, *, actor: str) -> None:
    """Ask consent for the recording and, where stretches are restricted, for each segment.

    Raises ConsentRefused; the refusal is recorded.
    """
    subject = subject_of(recording)
    policy.require(Purpose.PROCESS, subject, actor=actor)
    stretches = restricted(recording)
    for segment in said.segments:
        if touches(segment.start_us, segment.end_us, stretches):
            span = Span(segment.start_us, segment.end_us)
            policy.require(Purpose.PROCESS, subject, span=span, actor=actor)


def restricted(recording: Recording) -> list[tuple[int, int]]:
    """Give the stretches of a recording that must not be used."""
    rows = Restriction.objects.filter(recording_id=recording.pk).order_by("start_us")
    return list(rows.values_list("start_us", "end_us"))


def touches(start_us: int, end_us: int, stretches: Sequence[tuple[int, int]]) -> bool:
    """Tell whether a stretch overlaps one of these."""
    return any(start_us < end and start < end_us for start, end in stretches)


def without_restricted(recording: Recording, said: Said) -> Said:
    """Leave out the segments that reach into a stretch that must not be used."""
    stretches = restricted(recording)
    kept = tuple(
        each for each in said.segments if not touches(each.start_us, each.end_us, stretches)
    )
    return Said(kept, said.language)


def refuse_replacing(recording: Recording, source: str) -> None:
    """Raise Conflict where what people wrote would be replaced by less."""
    newest = standing(recording)
    if newest is None:
        return
    when = f"{newest.created_at:%Y-%m-%d}"
    if source == Transcript.Source.MODEL and newest.source in _HUMAN:
        raise Conflict(
            f"Version {newest.version} ({newest.get_source_display().lower()} by {newest.made_by}, "
            f"{when}) stands, and a model's transcript does not take the place of people's work. "
            "Ask for it in its place if that is meant; every version is kept."
        )
    if source == Transcript.Source.IMPORTED and newest.source == Transcript.Source.CORRECTED:
        raise Conflict(
            f"{newest.made_by} corrected the transcript by hand (version {newest.version}, {when}),"
            " and an import does not take its place. Import it with “replace” if that is meant; "
            "every version is kept."
        )


def latest_versions(recordings: Sequence[UUID]) -> dict[UUID, Transcript]:
    """Give the standing version of each of these recordings that has one."""
    rows = Transcript.objects.filter(recording__in=recordings).order_by("recording", "-version")
    return {row.recording_id: row for row in rows.distinct("recording")}


def _known(
    recording: Recording, stored: storage.Stored, source: str, *, replace: bool
) -> Transcript | None:
    """The version that has these bytes already: the standing one or, for an import, any."""
    rows = recording.transcripts.select_related("blob").order_by("-version")
    if replace or source != Transcript.Source.IMPORTED:
        newest = rows.first()
        return newest if newest and newest.blob.sha256 == stored.sha256 else None
    return rows.filter(blob__sha256=stored.sha256).first()


def _refuse_overtaken(recording: Recording, based_on: int | None) -> None:
    newest = standing(recording)
    if based_on is None or newest is None or newest.version == based_on:
        return
    raise Overtaken(
        f"{newest.made_by} saved version {newest.version} meanwhile, at "
        f"{newest.created_at:%H:%M} UTC. Your text is kept below: compare the two, then save yours "
        "on top, or leave it.",
        standing=newest,
    )


def describe(transcript: Transcript) -> str:
    """Say in a few words which version it is: number, source and where it came from."""
    came = f" from {transcript.made_from}" if transcript.made_from else ""
    return f"version {transcript.version}, {transcript.get_source_display().lower()}{came}"
