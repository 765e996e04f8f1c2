"""What a task may hold: an opaque id, the video's opaque address, and what is said if asked for."""

from __future__ import annotations

import json
import re

import pytest

from annotation.codebooks import load, shipped
from annotation.labelstudio.client import _import_request
from annotation.services import assign, codebooks, publish
from tests.annotation.conftest import Lab, Memory
from tests.factories import (
    AssetFactory,
    MembershipFactory,
    PromptFactory,
    RecordingFactory,
    StudyFactory,
    consented_participant,
)
from waver.core.errors import BadInput
from waver.recordings.models import Asset, Recording
from waver.studies.models import Membership

PASSES = [(name, part.id) for name in sorted(shipped()) for part in load(shipped()[name]).passes]


def _lab(name: str) -> Lab:
    study = StudyFactory(design={"raters_per_recording": 2, "prelabel_share": 0.5, "seed": 7})
    codebooks.install_codebook(study, shipped()[name].read_text(encoding="utf-8"), "tests")
    raters = [MembershipFactory(study=study, role=Membership.Role.ANNOTATOR).user for _ in range(2)]
    recordings = [RecordingFactory(participant=consented_participant(study)) for _ in range(2)]
    return Lab(study, raters, recordings)


def _say(recording: Recording, data: object) -> None:
    AssetFactory(
        recording=recording,
        kind=Asset.Kind.TRANSCRIPT,
        media_type="application/json",
        data=json.dumps(data).encode(),
    )


SAID = {"segments": [{"start_us": 61_500_000, "end_us": 63_000_000, "text": " Well … "},
                     {"start_us": 0, "end_us": 1_000_000, "text": "I do."}]}  # fmt: skip


def _publish(lab: Lab, pass_id: str, memory: Memory) -> str:
    """Send a batch, and give everything that Label Studio is told about it, as one text."""
    seen: list[str] = []
    create = memory.create_project

    def noting(*, title: str, **more: object) -> int:
        seen.append(json.dumps([title, more]))
        return create(title=title, **more)

    memory.create_project = noting  # type: ignore[method-assign]
    batch = assign.plan_batch(lab.study, pass_id, lab.raters, "lead", recordings=lab.recordings)
    publish.publish_batch(batch, client=memory)  # type: ignore[arg-type]
    return "\n".join([*seen, *(json.dumps(_import_request(task)) for task in memory.sent)])


@pytest.mark.parametrize(("name", "pass_id"), PASSES)
def test_no_task_tells_prompt_expected_response_file_or_participant(
    name, pass_id, db, storage_folder, memory
):
    lab = _lab(name)
    _say(lab.recordings[0], SAID)
    prompt = PromptFactory(
        study=lab.study, order=7777, expected_response="answer four", text={"en": "Ask seven?"}
    )
    for recording in lab.recordings:
        recording.take.prompt = prompt
        recording.take.save()
    told = _publish(lab, pass_id, memory)
    assert "7777" not in re.sub(r"[0-9a-f-]{10,}", "", told)  # prompt's number; ids may hold it
    allowed = {"video", "assignment", "transcript"}
    assert all(set(_import_request(task)["data"]) <= allowed for task in memory.sent)
    for recording in lab.recordings:
        take = recording.take
        assert recording.original_name not in told
        assert take.participant.code not in told
        assert str(recording.pk) not in told
        assert str(take.participant_id) not in told
        assert take.prompt is not None
        assert take.prompt.expected_response not in told
        assert not any(text in told for text in take.prompt.text.values())


def test_what_is_said_is_shown_where_it_is_known_and_asked_for(db, storage_folder, memory):
    lab = _lab("clues")
    _say(lab.recordings[0], SAID)
    told = _publish(lab, "units", memory)
    assert "What is said" in told
    spoken = {task.transcript for task in memory.sent}
    assert spoken == {"0:00  I do.\n1:01  Well …", "There is no transcript of this clip."}


def test_without_any_transcript_its_place_is_left_out(db, storage_folder, memory):
    told = _publish(_lab("clues"), "units", memory)
    assert "What is said" not in told


def test_a_pass_that_does_not_ask_is_told_nothing(db, storage_folder, memory):
    lab = _lab("bah")
    _say(lab.recordings[0], SAID)
    assert "I do." not in _publish(lab, "video", memory)


def test_a_broken_transcript_is_named(db, storage_folder, memory):
    lab = _lab("clues")
    _say(lab.recordings[0], {"segments": [{"text": "no time"}]})
    with pytest.raises(BadInput, match="cannot be read \\(KeyError\\)"):
        _publish(lab, "units", memory)
