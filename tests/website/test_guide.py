"""What the guide tells people to type works, and every page has its address in the guide."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command, get_commands, load_command_class

from tests.factories import StudyFactory, UserFactory
from tests.website.test_permissions import EXPECTED
from waver.consent.forms import publish_default
from waver.consent.models import Purpose
from waver.studies.models import Study

DOCS = Path(__file__).resolve().parents[2] / "docs"

# The pages that people open; the other addresses send data, or are forms of these pages.
PAGES = {
    "sign-in": "/sign-in/", "health": "/health/", "status": "/status/", "queue": "/queue/",
    "instructions": "/queue/<batch>/instructions/", "studies": "/studies/",
    "study": "/studies/<study>/", "recordings": "/studies/<study>/recordings/",
    "recording": "/studies/<study>/recordings/<recording>/",
    "batches": "/studies/<study>/batches/", "agreement": "/studies/<study>/agreement/",
    "agreement-run": "/studies/<study>/agreement/<look>/",
    "anchoring": "/studies/<study>/anchoring/",
    "releases": "/studies/<study>/releases/", "release": "/studies/<study>/releases/<release>/",
    "rater-notice": "/studies/<study>/raters/notice/", "my-figures": "/raters/me/",
    "raters": "/studies/<study>/raters/", "rater": "/studies/<study>/raters/<rater>/",
    "gold": "/studies/<study>/gold/", "design": "/studies/<study>/design/",
    "training": "/queue/<batch>/answers/",
    "adjudication": "/studies/<study>/adjudication/",
    "adjudication-item": "/studies/<study>/adjudication/<item>/",
    "recording-transcript-versions": (
        "/studies/<study>/recordings/<recording>/transcript/versions/"
    ),
    "signing-key": "/signing-key/", "quality": "/studies/<study>/quality/",
}  # fmt: skip
PARTS = {
    "picture-raters-svg", "picture-raters-csv", "picture-confusion-svg", "picture-confusion-csv",
    "picture-disputed", "picture-recording-svg", "picture-recording-csv", "picture-anchoring-svg",
    "picture-anchoring-csv", "pictures-compute",
    "home", "sign-out", "label-start", "recording-timeline", "recording-media", "recording-face",
    "recording-sensors", "recording-sensors-csv",
    "recording-accept", "batch-again", "batch-give-away", "agreement-look", "agreement-table",
    "agreement-plot", "agreement-waive", "recording-elan", "recording-masked",
    "recording-transcript", "recording-transcript-import", "recording-transcript-make",
    "recording-transcript-restore", "recording-transcript-file",
    "release-request", "release-download", "guard-redeem", "guard-session", "guard-end",
    "guard-media", "label-studio-webhook", "rater-table", "rater-held", "rater-profile",
    "rater-conflicts", "rater-course-svg", "rater-course-csv", "rater-times-svg",
    "rater-times-csv", "gold-retire", "quality-measure", "quality-table", "quality-figure-svg",
    "quality-figure-csv", "recording-person", "recording-participant",
}  # fmt: skip


def guide() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md")))


def test_every_page_is_in_the_guide():
    assert set(PAGES) | PARTS == set(EXPECTED)
    assert {name for name, address in PAGES.items() if f"`{address}`" not in guide()} == set()


@pytest.mark.django_db
def test_setting_up_a_study_works_as_written():
    """The guide's three files, by the guide's commands, up to consent that covers recordings."""
    for name in ("ada", "hypatia", "grace", "katherine", "mary"):
        UserFactory(username=name)
    text = guide()
    for command in ("create_study study.yaml", "record_consents STUDY forms.csv"):
        assert f"manage.py {command}" in text
    out, err = StringIO(), StringIO()
    call_command("create_study", str(DOCS / "examples" / "study.yaml"), stdout=out)
    call_command(
        "record_consents", "voices", str(DOCS / "examples" / "forms.csv"), stdout=out, stderr=err
    )
    assert "3 recorded, 0 there already, 0 refused." in out.getvalue(), err.getvalue()
    study = Study.objects.get(code="voices")
    participant = study.participants.get(code="P001")
    assert participant.consent_states.filter(allowed=True).count() == len(Purpose) - 1


@pytest.mark.django_db
def test_the_guide_s_list_of_forms_fits_the_document_that_ships(tmp_path):
    text = (DOCS / "consent-manager.md").read_text(encoding="utf-8")
    block = re.search(r"```csv\n(.+?)```", text, re.DOTALL)
    assert block
    path = tmp_path / "forms.csv"
    path.write_text(block[1], encoding="utf-8")
    study = StudyFactory(code="voices")
    publish_default(study=study, approved_by="REB", effective_from=datetime(2026, 2, 1, tzinfo=UTC))
    out = StringIO()
    call_command("record_consents", "voices", str(path), stdout=out)
    assert out.getvalue() == "1 recorded, 0 there already, 0 refused.\n"


def test_every_option_in_the_guide_s_commands_exists():
    """`manage.py NAME … --option` in the guide: the command has that option."""
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    missing = []
    for name, rest in re.findall(r"manage\.py (\w+)([^`\n#]*)", f"{guide()}\n{readme}"):
        parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
        known = set(parser._option_string_actions)
        missing += [f"{name} {o}" for o in re.findall(r"--[a-z-]+", rest) if o not in known]
    assert missing == []
