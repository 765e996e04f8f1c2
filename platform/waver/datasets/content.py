"""What goes into a release, and what stays out and why; no file is written here.

Everything that a recipient sees carries names drawn for releases. Codes in use inside, file names
and free notes never leave.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

from annotation.codebooks import Codebook
from waver.accounts.models import User
from waver.consent import policy as consent
from waver.consent.models import Purpose
from waver.core.errors import Conflict
from waver.datasets import codes, consensus, gate, previews, sensors, splits
from waver.datasets.consensus import Consensus, Decided, Rules, Terms
from waver.datasets.gate import Standing
from waver.datasets.labels import Label, labels_of, read_codebook
from waver.datasets.models import GateRun
from waver.datasets.policies import read
from waver.datasets.snapshots import Item, items_of
from waver.recordings.masked import Masked
from waver.recordings.models import Asset, Recording
from waver.recordings.subjects import subject_of

_Kind = Asset.Kind
RELEASED_KINDS = (
    _Kind.PROXY,
    _Kind.FRAME_MAP,
    _Kind.CROPS,
    _Kind.CROP_INDEX,
    _Kind.TRANSCRIPT,
)
"""The assets that a release is made of; consent is asked for each."""


@dataclass(frozen=True)
class Clip:
    """One released recording. `name` is BAH's file name, `video_id` its path in the BAH layout."""

    recording: Recording
    participant: str
    name: str
    fold: str
    assets: Mapping[str, Asset]
    may_infer: bool
    preview: Masked | None = None
    sensors: tuple[Asset, ...] = ()  # the samples recorded beside it, one asset for each file

    @property
    def key(self) -> str:
        """The recording's key inside, as text; never written to a release."""
        return str(self.recording.pk)

    @property
    def code(self) -> str:
        """The recording's name in the tables."""
        return self.name.removesuffix(".mp4")

    @property
    def video_id(self) -> str:
        """Its path in the BAH layout."""
        return f"Videos/{self.participant}/Visite_1/{self.name}"

    @property
    def rate(self) -> Fraction:
        """Frames per second, exact."""
        rate = self.recording.rate
        if rate is None:
            raise Conflict("A recording without a proxy cannot be released.")
        return rate

    @property
    def frames(self) -> int:
        """Number of frames of the proxy."""
        return self.recording.frame_count or 0


@dataclass(frozen=True)
class ReleasedLabel:
    """A label that leaves, with its consensus as it was derived (`made`).

    Of a tentative one, only the votes behind the consensus do.
    """

    label: Label
    standing: Standing
    made: Consensus

    @property
    def consensus(self) -> Mapping[str, tuple[Decided, ...]]:
        """Recording's key -> answers; an empty tuple where the raters marked nothing."""
        return self.made.answers


@dataclass(frozen=True)
class Content:
    """Everything that the exporters need."""

    gate_run: GateRun
    version: str
    purpose: Purpose
    codebook: Codebook
    clips: tuple[Clip, ...]
    left_out: Mapping[str, tuple[int, int]]  # reason -> recordings, participants
    labels: Mapping[str, ReleasedLabel]
    soft: Mapping[str, ReleasedLabel]  # tentative: only their votes leave, stamped
    blocked: Mapping[str, Standing]
    submissions: tuple[Item, ...]  # both arms; repeats are left out
    terms: Terms  # as of when decisions count, and the arms that consensus takes
    raters: Mapping[UUID, str]
    synthetic_raters: frozenset[str]
    is_demonstration: bool
    with_previews: bool = False
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def study(self) -> Any:
        """The study that is released."""
        return self.gate_run.snapshot.study

    @property
    def codebook_version(self) -> UUID:
        """The codebook version whose words the release uses."""
        return UUID(str(self.gate_run.snapshot.codebook_id))

    @property
    def name(self) -> str:
        """The release's name, and that of its folder."""
        return f"{self.study.code}-{self.version}-{self.purpose.value}"

    @property
    def participants(self) -> tuple[str, ...]:
        """The participants' codes in releases, in order."""
        return tuple(sorted({clip.participant for clip in self.clips}))

    @property
    def is_synthetic(self) -> bool:
        """Whether anything in it was made by a computer instead of a person."""
        return bool(self.synthetic_raters) or any(
            clip.recording.is_synthetic or clip.recording.participant.is_synthetic
            for clip in self.clips
        )


