"""Work from ELAN becomes rows like any other, once, and goes out again as it came in."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from annotation import elan as files
from annotation.codebooks import shipped
from annotation.models import Annotation, Assignment, Batch, Segment
from annotation.services import codebooks, elan
from tests.elan.test_files import BY_HAND
from tests.factories import (
    PASSWORD,
    AssignmentFactory,
    BatchFactory,
    MembershipFactory,
    RecordingFactory,
    StudyFactory,
    consented_participant,
)
from waver.accounts.models import User
from waver.consent import services as consent
from waver.core.errors import BadInput, Conflict, ConsentRefused, Missing
from waver.recordings.models import Recording
from waver.studies.models import Membership, Study

Role = Membership.Role


@pytest.fixture
def study(db) -> Study:
    made = StudyFactory()
    codebooks.install_codebook(made, shipped()["bah"].read_text(encoding="utf-8"), "tests")
    return made


@pytest.fixture
def recording(study) -> Recording:
    return RecordingFactory(participant=consented_participant(study), duration_us=20_000_000)


def rater(study: Study) -> User:
    return MembershipFactory(study=study, role=Role.ANNOTATOR).user


def bring_in(study: Study, recording: Recording, who: User, text: str = BY_HAND):
    return elan.import_eaf(study, text.encode(), recording, who, actor="lead")


def test_a_file_becomes_rows_in_a_closed_batch_of_each_pass(study, recording):
    who = rater(study)
    video, segments = bring_in(study, recording, who)
    assert (video.pass_id, segments.pass_id) == ("video", "segments")
    row = segments.annotation
    assert (row.verdict, row.received_by, row.version, row.remote_id) == (
        "accepted", Annotation.Route.IMPORT, 1, None,
    )  # fmt: skip
    assert row.assignment.rater == who
    assert row.assignment.state == Assignment.State.SUBMITTED
    assert row.assignment.batch.state == Batch.State.CLOSED
    stretch = row.segments.get()
    assert (stretch.start_us, stretch.end_us, stretch.label, stretch.certainty) == (
        7_500_000, 11_100_000, "ah", 1,
    )  # fmt: skip
    assert set(stretch.cues.values_list("modality", "cue")) == {
        ("facial", "gaze"), ("facial", "eyebrow"), ("body", "look_away"),
    }  # fmt: skip
    label = video.annotation.clip_labels.get()
    assert (label.scale, label.value, label.confidence) == ("ah", "present", 2)
    assert "a.mp4" not in str(row.raw)


def test_the_same_file_twice_stores_nothing_twice_and_a_changed_one_is_the_next_version(
    study, recording
):
    who = rater(study)
    first = bring_in(study, recording, who)
    again = bring_in(study, recording, who, BY_HAND + "\n<!-- saved again -->")
    assert [(each.annotation, each.is_new) for each in again] == [
        (each.annotation, False) for each in first
    ]
    changed = bring_in(study, recording, who, BY_HAND.replace("Gaze - ", ""))
    assert [(each.pass_id, each.is_new, each.annotation.version) for each in changed] == [
        ("video", False, 1), ("segments", True, 2),
    ]  # fmt: skip
    bring_in(study, recording, rater(study), BY_HAND + "\n<!-- another's -->")
    assert Batch.objects.filter(study=study).count() == 2
    assert Assignment.objects.count() == 4


def test_what_does_not_fit_is_listed_and_nothing_is_stored(study, recording):
    text = BY_HAND.replace("Gaze -", "Gazes -").replace(">1<", ">4<")
    with pytest.raises(BadInput) as caught:
        bring_in(study, recording, rater(study), text)
    assert "“Gazes”" in caught.value.sentence
    assert "“4”" in caught.value.sentence
    assert not Annotation.objects.exists()
    assert not Batch.objects.exists()


def test_only_an_annotator_of_the_study_and_a_recording_of_it(study, recording):
    with pytest.raises(BadInput, match="is no annotator of the study"):
        bring_in(study, recording, MembershipFactory(study=study, role=Role.LEAD).user)
    other = RecordingFactory()
    with pytest.raises(BadInput, match="belongs to another study"):
        bring_in(study, other, rater(study))


def test_who_labels_the_recording_here_cannot_bring_in_work_on_it(study, recording):
    who = rater(study)
    batch = BatchFactory(study=study, codebook=codebooks.current(study), pass_id="segments")
    assignment = AssignmentFactory(batch=batch, recording=recording, rater=who)
    with pytest.raises(Conflict, match="labels this recording here already"):
        bring_in(study, recording, who)
    assert not Annotation.objects.exists()
    Assignment.objects.filter(pk=assignment.pk).update(state=Assignment.State.TAKEN_BACK)
    assert len(bring_in(study, recording, who)) == 2


def test_consent_is_asked_on_the_way_in_and_on_the_way_out(study, recording):
    bring_in(study, recording, rater(study))
    participant = recording.take.participant
    consent.withdraw(participant=participant, actor="tests", purpose="annotate")
    with pytest.raises(ConsentRefused):
        bring_in(study, recording, rater(study))
    with pytest.raises(ConsentRefused):
        elan.export_eaf(recording, actor="lead")


def test_what_was_brought_in_goes_out_as_it_came(study, recording):
    first, second = rater(study), rater(study)
    bring_in(study, recording, first)
    bring_in(study, recording, second, BY_HAND.replace(">1<", ">3<"))
    made = elan.export_eaf(recording, actor="lead")
    assert made.raters == ("R1", "R2")
    for name in (first.get_username(), recording.original_name, recording.take.participant.code):
        assert name not in made.data.decode()
    numbers = {f"R{n}": pk for pk, n in elan.rater_numbers(study).items()}
    before = {
        (str(s.annotation.assignment.rater_id), s.start_us, s.end_us, s.certainty)
        for s in Segment.objects.all()
    }
    other = RecordingFactory(participant=consented_participant(study), duration_us=20_000_000)
    for name, pk in numbers.items():
        elan.import_eaf(
            study, made.data, other, User.objects.get(pk=pk), actor="lead", annotator=name
        )
    after = {
        (str(s.annotation.assignment.rater_id), s.start_us, s.end_us, s.certainty)
        for s in Segment.objects.filter(annotation__assignment__recording=other)
    }
    assert after == before
    own = elan.export_eaf(recording, actor="a rater", raters=[first.pk])
    assert len(own.raters) == 1


def test_older_work_goes_out_by_the_codebook_of_today(study, recording):
    bring_in(study, recording, rater(study))
    text = shipped()["bah"].read_text(encoding="utf-8")
    newer = text.replace("\nversion: 1\n", "\nversion: 2\n").replace("id: gaze,", "id: eyes,")
    newer += """
