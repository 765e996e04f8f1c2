"""Who may open what: every address of the website × every role.

The addresses come from the resolver, so that a new page without an expectation here fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests.website.conftest import House
from tests.website.material import Material, make_material, some_id

ROLES = (
    "nobody", "stranger", "annotator", "consent_manager", "researcher", "lead", "administrator",
)  # fmt: skip
SIGN_IN, OK, GONE, NO = 302, 200, 404, 403


def answers(**statuses: int) -> dict[str, int]:
    """Say a status for each role; who is signed out is always sent to the sign-in page."""
    return {"nobody": SIGN_IN, **statuses}


# The pages of a study: who belongs to another study learns nothing of this one.
RESEARCH = answers(
    stranger=GONE, annotator=NO, consent_manager=NO, researcher=OK, lead=OK, administrator=GONE
)
LEAD = RESEARCH | {"researcher": NO}
RATERS = RESEARCH | {"annotator": OK, "researcher": NO}
CARE = RESEARCH | {"consent_manager": OK}
EVERYBODY = dict.fromkeys(ROLES, OK)
OWN_QUEUE = dict.fromkeys(ROLES, NO) | answers(annotator=OK)
SECRET_HEADER_ONLY = dict.fromkeys(ROLES, NO)

STUDY = {"code": "voices"}


def of_recording(material: Material, **more: object) -> dict[str, object]:
    return {**STUDY, "recording_id": material.recording.pk, **more}


def of_rater(material: Material) -> dict[str, object]:
    return {**STUDY, "rater_id": material.assignment.rater_id}


def of_plot(material: Material) -> dict[str, object]:
    return {**of_rater(material), "place": 0}


Arguments = Callable[[Material], dict[str, object]]
# address name -> (its arguments, method, status by role)
EXPECTED: dict[str, tuple[Arguments, str, dict[str, int]]] = {
    "home": (lambda m: {}, "get", dict.fromkeys(ROLES, 302)),
    "sign-in": (lambda m: {}, "get", dict.fromkeys(ROLES, 302) | {"nobody": OK}),
    "sign-out": (lambda m: {}, "post", dict.fromkeys(ROLES, 302)),
    "health": (lambda m: {}, "get", EVERYBODY),
    "signing-key": (lambda m: {}, "get", EVERYBODY),
    "status": (lambda m: {}, "get", dict.fromkeys(ROLES, NO) | answers(administrator=OK)),
    "queue": (lambda m: {}, "get", OWN_QUEUE),
    # The one batch is real work, whose answers nobody is shown (404).
    "training": (lambda m: {"batch_id": m.batch.pk}, "get", OWN_QUEUE | {"annotator": GONE}),
    "instructions": (lambda m: {"batch_id": m.batch.pk}, "get", OWN_QUEUE),
    # All clips of the one batch are labelled: its rater is told so (409).
    "label-start": (lambda m: {"batch_id": m.batch.pk}, "post", OWN_QUEUE | {"annotator": 409}),
    "studies": (
        lambda m: {},
        "get",
        answers(
            stranger=OK, annotator=GONE, consent_manager=OK, researcher=OK, lead=OK,
            administrator=GONE,
        ),
    ),
    "study": (lambda m: STUDY, "get", CARE),
    "recordings": (lambda m: STUDY, "get", CARE),
    "recording": (of_recording, "get", RESEARCH),
    "recording-timeline": (of_recording, "get", RESEARCH),
    "recording-sensors": (of_recording, "get", RESEARCH | {"researcher": 400, "lead": 400}),
    "recording-sensors-csv": (of_recording, "get", RESEARCH | {"researcher": 400, "lead": 400}),
    "recording-media": (lambda m: of_recording(m, kind="proxy"), "get", RESEARCH),
    # Nobody's face was cropped in this material: who may look is told that (404).
    "recording-face": (
        lambda m: of_recording(m, frame=3), "get", RESEARCH | {"researcher": GONE, "lead": GONE},
    ),
    # It is ready already, so there is nothing to accept (409).
    "recording-elan": (of_recording, "get", RESEARCH),
    # An empty form and no file mean nothing (400), and there is no transcript to take out (404).
    "recording-transcript": (of_recording, "post", RESEARCH | {"researcher": 400, "lead": 400}),
    "recording-transcript-import": (
        of_recording, "post", RESEARCH | {"researcher": 400, "lead": 400},
    ),
    "recording-transcript-make": (
        of_recording, "post", RESEARCH | {"researcher": 400, "lead": 400},
    ),
    "recording-transcript-restore": (
        of_recording, "post", RESEARCH | {"researcher": 400, "lead": 400},
    ),
    "recording-transcript-versions": (of_recording, "get", RESEARCH),
    "recording-transcript-file": (
        lambda m: of_recording(m, form="vtt"), "get", RESEARCH | {"researcher": GONE, "lead": GONE},
    ),
    "quality": (lambda m: STUDY, "get", RESEARCH),
    "quality-measure": (lambda m: STUDY, "post", LEAD | {"lead": SIGN_IN}),
    "quality-table": (lambda m: STUDY, "get", RESEARCH),
    "quality-figure-svg": (lambda m: {**STUDY, "figure": "people"}, "get", RESEARCH),
    "quality-figure-csv": (lambda m: {**STUDY, "figure": "people"}, "get", RESEARCH),
    # Nobody was seen in this material (404), and nobody is named (400).
    "recording-person": (
        lambda m: of_recording(m, kind="face_preview", number=1),
        "get",
        RESEARCH | {"researcher": GONE, "lead": GONE},
    ),
    "recording-participant": (of_recording, "post", RESEARCH | {"researcher": 400, "lead": 400}),
    "recording-accept": (of_recording, "post", RESEARCH | {"researcher": 409, "lead": 409}),
    # No faces were looked for in it (409).
    "recording-masked": (of_recording, "post", RESEARCH | {"researcher": 409, "lead": 409}),
    "batches": (lambda m: STUDY, "get", RESEARCH),
    "design": (lambda m: STUDY, "get", RESEARCH),
    # No rater is named (400).
    "batch-give-away": (lambda m: STUDY, "post", RESEARCH | {"researcher": 400, "lead": 400}),
    # It is open already, so there is nothing to send again (409).
    "batch-again": (
        lambda m: {**STUDY, "batch_id": m.batch.pk},
        "post",
        RESEARCH | {"researcher": 409, "lead": 409},
    ),
    "agreement-look": (
        lambda m: STUDY, "post", RESEARCH | {"researcher": SIGN_IN, "lead": SIGN_IN},
    ),
    "agreement": (lambda m: STUDY, "get", RESEARCH),
    "agreement-run": (lambda m: {**STUDY, "run_id": m.gate_run.pk}, "get", RESEARCH),
    # No label is named (400).
    "agreement-waive": (
        lambda m: {**STUDY, "run_id": m.gate_run.pk}, "post", LEAD | {"lead": 400},
    ),
    "agreement-table": (lambda m: {**STUDY, "run_id": m.gate_run.pk}, "get", RESEARCH),
    "agreement-plot": (lambda m: {**STUDY, "run_id": m.gate_run.pk}, "get", RESEARCH),
    "picture-raters-svg": (lambda m: {**STUDY, "run_id": m.gate_run.pk}, "get", RESEARCH),
    "picture-raters-csv": (lambda m: {**STUDY, "run_id": m.gate_run.pk}, "get", RESEARCH),
    # One rater alone was compared with nobody (404).
    "picture-confusion-svg": (
        lambda m: {**STUDY, "run_id": m.gate_run.pk},
        "get",
        RESEARCH | {"researcher": GONE, "lead": GONE},
    ),
    "picture-confusion-csv": (
        lambda m: {**STUDY, "run_id": m.gate_run.pk},
        "get",
        RESEARCH | {"researcher": GONE, "lead": GONE},
    ),
    "picture-disputed": (lambda m: {**STUDY, "run_id": m.gate_run.pk}, "get", RESEARCH),
    "pictures-compute": (
        lambda m: {**STUDY, "run_id": m.gate_run.pk},
        "post",
        RESEARCH | {"researcher": SIGN_IN, "lead": SIGN_IN},
    ),
    # No pass is named (404).
    "picture-recording-svg": (of_recording, "get", RESEARCH | {"researcher": GONE, "lead": GONE}),
    "picture-recording-csv": (of_recording, "get", RESEARCH | {"researcher": GONE, "lead": GONE}),
    "anchoring": (lambda m: STUDY, "get", RESEARCH),
    "picture-anchoring-svg": (lambda m: STUDY, "get", RESEARCH),
    "picture-anchoring-csv": (lambda m: STUDY, "get", RESEARCH),
    # No version is named, so nothing is built (400).
    "release-request": (
        lambda m: {**STUDY, "run_id": m.gate_run.pk},
        "post",
        RESEARCH | {"researcher": 400, "lead": 400},
    ),
    # Its folder was never made in this material (404).
    "release-download": (
        lambda m: {**STUDY, "release_id": m.release.pk},
        "get",
        RESEARCH | {"researcher": GONE, "lead": GONE},
    ),
    "adjudication": (lambda m: STUDY, "get", RESEARCH),
    # One rater alone disagrees with nobody: who may look is told that (404).
    "adjudication-item": (
        lambda m: {**STUDY, "item": f"{m.recording.pk.hex}.segments.ah.1000000-2500000"},
        "get",
        RESEARCH | {"researcher": GONE, "lead": GONE},
    ),
    "releases": (lambda m: STUDY, "get", RESEARCH),
    "release": (lambda m: {**STUDY, "release_id": m.release.pk}, "get", RESEARCH),
    # A rater's page is the lead's and that rater's; here the annotator's own.
    "my-figures": (lambda m: {}, "get", OWN_QUEUE),
    "raters": (lambda m: STUDY, "get", LEAD),
    "rater": (of_rater, "get", LEAD | {"annotator": OK}),
    "rater-table": (of_rater, "get", LEAD | {"annotator": OK}),
    # What is held about a rater is given to nobody else, not even to the lead.
    "rater-held": (of_rater, "get", LEAD | {"annotator": OK, "lead": NO}),
    "rater-profile": (of_rater, "post", LEAD | {"lead": SIGN_IN}),
    # No participant is named (400).
    "rater-conflicts": (of_rater, "post", LEAD | {"lead": 400}),
    # One submission is no course yet, and a rater gets none at all (404).
    "rater-course-svg": (of_plot, "get", LEAD | {"annotator": GONE, "lead": GONE}),
    "rater-course-csv": (of_plot, "get", LEAD | {"annotator": GONE, "lead": GONE}),
    "rater-times-svg": (of_plot, "get", LEAD | {"annotator": OK}),
    "rater-times-csv": (of_plot, "get", LEAD | {"annotator": OK}),
    "gold": (lambda m: STUDY, "get", LEAD),
    # There is no such answer (404).
    "gold-retire": (
        lambda m: {**STUDY, "item_id": some_id()}, "post", LEAD | {"lead": GONE},
    ),
    # Raters read what is recorded about them, and leads what their raters read.
    "rater-notice": (lambda m: STUDY, "get", RATERS),
    "guard-redeem": (lambda m: {}, "post", SECRET_HEADER_ONLY),
    "guard-session": (lambda m: {}, "post", SECRET_HEADER_ONLY),
    "guard-end": (lambda m: {}, "post", SECRET_HEADER_ONLY),
    "guard-media": (lambda m: {"token": m.assignment.media_token}, "get", SECRET_HEADER_ONLY),
    "label-studio-webhook": (lambda m: {}, "post", SECRET_HEADER_ONLY),
}  # fmt: skip


def named(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from named(pattern.url_patterns)
        else:
            yield str(pattern.name)


def website_names() -> set[str]:
    resolver = next(p for p in get_resolver().url_patterns if p.app_name == "website")
    return set(named(resolver.url_patterns))


def test_every_address_has_an_expectation_and_nothing_else_does():
    assert website_names() == set(EXPECTED)


def test_only_the_website_and_the_administration_have_addresses():
    assert [p.app_name for p in get_resolver().url_patterns] == ["admin", "website"]


def test_every_expectation_names_every_role():
    assert {name: set(roles) for name, (_, _, roles) in EXPECTED.items()} == {
        name: set(ROLES) for name in EXPECTED
    }


@pytest.fixture
def material(house: House, storage_folder) -> Material:
    return make_material(house.study, house.people["annotator"])


def test_each_role_gets_what_it_may_have(house: House, material: Material):
    found, wanted = {}, {}
    for role in ROLES:
        client = house.client(role)
        for name, (arguments, method, statuses) in EXPECTED.items():
            if name == "sign-out":
                continue  # below: it ends the session
            path = reverse(f"website:{name}", kwargs=arguments(material))
            answer = getattr(client, method)(path)
            found[role, name] = answer.status_code
            wanted[role, name] = statuses[role]
            if statuses[role] == SIGN_IN and role == "nobody":
                assert answer["Location"].startswith("/sign-in/"), name
        found[role, "sign-out"] = client.post(reverse("website:sign-out")).status_code
        wanted[role, "sign-out"] = EXPECTED["sign-out"][2][role]
    assert {k: v for k, v in found.items() if wanted[k] != v} == {}


def test_a_recording_of_another_study_is_not_there(house: House, material: Material):
    client = house.client("stranger")
    for name in ("recording", "recording-timeline"):
        path = reverse(
            f"website:{name}", kwargs={"code": "other", "recording_id": material.recording.pk}
        )
        assert client.get(path).status_code == GONE


@pytest.mark.parametrize(("name", "key"), [("agreement-run", "run_id"), ("release", "release_id")])
def test_a_result_of_another_study_is_not_there(house: House, material: Material, name, key):
    pk = material.gate_run.pk if key == "run_id" else material.release.pk
    path = reverse(f"website:{name}", kwargs={"code": "other", key: pk})
    assert house.client("stranger").get(path).status_code == GONE


def test_what_does_not_exist_is_not_there(house: House, material: Material):
    client = house.client("lead")
    paths = [
        reverse("website:recording", kwargs={**STUDY, "recording_id": some_id()}),
        reverse("website:release", kwargs={**STUDY, "release_id": some_id()}),
        reverse("website:study", kwargs={"code": "nowhere"}),
        reverse("website:recording-media", kwargs=of_recording(material, kind="original")),
        "/nowhere/",
    ]
    assert [client.get(path).status_code for path in paths] == [GONE] * len(paths)


def test_a_rater_reads_no_names_codes_or_files(house: House, material: Material):
    client = house.client("annotator")
    pages = [
        reverse("website:queue"),
        reverse("website:instructions", kwargs={"batch_id": material.batch.pk}),
    ]
    secrets = (
        "VOICE-0001",
        "ada-lovelace",
        "Prompt",
        "reluctance-expected",
        str(material.recording.pk),
    )
    for page in pages:
        text = client.get(page).content.decode()
        assert [word for word in secrets if word in text] == [], page


def test_a_rater_sees_no_other_raters_batch(house: House, material: Material):
    from tests.factories import MembershipFactory

    other = MembershipFactory(study=house.study, role="annotator").user
    client = house.client("nobody")
    client.force_login(other)
    assert "Batch" not in client.get("/queue/").content.decode()
    path = reverse("website:instructions", kwargs={"batch_id": material.batch.pk})
    assert client.get(path).status_code == GONE