def gather(
    *,
    gate_run: GateRun,
    version: str,
    purpose: Purpose,
    actor: str,
    recordings: frozenset[UUID] | None = None,
    published_at: datetime | None = None,
    terms: Terms | None = None,
    with_previews: bool = False,
    with_sensors: frozenset[UUID] = frozenset(),
) -> Content:
    """Decide what goes into a release.

    With `recordings`, exactly these go in and consent is not asked: that is for making a published
    release's containers again after somebody was taken out of it. `published_at` then says as of
    when waivers count, and `terms` what consensus is made of: a version neither gains nor loses a
    label afterwards, and none changes; `with_sensors` says beside which of them it has sensors.
    `with_previews` adds each recording's masked preview where it is good enough to leave.
    Raises Conflict when nothing is left, or when masked previews are wanted and not made yet.
    """
    snapshot = gate_run.snapshot
    items = [item for item in items_of(snapshot) if item.repeat == 0]
    chosen = frozenset(item.recording for item in items)
    if recordings is None:
        allowed, left_out = _ask(chosen, purpose, actor)
    else:
        allowed, left_out = _load(chosen & recordings), {}
    if not allowed:
        raise Conflict(
            f"Nothing of “{snapshot.study.title}” may be released for “{purpose.label}”: "
            f"{_why(left_out)}"
        )
    rules = read(gate_run.policy.text)
    codebook = read_codebook(snapshot.codebook.text)
    standings = gate.standings(gate_run, at=published_at)
    masked: Mapping[UUID, Masked] = {}
    if with_previews and recordings is None:
        masked = previews.require(allowed, actor=actor)
    clips = _clips(gate_run, allowed, actor, masked)
    if recordings is None:
        clips = sensors.beside(clips, purpose, actor=actor)
    else:
        clips = sensors.released_beside(clips, with_sensors)
    released = frozenset(recording.pk for recording in allowed)
    submissions = tuple(item for item in items if item.recording in released)
    raters = codes.of_raters(study=snapshot.study, raters={item.rater for item in submissions})
    synthetic = User.objects.filter(pk__in=raters, is_synthetic=True).values_list("pk", flat=True)
    terms = terms or Terms.now(snapshot)
    hard = {key: found for key, found in standings.items() if found.may_be_released}
    soft = {key: found for key, found in standings.items() if found.may_leave_softly}
    return Content(
        gate_run=gate_run,
        version=version,
        purpose=purpose,
        codebook=codebook,
        clips=clips,
        left_out=left_out,
        labels=_released_labels(gate_run, rules, codebook, hard, released, terms),
        # Votes of raters who saw pre-labels are no measure of how split raters are.
        soft=_released_labels(gate_run, rules, codebook, soft, released, terms.blind()),
        blocked={k: found for k, found in standings.items() if k not in {*hard, *soft}},
        submissions=submissions,
        terms=terms,
        raters=raters,
        synthetic_raters=frozenset(raters[pk] for pk in synthetic),
        is_demonstration=bool(rules.get("demonstration")),
        with_previews=with_previews,
    )


def still_allowed(content: Content, actor: str) -> bool:
    """Ask consent for every asset again, and hold it until the transaction ends."""
    return all(
        consent.may(
            content.purpose, subject_of(clip.recording, asset), actor=actor, hold=True
        ).allowed
        for clip in content.clips
        for asset in clip.assets.values()
    ) and all(
        sensors.may_leave(asset, content.purpose, actor=actor, hold=True)
        for clip in content.clips
        for asset in clip.sensors
    )


def _load(keys: frozenset[UUID]) -> list[Recording]:
    return list(
        Recording.objects.filter(pk__in=keys)
        .select_related("take__participant", "take__prompt", "study")
        .order_by("take__participant", "take__prompt__order", "take__recorded_at", "pk")
    )


def covered(*, gate_run: GateRun, purpose: Purpose, actor: str) -> list[Recording]:
    """Give the recordings of a snapshot that consent covers for a purpose."""
    items = items_of(gate_run.snapshot)
    return _ask(frozenset(item.recording for item in items if item.repeat == 0), purpose, actor)[0]


