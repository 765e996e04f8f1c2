"""The layout of the BAH dataset, so that code written for it reads these releases.

    Videos/<participant>/Visite_1/<name>.mp4
    cropped-aligned-faces/Videos/<participant>/Visite_1/<name>.mp4/frame-<n>.jpg
    transcription/Videos/<participant>/Visite_1/<name>.mp4/<name>.yml
    split/{train,val,test}.txt             <video>,<0|1>,<transcript>
    split-frames/{train,val,test}.txt      <video>/frame-<n>.jpg,<0|1>
    video_annotation_transcript.yaml, meta_data.yml, bah-video.csv, class_id.yaml

Frames count from 0 and are computed from the segments here; nothing per frame is stored.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import yaml

from annotation.codebooks import Codebook
from waver.consent.models import ConsentState, Purpose
from waver.core import storage
from waver.core.clock import format_hms, frames_in
from waver.core.errors import IntegrityProblem
from waver.datasets import answers
from waver.datasets.consensus import Decided
from waver.datasets.content import Clip, Content
from waver.datasets.draft import Draft
from waver.datasets.exporters import bah_transcripts
from waver.datasets.manifest import File
from waver.datasets.splits import Fold
from waver.recordings.models import Asset

NAME = "bah"
BUILDER = "bah/3"
ON_REQUEST = False
TITLE = "BAH layout"
FOLDER = "bah"
CLASS_ID = b"With A-H: 1\nNo A-H: 0"
"""The 21 bytes of BAH's class_id.yaml: this order, no final line break."""
VIDEO, SEGMENTS, CERTAINTY = "video/ah", "segments/ah", "video/certainty"
_LAYOUT = (
    f"`{FOLDER}/` has the layout of the BAH dataset. Frames count from 0; crops exist for the "
    "frames in which the participant's face was found. `transcription/` has what is said where "
    "somebody wrote it down or had a model do so: `chunks` with a plain list of seconds as "
    "`timestamp`, for readers that refuse BAH's own tag. It is the third field of the split files, "
    "too, with single quotes for double ones. Where nobody did, it is null, and empty there."
)
_READING = (
    "`fr_detailed_ah` gives the first and the last frame of a stretch, `time_detailed_ah` its "
    "start and end. `annotator_id` names all raters whose majority decided. `all_cues` has an "
    "entry per stretch, with the cues that more than half of those raters noted who marked it; "
    "agreement on cues was not tested."
)
MODALITIES = ("audio", "body", "facial", "inconsistencies", "language")
_STORED_AS = {"inconsistency": "inconsistencies"}


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # libyaml's
    """Writes plain YAML: no anchors, which readers of BAH's files do not expect."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def applies(content: Content) -> bool:
    """The layout holds ambivalence and hesitancy, and needs at least one of the two labels."""
    return VIDEO in content.labels or SEGMENTS in content.labels


def write_shares(content: Content, draft: Draft) -> None:
    """Write each recording's video, face crops and transcript."""
    for clip in content.clips:
        proxy = clip.assets[Asset.Kind.PROXY]
        video = draft.copy(proxy.blob, f"{FOLDER}/{clip.video_id}")
        draft.share(clip, "video", video)
        if Asset.Kind.CROPS in clip.assets and Asset.Kind.CROP_INDEX in clip.assets:
            draft.share(clip, "crops", _crops(clip, draft))
        draft.share(clip, "transcript", bah_transcripts.write(clip, draft, folder=FOLDER))


def write_containers(content: Content, draft: Draft) -> None:
    """Write the split files, the annotation file and the small ones."""
    with draft.container(f"{FOLDER}/class_id.yaml", BUILDER) as path:
        path.write_bytes(CLASS_ID)
    with draft.text_container(f"{FOLDER}/bah-video.csv", BUILDER) as out:
        out.write("video-path\n")
        out.writelines(f"{clip.video_id}\n" for clip in content.clips)
    with draft.text_container(f"{FOLDER}/meta_data.yml", BUILDER) as out:
        yaml.dump(_people(content), out, Dumper=_Dumper, allow_unicode=True)
    answers = _Answers(content)
    said = {
        clip.key: bah_transcripts.released_text(clip, draft, folder=FOLDER)
        for clip in content.clips
    }
    for fold in Fold.values:
        with draft.text_container(f"{FOLDER}/split/{fold}.txt", BUILDER) as out:
            out.writelines(_video_lines(content, answers, fold, said))
        if SEGMENTS in content.labels:
            with draft.text_container(f"{FOLDER}/split-frames/{fold}.txt", BUILDER) as out:
                out.writelines(_frame_lines(content, answers, fold))
    with draft.text_container(f"{FOLDER}/video_annotation_transcript.yaml", BUILDER) as out:
        marks, raters = _marks(content), _raters(content)
        for clip in content.clips:
            names = sorted(raters[clip.recording.pk])
            entry = _entry(content, clip, answers, names, marks) | {"transcript": said[clip.key]}
            entry = {clip.video_id: entry}
            yaml.dump(entry, out, Dumper=_Dumper, allow_unicode=True, width=10_000)


