"""A study from one file: whole or not at all, the same twice, and later only what may change."""

from __future__ import annotations

import shutil
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from annotation.codebooks import shipped
from annotation.services import codebooks
from tests.factories import BatchFactory, UserFactory
from waver.core.models import AuditEntry
from waver.datasets.models import GatePolicy
from waver.datasets.policies import shipped as shipped_policy
from waver.recordings.quality.rules import newest
from waver.studies.models import Membership, Study

pytestmark = pytest.mark.django_db

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
PEOPLE = ("ada", "hypatia", "grace", "katherine", "mary")


@pytest.fixture
def people():
    return [UserFactory(username=name) for name in PEOPLE]


@pytest.fixture
def example(tmp_path):
    """A copy of the guide's example, to be changed."""
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples")) / "study.yaml"


def run(path: Path) -> str:
    out = StringIO()
    call_command("create_study", str(path), "--actor", "tests", stdout=out)
    return out.getvalue()


def refused(path: Path) -> str:
    with pytest.raises(CommandError) as caught:
        run(path)
    return str(caught.value)


def change(path: Path, *pairs: tuple[str, str]) -> Path:
    text = path.read_text(encoding="utf-8")
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")
    return path


def line_of(path: Path, part: str) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    whole = [number for number, line in enumerate(lines, 1) if line == part]
    return whole[0] if whole else next(n for n, line in enumerate(lines, 1) if part in line)


def rows() -> tuple[int, ...]:
    return (
        Study.objects.count(), Membership.objects.count(), GatePolicy.objects.count(),
        AuditEntry.objects.count(),
    )  # fmt: skip


def test_the_guide_s_example_sets_up_a_whole_study(people):
    said = run(EXAMPLES / "study.yaml")
    study = Study.objects.get(code="voices")
    assert "is set up" in said
    assert (study.ethics_approval, str(study.ethics_expires_on)) == ("REB 2026-17", "2029-01-31")
    assert codebooks.current(study).code == "bah-ah"
    assert study.design.passes == ["video", "segments"]
    assert study.design.prelabel_share == 0.25
    assert [p.expected_response for p in study.prompts.all()] == ["neutral", "ambivalence"]
    assert set(study.consent_documents.values_list("language", "version")) == {("en", 1), ("fr", 1)}
    assert study.memberships.count() == 6
    assert study.gate_policies.get().text == shipped_policy("standard")


def test_the_same_file_again_changes_nothing_and_says_so(people):
    run(EXAMPLES / "study.yaml")
    before = rows()
    assert run(EXAMPLES / "study.yaml").startswith("Nothing changed: ")
    assert rows() == before


def test_one_missing_account_and_nothing_is_there(example):
    for name in PEOPLE[:-1]:
        UserFactory(username=name)
    before = rows()
    said = refused(example)
    assert f"Line {line_of(example, 'mary')}: 'mary' has no account." in said
    assert rows() == before


def test_a_closed_account_is_no_member(example, people):
    people[-1].is_active = False
    people[-1].save()
    assert "an account that was closed" in refused(example)