def _ask(
    keys: frozenset[UUID], purpose: Purpose, actor: str
) -> tuple[list[Recording], dict[str, tuple[int, int]]]:
    """The recordings that may go in, and how many of whom may not, by reason."""
    allowed: list[Recording] = []
    refused: dict[str, list[UUID]] = defaultdict(list)
    for recording in _load(keys):
        reason = _refusal(recording, purpose, actor)
        if reason is None:
            allowed.append(recording)
        else:
            refused[reason].append(recording.take.participant_id)
    return allowed, {why: (len(who), len(set(who))) for why, who in sorted(refused.items())}


_RULES = {
    "not_given": "the participant did not agree to this use",
    "ended": "the participant withdrew the consent for this use",
    "participant_not_active": "the participant withdrew from the study",
    "recorded_before_consent": "the recording was made before the consent was given",
    "undated": "nobody knows when the recording was made",
    "restricted": "a stretch of the recording must not be used",
}


def _refusal(recording: Recording, purpose: Purpose, actor: str) -> str | None:
    """Why a recording stays out, in words that name nobody; None when it may go in."""
    if recording.state != Recording.State.READY:
        return "the recording is not ready: it is being prepared, failed, or needs a decision"
    assets = _assets(recording)
    if _Kind.PROXY not in assets:
        return "the recording has no proxy"
    for asset in assets.values():
        decision = consent.may(purpose, subject_of(recording, asset), actor=actor)
        if not decision.allowed:
            return _RULES.get(decision.rule, "consent does not cover it")
    return None


def _assets(recording: Recording) -> dict[str, Asset]:
    rows = recording.assets.filter(kind__in=RELEASED_KINDS, blob__erased_at__isnull=True)
    return {asset.kind: asset for asset in rows.select_related("blob")}


def _why(left_out: Mapping[str, tuple[int, int]]) -> str:
    said = [f"{counted(count, who)}: {why}" for why, (count, who) in left_out.items()]
    return f"{'; '.join(said) or 'the snapshot is empty'}."


def counted(recordings: int, participants: int) -> str:
    """Say how many recordings of how many participants."""
    first = f"{recordings} recording{'' if recordings == 1 else 's'}"
    return f"{first} of {participants} participant{'' if participants == 1 else 's'}"


def _clips(
    gate_run: GateRun, recordings: list[Recording], actor: str, masked: Mapping[UUID, Masked]
) -> tuple[Clip, ...]:
    study = gate_run.snapshot.study
    people = {recording.take.participant_id for recording in recordings}
    names = codes.of_participants(study=study, participants=people)
    folds = splits.assign(study=study, participants=people)
    taken: Counter[str] = Counter()
    clips = []
    for recording in recordings:
        person = recording.take.participant_id
        name = _name(recording, names[person])
        taken[name] += 1
        if taken[name] > 1:
            name = f"{name}-{taken[name]}"
        may_infer = consent.may(Purpose.INFER, subject_of(recording), actor=actor).allowed
        assets, preview = _assets(recording), masked.get(recording.pk)
        if preview is not None and preview.asset is not None and not preview.shortcoming:
            assets[_Kind.MASKED_PREVIEW] = preview.asset
        clips.append(
            Clip(
                recording=recording,
                participant=names[person],
                name=f"{name}.mp4",
                fold=folds[person],
                assets=assets,
                may_infer=may_infer,
                preview=preview,
            )
        )
    return tuple(sorted(clips, key=lambda clip: clip.video_id))


def _name(recording: Recording, participant: str) -> str:
    """BAH's file name, with the code in releases; question 0 where there was no prompt."""
    prompt = recording.take.prompt
    moment = recording.take.recorded_at
    return (
        f"{participant}_Question_{prompt.order if prompt else 0}_{moment:%Y-%m-%d}_"
        f"{moment:%H-%M-%S}_Video"
    )


def _released_labels(
    gate_run: GateRun,
    rules: Mapping[str, Any],
    codebook: Codebook,
    standings: Mapping[str, Standing],
    released: frozenset[UUID],
    terms: Terms,
) -> dict[str, ReleasedLabel]:
    known = labels_of(codebook)
    found = {}
    for key, standing in standings.items():
        made = consensus.build(
            gate_run.snapshot,
            known[key],
            rules=Rules.of(rules),
            terms=terms,
            tick_us=rules["labels"][key].get("tick_us"),
        )
        found[key] = ReleasedLabel(known[key], standing, made.only(released))
    return found