def describe(content: Content) -> list[str]:
    """Say what is where, and how what BAH leaves open was read."""
    answers = _Answers(content)
    unlabelled = sum(answers.video(clip) is None for clip in content.clips)
    said = [_LAYOUT, _READING]
    if unlabelled:
        said.append(
            f"{unlabelled} of {len(content.clips)} videos are in no split file and have null "
            "labels: the raters were undecided, or labelled them with pre-labels in sight."
        )
    decided = sum(len(found.made.decisions) for found in content.labels.values())
    if decided:
        said.append(
            f"{decided} of these labels are adjudicated: a person decided where the raters "
            "differed. `tables/adjudications` has each with the vote before it; a stretch that "
            "was decided may have an empty entry in `all_cues`."
        )
    if SEGMENTS not in content.labels:
        said.append(
            f"“{SEGMENTS}” is not released, so there is no `split-frames/` and the annotation file "
            "has null for everything about stretches and frames."
        )
    if VIDEO not in content.labels:
        said.append(
            f"“{VIDEO}” is not released; the label of a video is 1 where it has at least one "
            f"stretch of “{SEGMENTS}”."
        )
    if CERTAINTY not in content.labels:
        said.append(f"“{CERTAINTY}” is not released, so `certainty_ah` is null.")
    return said


# Videos and crops


def _crops(clip: Clip, draft: Draft) -> File:
    """Take every crop out of the stored tar file, one at a time, and list them."""
    import pyarrow.parquet as pq

    folder = f"{FOLDER}/cropped-aligned-faces/{clip.video_id}"
    files: list[File] = []
    with (
        storage.materialise(clip.assets[Asset.Kind.CROP_INDEX].blob) as index,
        storage.materialise(clip.assets[Asset.Kind.CROPS].blob) as tar,
        tar.open("rb") as data,
    ):
        for frame, offset, size in zip(
            *(pq.read_table(index)[name].to_pylist() for name in ("frame", "offset", "size")),
            strict=True,
        ):
            data.seek(offset)
            jpeg = data.read(size)
            if len(jpeg) != size or not 0 <= frame < clip.frames:
                raise IntegrityProblem(
                    f"The stored face crops of {clip.code} do not fit their index (frame {frame}). "
                    "Prepare this recording's faces again, then build the release again."
                )
            files.append(draft.write(f"{folder}/frame-{frame}.jpg", jpeg))
    return draft.list_files(f"checksums/{clip.participant}/{clip.code}.sha256", files)


# Labels


@dataclass(frozen=True)
class _Answers:
    """The consensus in BAH's terms."""

    content: Content

    def stretches(self, clip: Clip) -> list[Decided] | None:
        """The decided stretches; None where the label is not released or nobody labelled it."""
        found = self.content.labels.get(SEGMENTS)
        if found is None or clip.key not in found.consensus:
            return None
        return [one for one in found.consensus[clip.key] if one.value is not None]

    def video(self, clip: Clip) -> int | None:
        """0 or 1 for the whole video; None where it is not known."""
        found = self.content.labels.get(VIDEO)
        if found is not None:
            answer = found.consensus.get(clip.key, ())
            return self._number(VIDEO, answer[0].value) if answer else None
        stretches = self.stretches(clip)
        return None if stretches is None else int(bool(stretches))

    def certainty(self, clip: Clip) -> list[int] | None:
        """The certainty as BAH has it, a list; None where it is not known."""
        found = self.content.labels.get(CERTAINTY)
        answer = found.consensus.get(clip.key, ()) if found else ()
        number = self._number(CERTAINTY, answer[0].value) if answer else None
        return None if number is None else [number]

    def frames(self, clip: Clip) -> list[int] | None:
        """0 or 1 for every frame of the proxy."""
        stretches = self.stretches(clip)
        if stretches is None:
            return None
        marked = bytearray(clip.frames)
        for one in stretches:
            for frame in _frames(clip, one):
                marked[frame] = 1
        return list(marked)

    def _number(self, key: str, value: str | None) -> int | None:
        """What the codebook says that released files write for a value."""
        if value is None:
            return None
        pass_id, question = key.split("/")
        values = self.content.codebook.pass_(pass_id).question(question).values
        exported = next(one.export for one in values if one.id == value)
        return int(exported if exported is not None else value)


def _frames(clip: Clip, one: Decided) -> range:
    """The frames whose time lies in a stretch; none for one that falls between two frames."""
    found = frames_in(one.start_us or 0, one.end_us or 0, clip.rate)
    return range(found.start, min(found.stop, clip.frames))


def _video_lines(
    content: Content, answers: _Answers, fold: str, said: Mapping[str, str | None]
) -> Iterator[str]:
    for clip in content.clips:
        value = answers.video(clip)
        if clip.fold == fold and value is not None:
            text = bah_transcripts.unquoted(said[clip.key])
            yield f"{clip.video_id},{value},{text}\n"