migration:
  from: 1
  rename:
    - {pass: segments, question: facial, value: gaze, to: eyes}
"""
    codebooks.install_codebook(study, newer, "tests")
    document = files.read(elan.export_eaf(recording, actor="lead").data)
    facial = next(tier for tier in document.tiers if tier.name == "Facial@R1")
    assert facial.annotations[0].value == "Gaze - Eyebrow"
    split = newer.replace("version: 2", "version: 3").replace("id: eyes,", "id: left,")
    split = (
        split[: split.index("migration:")]
        + """
migration:
  from: 2
  split:
    - {pass: segments, question: facial, value: eyes, into: [left, smile]}
"""
    )
    codebooks.install_codebook(study, split, "tests")
    made = elan.export_eaf(recording, actor="lead")
    assert "cannot be carried over whole" in made.left_out[0]


def test_without_work_there_is_no_file(study, recording):
    with pytest.raises(Missing, match="No rater's work"):
        elan.export_eaf(recording, actor="lead")


def test_the_commands(study, recording, tmp_path: Path):
    who, out, err = rater(study), StringIO(), StringIO()
    path = tmp_path / f"{Path(recording.original_name).stem}.eaf"
    path.write_text(BY_HAND)
    stray = tmp_path / "nothing of ours.eaf"
    stray.write_text(BY_HAND)
    arguments = ["--rater", who.get_username(), "--actor", "lead"]
    with pytest.raises(CommandError, match="1 of 2 files were refused"):
        call_command(
            "import_elan", study.code, str(path), str(stray), *arguments, stdout=out, stderr=err
        )
    assert "the pass 'segments' was stored as version 1." in out.getvalue()
    assert "no recording called a or nothing of ours" in err.getvalue()
    call_command("import_elan", study.code, str(path), *arguments, stdout=out)
    assert "the pass 'segments' was here already." in out.getvalue()
    with pytest.raises(CommandError, match="Nobody signs in as"):
        call_command("import_elan", study.code, str(path), "--rater", "nobody")
    call_command("export_elan", study.code, str(tmp_path / "out"), stdout=out)
    written = tmp_path / "out" / f"{recording.pk}.eaf"
    assert [tier.name for tier in files.read(written.read_bytes()).tiers][:2] == [
        "1-A/H@R1", "1-Certitude@R1",
    ]  # fmt: skip
    # What was written finds its recording by its name.
    call_command("import_elan", study.code, str(written), *arguments, stdout=out)
    assert out.getvalue().count("was here already") == 4


def test_the_versions_and_what_a_file_would_change(study, recording, tmp_path: Path):
    bring_in(study, recording, rater(study))
    out = StringIO()
    call_command("codebook_versions", study.code, stdout=out)
    assert "bah-ah version 1, installed" in out.getvalue()
    assert "2 annotations" in out.getvalue()
    path = tmp_path / "next.yaml"
    text = shipped()["bah"].read_text(encoding="utf-8")
    path.write_text(
        text.replace("\nversion: 1\n", "\nversion: 2\n").replace("id: gaze,", "id: eyes,")
    )
    with pytest.raises(CommandError, match=r"'gaze' to 'facial'.*1 rows of work"):
        call_command("codebook_versions", study.code, "--against", str(path), stdout=out)
    assert "New: the answer 'eyes' to 'facial'" in out.getvalue()


def test_the_page_offers_the_file_to_researchers(study, recording, client):
    bring_in(study, recording, rater(study))
    researcher = MembershipFactory(study=study, role=Role.RESEARCHER).user
    assert client.login(username=researcher.username, password=PASSWORD)
    address = reverse("website:recording-elan", args=[study.code, recording.pk])
    page = client.get(reverse("website:recording", args=[study.code, recording.pk]))
    assert address in page.content.decode()
    answer = client.get(address)
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{recording.pk}.eaf"'
    assert len(files.read(answer.content).tiers) == 10


def test_one_file_is_not_the_work_of_two_raters(study, recording):
    first, second = rater(study), rater(study)
    bring_in(study, recording, first)
    assert not any(each.is_new for each in bring_in(study, recording, first))
    with pytest.raises(Conflict, match=f"brought in before, as that of {first.username}"):
        bring_in(study, recording, second)
    assert not Annotation.objects.filter(assignment__rater=second).exists()
