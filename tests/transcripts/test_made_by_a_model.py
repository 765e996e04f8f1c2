"""A model's transcript: asked for, made by its job, never over people's work."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tests.factories import AssetFactory, RecordingFactory, StudyFactory, consented_participant
from tests.speech.test_transcribe import silence
from waver.consent.models import Restriction
from waver.core.errors import BadInput, Conflict
from waver.core.models import Job
from waver.recordings import transcribing
from waver.recordings.models import Asset, Recording, Transcript
from waver.recordings.transcripts import versions
from waver.recordings.transcripts.said import Said, Segment
from workers import runner
from workers import tasks as tasks  # registers the handlers
from workers.speech.spans import Span, Speech
from workers.speech.transcribe import HeardWord
from workers.tasks import transcribing as handler

pytestmark = pytest.mark.django_db
S = 1_000_000


class Hearer:
    """Hears “one”, “two” and “three” in every window, a second each."""

    def languages(self):
        return ["en"]

    def hear(self, sound, *, language):
        texts = (" one", " two", " three")
        return "en", [
            HeardWord(n * S, n * S + 900_000, text, 0.87654) for n, text in enumerate(texts)
        ]


@pytest.fixture
def model(tmp_path, settings, monkeypatch):
    folder = tmp_path / "tiny"
    folder.mkdir()
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    (folder / "card.json").write_text('{"name": "tiny", "version": "1", "licence": "MIT"}')
    settings.WAVER_SPEECH_MODEL = str(folder)
    monkeypatch.setattr(handler, "_hearer", lambda model: Hearer())
    return folder


@pytest.fixture
def recording(storage_folder, tmp_path) -> Recording:
    study = StudyFactory(code="s", title="Hesitation")
    made = RecordingFactory(participant=consented_participant(study, code="P1"))
    speech = Speech((Span(S, 4 * S),), (), 10 * S, 0.3, (), {}, {})
    AssetFactory(
        recording=made, kind=Asset.Kind.AUDIO_16K,
        data=silence(tmp_path / "a.wav", 10).read_bytes(),
    )  # fmt: skip
    AssetFactory(recording=made, kind=Asset.Kind.SPEECH, data=speech.to_json().encode())
    return made


def ask(recording, **more) -> Job:
    transcribing.ask_for_transcript(recording=recording, actor="ada", **more)
    (job,) = runner.drain()
    return job


def test_without_a_model_the_sentence_says_how_to_get_one(recording, settings):
    assert settings.WAVER_SPEECH_MODEL == ""
    with pytest.raises(BadInput, match="An administrator can set WAVER_SPEECH_MODEL"):
        ask(recording)
    with pytest.raises(CommandError, match="An administrator can set WAVER_SPEECH_MODEL"):
        call_command("make_transcripts", study="s")


def test_a_model_writes_a_version_with_its_card_and_its_words(recording, model):
    assert ask(recording).state == "done"
    row = versions.standing(recording)
    assert (row.version, row.source, row.language) == (1, "model", "en")
    assert row.made_from.startswith("tiny 1 (MIT), ")
    said = versions.said_in(row)
    assert [s.text for s in said.segments] == ["one two three"]
    assert [(w.text, w.probability) for w in said.words] == [
        ("one", 0.877), ("two", 0.877), ("three", 0.877),
    ]  # fmt: skip
    asset = recording.assets.get(kind=Asset.Kind.TRANSCRIPT)
    assert asset.blob == row.blob
    assert asset.made_by["parameters"]["model_sha256"]
    assert len(asset.made_by["inputs"]) == 2
    stage = recording.stages.get(name="transcribe")
    assert (stage.state, stage.figures["words"]) == ("done", 3)
    # Nothing else of the recording waits for it, and the same again is not done again.
    recording.refresh_from_db()
    assert recording.state == Recording.State.READY
    assert ask(recording).state == "done"
    assert recording.stages.get(name="transcribe").runs == 1


def test_a_model_does_not_write_over_people_unless_asked_to(recording, model):
    people = Said((Segment(0, S, "what I really said"),), "en")
    transcribing.ask_for_transcript(recording=recording, actor="ada")
    versions.store(
        recording=recording, said=people, source=Transcript.Source.CORRECTED,
        made_from="", made_by="grace",
    )  # fmt: skip
    with pytest.raises(Conflict, match="asked already, before another version stood"):
        transcribing.ask_for_transcript(recording=recording, actor="ada", replace=True)
    (job,) = runner.drain()  # it was asked for before the correction came
    assert job.state == "failed"
    assert "does not take the place of people's work" in job.error
    assert versions.standing(recording).version == 1
    with pytest.raises(Conflict, match="does not take the place"):
        ask(recording)
    assert ask(recording, replace=True).state == "done"
    assert [row.source for row in versions.versions(recording)] == ["model", "corrected"]


def test_what_must_not_be_used_is_left_out_of_a_models_transcript(recording, model):
    Restriction.objects.create(
        participant=recording.participant, recording_id=recording.pk,
        start_us=0, end_us=9 * S, reason="a name",
    )  # fmt: skip
    assert ask(recording).state == "done"
    assert versions.standing(recording) is None
    figures = recording.stages.get(name="transcribe").figures
    assert figures["left_out_because_restricted"] == 1
    assert "heard no words" in json.dumps(figures)


def test_a_broken_model_is_told_on_the_stage(recording, model):
    (model / "model.bin").unlink()
    assert ask(recording).state == "failed"
    assert "model.bin is missing" in Job.objects.get().error


def test_the_command_asks_for_a_whole_study(recording, model, capsys):
    other = RecordingFactory(participant=recording.participant)
    sensors = RecordingFactory(participant=recording.participant, view="physiology")
    call_command("make_transcripts", study="s", actor="ada")
    told = capsys.readouterr()
    assert "1 recording waits for the model" in told.out
    assert told.err == (
        f"{other.original_name}: Its sound has not been looked at yet. Wait until it is prepared.\n"
    )
    assert not sensors.transcripts.exists()  # nobody is told to wait for sensors to be heard
    assert [job.name for job in runner.drain()] == ["recordings.transcribe"]