def _frame_lines(content: Content, answers: _Answers, fold: str) -> Iterator[str]:
    for clip in content.clips:
        values = answers.frames(clip) if clip.fold == fold else None
        for frame, value in enumerate(values or ()):
            yield f"{clip.video_id}/frame-{frame}.jpg,{value}\n"


def _entry(
    content: Content,
    clip: Clip,
    answers: _Answers,
    raters: list[str],
    marks: dict[UUID, list[_Mark]],
) -> dict[str, Any]:
    """One video of video_annotation_transcript.yaml, but for what is said."""
    stretches, by_frame = answers.stretches(clip), answers.frames(clip)
    known = None if stretches is None else [(one, _frames(clip, one)) for one in stretches]
    return {
        "all_cues": None
        if stretches is None
        else [_common_cues(content.codebook, marks[clip.recording.pk], one) for one in stretches],
        "annotator_id": "+".join(raters),
        "certainty_ah": answers.certainty(clip),
        "fr_detailed_ah": None
        if known is None
        else [[frames.start, frames.stop - 1] for _, frames in known if frames],
        "frame_annotation": None
        if by_frame is None
        else [[f"{clip.video_id}/frame-{n}.jpg", value] for n, value in enumerate(by_frame)],
        "global_ah": answers.video(clip),
        "time_detailed_ah": None
        if known is None
        else [[format_hms(one.start_us or 0), format_hms(one.end_us or 0)] for one, _ in known],
    }


# Raters, cues and people


def _raters(content: Content) -> dict[UUID, set[str]]:
    """Who decided on each recording: the raters of the released passes whom consensus takes."""
    passes = {found.label.pass_id for found in content.labels.values()}
    found: dict[UUID, set[str]] = defaultdict(set)
    for item in content.submissions:
        if item.pass_id in passes and item.arm in content.terms.arms:
            found[item.recording].add(content.raters[item.rater])
    return found


@dataclass(frozen=True)
class _Mark:
    """One rater's stretch and the cues (modality, cue) noted in it, often none."""

    rater: UUID
    start_us: int
    end_us: int
    cues: frozenset[tuple[str, str]]


def _marks(content: Content) -> dict[UUID, list[_Mark]]:
    """Every rater's released stretches, by recording; of the arms that consensus takes."""
    found: dict[UUID, list[_Mark]] = defaultdict(list)
    if SEGMENTS not in content.labels:
        return found
    label = content.labels[SEGMENTS].label
    items = {
        item.annotation: item
        for item in content.submissions
        if item.pass_id == label.pass_id and item.arm in content.terms.arms
    }
    version = content.codebook_version
    for one in answers.marked(list(items.values()), version, [label.source], cues=True):
        item = items[one.annotation]
        noted = frozenset((_STORED_AS.get(name, name), cue) for name, cue in one.cues)
        found[item.recording].append(_Mark(item.rater, one.start_us, one.end_us, noted))
    return found


def _common_cues(codebook: Codebook, marks: list[_Mark], one: Decided) -> dict[str, str | None]:
    """The cues that more than half of those raters noted who marked this stretch at all.

    A rater who marked it without a cue counts as one who saw none; a cue that a rater noted in
    two overlapping stretches counts once.
    """
    near = [m for m in marks if m.start_us < (one.end_us or 0) and m.end_us > (one.start_us or 0)]
    raters = {mark.rater for mark in near}
    votes = Counter(cue for _, cue in {(mark.rater, cue) for mark in near for cue in mark.cues})
    titles = _titles(codebook)
    found: dict[str, list[str]] = {modality: [] for modality in MODALITIES}
    for (modality, cue), count in sorted(votes.items()):
        if modality in found and 2 * count > len(raters):
            found[modality].append(titles.get((modality, cue), cue))
    return {modality: " - ".join(names) or None for modality, names in found.items()}


def _titles(codebook: Codebook) -> dict[tuple[str, str], str]:
    part = codebook.pass_(SEGMENTS.split("/")[0])
    return {
        (_STORED_AS.get(question.id, question.id), value.id): str(value.export or value.title)
        for question in part.questions
        for value in question.values
    }


def _people(content: Content) -> dict[str, dict[str, Any]]:
    """What is known of the participants: their answers about use, nothing else."""
    keys = {clip.recording.take.participant_id: clip for clip in content.clips}
    states = ConsentState.objects.filter(
        participant__in=list(keys), allowed=True, ended_at__isnull=True
    ).values_list("participant", "purpose")
    given = set(states)

    def answer(person: UUID, purpose: str) -> str:
        return "Yes" if (person, purpose) in given else "No"

    return {
        clip.participant: {
            "Use in challenges": answer(person, Purpose.CHALLENGE),
            "Use in publications": answer(person, Purpose.PUBLICATION),
            "Is synthetic": "Yes" if clip.recording.participant.is_synthetic else "No",
        }
        for person, clip in keys.items()
    }
