"""Labelled studies for the tests of this folder: many rows, made in few statements."""

from __future__ import annotations

import hashlib
import random
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from annotation import codebooks
from annotation.models import (
    Annotation,
    Assignment,
    Batch,
    ClipLabel,
    CodebookVersion,
    Segment,
    SegmentCue,
)
from tests.factories import (
    RECORDED_AT,
    AssetFactory,
    BatchFactory,
    CodebookVersionFactory,
    MembershipFactory,
    ParticipantFactory,
    RecordingFactory,
    StudyFactory,
    TakeFactory,
    UserFactory,
    consented_participant,
)
from waver.accounts.models import User
from waver.consent.models import Participant
from waver.datasets.policies import read, shipped
from waver.recordings.models import Recording
from waver.studies.models import Membership, Study

Truth = dict  # Recording -> list of (start_us, end_us); empty: nothing there
BAH = Path(codebooks.shipped()["bah"]).read_text(encoding="utf-8")


@dataclass
class World:
    """A study with a BAH codebook, its people, recordings and planted truth."""

    study: Study
    codebook: CodebookVersion
    lead: User
    raters: list[User]
    recordings: list[Recording]
    truth: Truth = field(default_factory=dict)

    @property
    def participants(self) -> list[Participant]:
        return list(dict.fromkeys(recording.participant for recording in self.recordings))


def world(
    *,
    participants: int = 12,
    recordings_each: int = 1,
    raters: int = 3,
    consented: bool = False,
    synthetic: bool = False,
) -> World:
    """Make a study; in two of three recordings something is there, from 2 to 5 seconds."""
    study = StudyFactory(is_synthetic=synthetic)
    text = CodebookVersionFactory(
        study=study,
        code="bah-ah",
        text=BAH,
        sha256=hashlib.sha256(BAH.encode()).hexdigest(),
    )
    lead = MembershipFactory(study=study, role=Membership.Role.LEAD).user
    people = [
        consented_participant(study) if consented else ParticipantFactory(study=study)
        for _ in range(participants)
    ]
    prompts = [None] * recordings_each
    recordings = []
    for person in people:
        for n in range(recordings_each):
            take = (
                TakeFactory(participant=person, prompt=prompts[n], recorded_at=RECORDED_AT)
                if prompts[n]
                else TakeFactory(participant=person)
            )
            prompts[n] = prompts[n] or take.prompt
            recordings.append(RecordingFactory(take=take, study=study, is_synthetic=synthetic))
    made = World(
        study=study,
        codebook=text,
        lead=lead,
        raters=[
            UserFactory(username=f"{study.code}-rater-{n}", is_synthetic=synthetic)
            for n in range(raters)
        ],
        recordings=recordings,
    )
    for n, recording in enumerate(recordings):
        made.truth[recording] = [] if n % 3 == 2 else [(2_000_000, 5_000_000)]
    return made


def label(
    made: World,
    *,
    jitter_us: int = 150_000,
    errors: float = 0.0,
    seed: int = 5,
    arm: str = "blind",
    recordings: Iterable[Recording] | None = None,
    raters: Iterable[User] | None = None,
    passes: tuple[str, ...] = ("segments", "video"),
    with_certainty_noise: bool = True,
    with_cues: bool = True,
    kind: str = Batch.Kind.WORK,
    name: str = "ah",
    **of_assignment: object,
) -> None:
    """Let every rater submit both passes: the truth, with seeded slips.

    `kind` is the batches', `name` the label that is marked; `of_assignment` sets fields of the
    assignments.

    `errors` is the chance of a wrong clip label and of a missed or invented segment. The certainty
    is noise unless told otherwise, so that one label is bound to fail.
    """
    chance = random.Random(seed)
    chosen = list(recordings or made.recordings)
    for pass_id in passes:
        batch = BatchFactory(study=made.study, codebook=made.codebook, pass_id=pass_id, kind=kind)
        rows, spans, cues, clips = [], [], [], []
        for rater in raters or made.raters:
            for order, recording in enumerate(chosen, 1):
                annotation = _submission(batch, rater, recording, order, arm, of_assignment)
                rows.append(annotation)
                there = bool(made.truth[recording]) != (chance.random() < errors)
                if pass_id == "segments" and there:
                    span = _span(made.truth[recording], chance, jitter_us)
                    segment = Segment(annotation=annotation, label=name, certainty=2, **span)
                    spans.append(segment)
                    if with_cues:
                        cues.append(SegmentCue(segment=segment, modality="audio", cue="pause"))
                elif pass_id == "video":
                    sure = chance.randint(1, 3) if with_certainty_noise else 1 + there
                    clips.append(
                        ClipLabel(
                            annotation=annotation,
                            scale="ah",
                            value="present" if there else "absent",
                            confidence=sure,
                        )
                    )
        Assignment.objects.bulk_create(row.assignment for row in rows)
        Annotation.objects.bulk_create(rows)
        Segment.objects.bulk_create(spans)
        SegmentCue.objects.bulk_create(cues)
        ClipLabel.objects.bulk_create(clips)


