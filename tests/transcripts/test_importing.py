"""Transcripts brought into a study from a folder, ELAN's files among them."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from annotation import elan
from annotation.services.elan_transcripts import READERS, read_eaf
from tests.factories import RecordingFactory, StudyFactory, consented_participant
from waver.consent.models import Purpose
from waver.consent.withdrawal import withdraw
from waver.core.errors import BadInput
from waver.recordings.models import Transcript
from waver.recordings.transcripts import versions
from waver.recordings.transcripts.importing import Result, bring_in, import_folder
from waver.recordings.transcripts.reading import Options, fitted
from waver.recordings.transcripts.said import Word

S = 1_000_000
SRT = "1\n00:00:01,000 --> 00:00:02,000\n{}\n"
VTT = "WEBVTT\n\n00:01.000 --> 00:02.000\n{}\n"
BAH = "chunks:\n- {{language: english, text: {}, timestamp: !!python/tuple [1.0, 2.0]}}\n"


@pytest.fixture
def study(db, storage_folder):
    made = StudyFactory(code="s", title="Hesitation")
    for n, name in enumerate(("a.mp4", "b.webm", "c.mp4", "twice.mp4", "twice.mp4", "gone.mp4")):
        participant = consented_participant(made, code=f"P{n}")
        RecordingFactory(participant=participant, original_name=name)
        if name == "gone.mp4":
            withdraw(participant=participant, actor="t", purpose=Purpose.PROCESS)
    return made


@pytest.fixture
def folder(tmp_path) -> Path:
    made = tmp_path / "texts"
    (made / "Videos/82725/Visite_1/c.mp4").mkdir(parents=True)
    (made / "a.en.srt").write_text(SRT.format("from a"))
    (made / "b.webm.vtt").write_text(VTT.format("from b"))
    (made / "Videos/82725/Visite_1/c.mp4/c.yml").write_text(BAH.format("from c"))
    (made / "twice.srt").write_text(SRT.format("of whom?"))
    (made / "nobody.srt").write_text(SRT.format("x"))
    (made / "gone.vtt").write_text(VTT.format("x"))
    (made / "read me.txt").write_text("no transcript")
    return made


def texts(study) -> dict[str, str]:
    return {
        row.recording.original_name: versions.said_in(row).text
        for row in Transcript.objects.filter(recording__study=study).order_by("version")
    }


def test_a_folder_comes_in_and_each_file_has_an_outcome(study, folder):
    found = import_folder(study=study, folder=folder, actor="t")
    assert {o.file: o.result.value for o in found} == {
        "Videos/82725/Visite_1/c.mp4/c.yml": "imported",
        "a.en.srt": "imported",
        "b.webm.vtt": "imported",
        "gone.vtt": "refused",
        "nobody.srt": "refused",
        "twice.srt": "refused",
    }
    assert texts(study) == {"a.mp4": "from a", "b.webm": "from b", "c.mp4": "from c"}
    told = {o.file: o.sentences[0] for o in found if o.result is Result.REFUSED}
    assert "P5 withdrew consent" in told["gone.vtt"]
    assert "no recording called “nobody”" in told["nobody.srt"]
    assert "2 recordings called “twice”" in told["twice.srt"]
    languages = set(Transcript.objects.values_list("language", "made_from"))
    assert languages == {("en", "SRT"), ("", "WebVTT"), ("en", "BAH's YAML")}


def test_the_same_folder_twice_imports_nothing_twice(study, folder):
    for name in ("gone.vtt", "nobody.srt", "twice.srt"):
        (folder / name).unlink()
    import_folder(study=study, folder=folder, actor="t")
    again = import_folder(study=study, folder=folder, actor="t")
    assert {o.result for o in again} == {Result.THERE_ALREADY}
    assert Transcript.objects.count() == 3


def test_a_manifest_says_which_file_is_of_which_recording(study, folder):
    second = study.recordings.filter(original_name="twice.mp4").order_by("created_at")[1]
    manifest = folder / "which.csv"
    manifest.write_text(
        f"file,recording\ntwice.srt,{second.pk}\nnobody.srt,a.mp4\nlost.srt,b\nb.webm.vtt,x\n../x.srt,b\n"
    )
    found = import_folder(study=study, folder=folder, manifest=manifest, actor="t")
    assert [o.result.value for o in found] == ["imported"] * 2 + ["refused"] * 3
    assert found[4].sentences[0].startswith("Line 6: ../x.srt: it lies outside the folder")
    assert versions.standing(second)
    assert found[2].sentences[0].startswith("Line 4: lost.srt cannot be read (No such file")
    assert found[3].sentences[0].startswith("Line 5: b.webm.vtt: the study has no recording")


def test_a_folder_without_transcripts_is_told(study, tmp_path):
    with pytest.raises(BadInput, match="holds no transcript"):
        import_folder(study=study, folder=tmp_path, actor="t")
    with pytest.raises(BadInput, match="There is no folder"):
        import_folder(study=study, folder=tmp_path / "no", actor="t")


def test_the_command_tells_and_fails_when_something_was_refused(study, folder, capsys):
    with pytest.raises(CommandError, match="Some files were refused"):
        call_command("import_transcripts", folder, study="s", actor="t")
    told = capsys.readouterr()
    assert "3 imported, 0 there already, 3 refused." in told.out
    assert "Refused: nobody.srt: the study has no recording" in told.err
    with pytest.raises(CommandError, match="no study"):
        call_command("import_transcripts", folder, study="none")


def test_one_file_needs_a_known_ending(study):
    recording = study.recordings.get(original_name="a.mp4")
    with pytest.raises(BadInput, match="must end in one of: "):
        bring_in(recording=recording, name="a.docx", data=b"x", actor="t")
    recording.take.language = "fr"
    made = bring_in(recording=recording, name="A.SRT", data=SRT.format("oui").encode(), actor="t")
    assert made.kept.transcript.language == "fr"


# ELAN


def eaf(*tiers: elan.Tier, origin: int = 0) -> bytes:
    media = elan.Media("file:///a.mp4", "video/mp4", "./a.mp4", origin)
    return elan.write(elan.Document("ada", "2024-03-01T10:00:00+00:00", (media,), tiers))


def tier(
    name: str, *rows: tuple[int, int, str], parent: str = "", participant: str = ""
) -> elan.Tier:
    annotations = tuple(elan.ElanAnnotation(*row) for row in rows)
    return elan.Tier(name, annotations, participant=participant, parent=parent)


def spoken(data: bytes, *tiers: str):
    return fitted(read_eaf(data, Options(tiers=tiers)), duration_us=60 * S)[0].segments


def test_a_tier_is_a_transcript_and_tiers_are_speakers():
    one = eaf(tier("said", (1000, 2000, "I do"), (3000, 3500, "no")), origin=250)
    assert [(s.start_us, s.end_us, s.text, s.speaker) for s in spoken(one)] == [
        (1_250_000, 2_250_000, "I do", ""),
        (3_250_000, 3_750_000, "no", ""),
    ]
    two = eaf(tier("A", (0, 900, "why"), participant="Ada"), tier("B", (500, 1500, "because")))
    with pytest.raises(BadInput, match=r"several tiers .A, B.*Name those"):
        spoken(two)
    assert [(s.text, s.speaker) for s in spoken(two, "B", "A")] == [
        ("why", "Ada"), ("because", "B"),
    ]  # fmt: skip
    with pytest.raises(BadInput, match="no tier 'C'"):
        spoken(two, "C")


def test_a_tier_of_words_times_them(monkeypatch):
    words = tier(
        "words", (1000, 1400, "I"), (1500, 2000, "do"), (3000, 3500, "other"), parent="said"
    )
    document = elan.Document(
        "", "", (), (tier("said", (1000, 2000, "I do"), (3000, 3500, "no")), words)
    )
    monkeypatch.setattr(elan, "read", lambda data: document)
    first, second = spoken(b"")
    assert first.words == (Word(S, 1_400_000, "I"), Word(1_500_000, 2 * S, "do"))
    assert second.words == ()


@pytest.mark.parametrize("data", [b"x", b"<a/>", b"<!DOCTYPE x><ANNOTATION_DOCUMENT/>", eaf()])
def test_what_is_no_elan_transcript_is_refused(data):
    with pytest.raises(BadInput):
        spoken(data)


def test_elans_files_come_in_with_the_others(study):
    recording = study.recordings.get(original_name="a.mp4")
    data = eaf(tier("said", (1000, 2000, "I do")))
    made = bring_in(recording=recording, name="a.eaf", data=data, actor="t", readers=READERS)
    assert made.kept.transcript.made_from == "ELAN"