@pytest.mark.parametrize(
    ("old", "new", "where", "says"),
    [
        ("setting: lab", "setting: moon", "setting: moon", "'setting' is 'moon'"),
        ("title: Voices of", "titel: Voices of", "titel", "did you mean 'title'?"),
        ("code: voices", "code: My Voices", "code:", "cannot stand as 'code'; use 1 to 40"),
        ("[en, fr]", "[en, Français]", "languages:", "entry 2 of 'languages'; name a language"),
        ("[en, fr]", "[en]", "fr: Qu", "'fr' is none of the study's languages"),
        ("2029-01-31", "2029-02-31", "expires_on", "is no day of the calendar"),
        ("2029-01-31", "soon", "expires_on", "write a day like"),
        ("codebook: bah", "codebook: bha", "codebook:", "There is no codebook 'bha' in Waver"),
        ("codebook: bah", "codebook: own.yaml", "codebook:", "There is no file"),
        ("codebook: bah", "codebook: raer", "policy:", "which raer-academic version 1 does"),
        ("codebook: bah", "codebook: raer", "passes:", "has no pass 'video'"),
        ("codebook: bah", "codebook: consent.fr.yaml", "codebook:", "must be corrected:\n  Line"),
        ("policy: standard", "policy: lenient", "policy:", "There is no policy “lenient”"),
        ("policy: standard", "policy: consent.fr.yaml", "policy:", "must be corrected:\n  Line"),
        ("share: 0.25", "share: 25", "prelabel_share", "must be at most 1, not 25"),
        ("[video, segments]", "[video, gaze]", "passes:", "The codebook has no pass 'gaze'"),
        ("  seed: 2", "  overlap: some\n  seed: 2", "overlap:", "'overlap' is 'some'"),
        ("  seed: 2", "  daily_limit: 0\n  seed: 2", "daily_limit:", "must be at least 1"),
        ("  seed: 2", "  repeat_gap: 9\n  seed: 2", "repeat_gap:", "without a repeat_share"),
        ("  seed: 2", "  reliability_share: 0.3\n  seed: 2", "reliability_share:",
         "overlap: sample"),
        ("raters_per_recording: 3", "overlap: sample\n  raters_per_recording: 1",
         "raters_per_recording:", "needs at least two raters"),
        ("  seed: 2", "  overlap: sample\n  reliability_share: 0\n  seed: 2",
         "reliability_share:", "measures nothing"),
        ("  seed: 2", "  qualification_minimum: 80\n  seed: 2", "qualification_minimum:",
         "must be at most 1"),
        ("      fr: Qu", "      de: Qu", "text:", "Prompt 1 has no text in fr"),
        ("      fr: Qu", "      french: Qu", "french: Qu", "cannot be a name in 'text'"),
        ("expected_response: neutral", "response: neutral", "response: n", "is not known here"),
        ("document: default", "document: ours", "document: ours", "There is no consent document"),
        ("document: default", "document: consent.fr.yaml", "document: consent", "in 'fr', but"),
        ("document: consent.fr.yaml", "document:  default", "document:  default", "only in: en"),
        ("T00:00:00-05:00", "T00:00:00", "effective_from", "has no time zone"),
        ("2026-02-01T00:00:00-05:00", "spring", "effective_from", "is no date and time"),
        ("hypatia: consent_manager", "hypatia: boss", "hypatia", "give each one role, or a list"),
        ("    approved_by: REB 2026-17\n", "", "  en:", "'approved_by' is missing here"),
        ("languages: [en, fr]", "languages: [en, fr", "ethics:", "not valid YAML"),
        ("title: Voices", "code: again\ntitle: Voices", "code: again", "a second time"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_the_line_and_a_sentence(
    example, people, old, new, where, says
):
    said = refused(change(example, (old, new)))
    lines = [line for line in said.splitlines() if line.startswith("Line ")]
    assert any(line.startswith(f"Line {line_of(example, where)}: ") for line in lines), said
    assert says in said
    assert not Study.objects.exists()


def test_all_problems_of_a_file_are_told_at_once(example, people):
    change(example, ("setting: lab", "setting: moon"), ("seed: 20260201", "seed: many"))
    said = refused(example)
    assert said.count("\nLine ") == 2
    assert "'seed' must be a whole number" in said


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", "", "- a list\n"])
def test_what_is_no_study_file_gets_a_sentence(tmp_path, content):
    path = tmp_path / "study.yaml"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.write_text(content)
    assert "study.yaml was not applied." in refused(path)


def test_what_may_change_is_applied_and_said(example, people):
    run(example)
    UserFactory(username="emmy")
    folder = example.parent
    bah = shipped()["bah"].read_text(encoding="utf-8")
    (folder / "bah2.yaml").write_text(bah.replace("\nversion: 1", "\nversion: 2", 1))
    (folder / "policy.yaml").write_text(shipped_policy("standard").replace("0.667}", "0.7}"))
    change(folder / "consent.fr.yaml", ("Vous êtes", "Vous êtes bien"))
    change(
        example,
        ("2029-01-31", "2031-01-31"),
        ("codebook: bah ", "codebook: bah2.yaml "),
        ("policy: standard ", "policy: policy.yaml "),
        ("seed: 20260201", "seed: 7"),
        ("consent:  ", "  - text: {en: And now, fr: Et maintenant}\n\nconsent:  "),
        ("fr.yaml\n    approved_by: REB 2026-17\n    effective_from: 2026-02",
         "fr.yaml\n    approved_by: REB 2026-17b\n    effective_from: 2026-03"),
        ("  mary: annotator", "  mary: annotator\n  emmy: annotator"),
    )  # fmt: skip
    said = run(example)
    study = Study.objects.get()
    assert str(study.ethics_expires_on) == "2031-01-31"
    assert AuditEntry.objects.get(verb="study.ethics_renewed").actor == "tests"
    assert codebooks.current(study).version == 2
    assert "0.7}" in study.gate_policies.latest("created_at").text
    assert study.design.seed == 7
    assert study.prompts.count() == 3
    assert study.consent_documents.get(language="fr", version=2).approved_by == "REB 2026-17b"
    assert study.consent_documents.filter(language="en").count() == 1
    assert study.memberships.filter(user__username="emmy", role="annotator").exists()
    assert len(said.splitlines()) == 8
    assert "up to date" in said
    assert run(example).startswith("Nothing changed")


@pytest.mark.parametrize(
    ("old", "new", "where", "says"),
    [
        ("title: Voices", "title: Sounds", "title:", "It cannot change once"),
        ("setting: lab", "setting: home", "setting:", "'setting' is 'lab'"),
        ("# exemption: {kind", "exemption: {kind", "exemption:", "'exemption' is 'none'"),
        ("What did you do", "What will you do", "- text:", "Prompt 1 differs from the study's"),
        ("expected_response: ambivalence", "expected_response: joy", None, "Prompt 2 differs"),
        ("effective_from: 2026-02", "effective_from: 2026-03", "  en:", "cannot change once it"),
        ("document: default", "document: changed.yaml", "effective_from", "Give a later time"),
        ("policy: standard", "policy: demonstration", "policy:", "is not taken up again"),
        ("codebook: bah", "codebook: changed_bah.yaml", "codebook:", "Give it number 2"),
    ],
)  # fmt: skip
def test_what_may_not_change_is_refused_and_nothing_is_applied(
    example, people, old, new, where, says
):
    change(example, ("policy: standard", "policy: demonstration"))
    run(example)
    change(example, ("policy: demonstration", "policy: standard"))
    run(example)
    folder = example.parent
    ours = (folder / "consent.fr.yaml").read_text(encoding="utf-8")
    (folder / "changed.yaml").write_text(ours.replace("language: fr", "language: en"), "utf-8")
    bah = shipped()["bah"].read_text(encoding="utf-8")
    (folder / "changed_bah.yaml").write_text(bah.replace("title: ", "title: Another ", 1))
    before = rows()
    # A new prompt in the same file shows that what could be applied is not.
    change(example, (old, new), ("consent:  ", "  - text: {en: A, fr: B}\n\nconsent:  "))
    said = refused(example)
    assert says in said
    if where:
        assert f"Line {line_of(example, where)}: " in said
    assert rows() == before


def test_prompts_and_documents_do_not_go_away(example, people):
    run(example)
    text = example.read_text(encoding="utf-8")
    second = text[text.index("  - text:\n      en: Tell us") : text.index("consent:  ")]
    french = text[text.index("  fr:\n    document") : text.index("members:  ")]
    example.write_text(text.replace(second, "").replace(french, ""), encoding="utf-8")
    said = refused(example)
    assert "has a prompt 2 that the file lacks" in said
    assert "a consent document in 'fr' that the file lacks" in said


def test_the_design_and_the_codebook_stay_once_recordings_were_sent_to_raters(example, people):
    run(example)
    study = Study.objects.get()
    BatchFactory(study=study, codebook=codebooks.current(study))
    change(example, ("seed: 20260201", "seed: 7"))
    assert "A design cannot change halfway" in refused(example)
    text = shipped()["bah"].read_text(encoding="utf-8")
    (example.parent / "own.yaml").write_text(text.replace("id: bah", "id: own", 1))
    change(example, ("seed: 7", "seed: 20260201"), ("codebook: bah", "codebook: own.yaml"))
    assert "cannot change to own" in refused(example)


def test_what_cares_for_raters_may_change_at_any_time(example, people):
    run(example)
    study = Study.objects.get()
    BatchFactory(study=study, codebook=codebooks.current(study))
    change(example, ("  seed: 20260201", "  daily_limit: 40\n  seed: 20260201"))
    assert "At most 40 recordings a day" in run(example)
    study.design.refresh_from_db()
    assert study.design.daily_limit == 40


@pytest.mark.parametrize(
    ("name", "overlap", "raters", "says"),
    [
        ("study-raer", "full", 10, "Each recording is coded by 10 raters."),
        ("study-bah", "sample", 3, "20% of the recordings, drawn at random, by 3."),
    ],
)
def test_the_other_examples_set_up_whole_studies_too(name, overlap, raters, says):
    path = EXAMPLES / f"{name}.yaml"
    members = path.read_text(encoding="utf-8").split("members:")[1].split("\n")[1:]
    for username in (line.split(":")[0].strip() for line in members if ":" in line):
        UserFactory(username=username)
    assert says in run(path)
    design = Study.objects.get().design
    assert (design.overlap, design.raters_per_recording) == (overlap, raters)
    assert (design.gold_share, design.repeat_gap, design.qualification_minimum) == (0.05, 50, 0.8)
    assert run(path).startswith("Nothing changed")


def test_a_member_whom_the_file_no_longer_names_is_pointed_out(example, people):
    run(example)
    said = run(change(example, ("  mary: annotator\n", "")))
    assert "mary is an annotator, though the file does not say so." in said
    assert "Nothing changed" in said
    assert Study.objects.get().memberships.filter(user__username="mary").exists()


def test_thresholds_of_quality_are_set_and_changed_by_the_file(example, people):
    assert "Quality thresholds set: usable face at least 80 %, voice level at least" in run(example)
    study = Study.objects.get()
    limits = {"usable_face_share": {"at_least": 0.8}, "voice_level_dbfs": {"at_least": -45.0}}
    assert newest(study.pk).limits == limits
    assert "Quality" not in run(example)
    whole = example.read_text(encoding="utf-8")
    change(example, ("usable_face_share: {at_least: 0.8}", "people: {at_most: 1}"))
    assert "people at most 1" in run(example)
    assert newest(study.pk).version == 2
    lines = whole.splitlines(keepends=True)
    start = line_of(example, "quality:") - 1
    example.write_text("".join([*lines[:start], "quality: {}\n", *lines[start + 3 :]]))
    assert "Quality thresholds set: none." in run(example)
    example.write_text("".join(lines[:start] + lines[start + 3 :]))
    assert "Quality" not in run(example)  # what the file does not mention stays
    assert newest(study.pk).limits == {}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("usable_face: {at_least: 0.8}", "did you mean “usable_face_share”?"),
        ("usable_face_share: {at_most: 0.8}", "“at_most” makes no sense for “Usable face”"),
        ("usable_face_share: {at_least: 80}", "It lies from 0 to 1"),
        ("usable_face_share: {at_least: 0.1, at_most: 0.8}", "needs one bound"),
        ("usable_face_share: {at_least: much}", "must be a number"),
        ("usable_face_share: {at_least: .nan}", "is no number"),
        ("usable_face_share: 0.8", "must be a group of named values"),
    ],
)
def test_a_threshold_that_cannot_be_is_refused_with_its_line(example, people, wrong, said):
    change(example, ("usable_face_share: {at_least: 0.8}", wrong))
    answer = refused(example)
    assert said in answer
    assert f"Line {line_of(example, wrong)}:" in answer
    assert not Study.objects.exists()