def _span(truth: list, chance: random.Random, jitter_us: int) -> dict[str, int]:
    start, end = truth[0] if truth else (6_000_000, 8_000_000)
    return {
        "start_us": start + chance.randint(-jitter_us, jitter_us),
        "end_us": end + chance.randint(-jitter_us, jitter_us),
    }


_numbers = iter(range(1, 10**9))


def _submission(
    batch: Batch,
    rater: User,
    recording: Recording,
    order: int,
    arm: str,
    of_assignment: dict[str, object],
) -> Annotation:
    number = next(_numbers)
    digest = hashlib.sha256(f"submission {number}".encode()).hexdigest()
    assignment = Assignment(
        batch=batch,
        recording=recording,
        rater=rater,
        arm=arm,
        order=order,
        state=Assignment.State.SUBMITTED,
        media_token=digest,
        **of_assignment,
    )
    return Annotation(
        assignment=assignment,
        codebook=batch.codebook,
        remote_id=number,
        remote_updated_at=RECORDED_AT + timedelta(days=1),
        version=1,
        raw={"result": []},
        raw_sha256=digest,
        received_by=Annotation.Route.POLL,
        verdict=Annotation.Verdict.ACCEPTED,
        is_synthetic=rater.is_synthetic,
    )


def policy_text(
    *,
    clusters: int = 6,
    resamples: int = 1000,
    labels: tuple[str, ...] = ("segments/ah", "video/ah", "video/certainty"),
    demonstration: bool = True,
    looks: int = 3,
) -> str:
    """Give the demonstration policy with other numbers."""
    import yaml

    policy = read(shipped("demonstration"))
    policy["interval"]["resamples"] = resamples
    policy["demonstration"] = demonstration
    policy["looks"]["max"] = looks
    policy["labels"] = {key: policy["labels"][key] for key in labels}
    for rule in policy["labels"].values():
        rule["guards"]["clusters_min"] = clusters
    return yaml.safe_dump(policy, sort_keys=False)


def with_media(made: World) -> None:
    """Give every recording a proxy, a frame map and face crops; real bytes, if not real video."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from workers.faces.crops import CropWriter

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for n, recording in enumerate(made.recordings):
            AssetFactory(recording=recording, data=f"video {n}".encode() * 100)
            table = pa.table({"frame": pa.array(range(3), pa.int32()), "source_us": [0, 1, 2]})
            pq.write_table(table, home / f"{n}.parquet")
            with CropWriter(home / f"{n}.tar", home / f"{n}.index") as crops:
                for frame in (0, 1, 7, 299):
                    crops.add(frame, np.full((16, 16, 3), (n * 5 + frame) % 256, np.uint8))
            for kind, name in (
                ("frame_map", f"{n}.parquet"),
                ("crops", f"{n}.tar"),
                ("crop_index", f"{n}.index"),
            ):
                AssetFactory(recording=recording, kind=kind, data=(home / name).read_bytes())
