"""What the guide tells people to type works, and every page has its address in the guide."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.factories import UserFactory
from tests.website.test_permissions import EXPECTED
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
    "releases": "/studies/<study>/releases/", "release": "/studies/<study>/releases/<release>/",
}  # fmt: skip
PARTS = {
    "home", "sign-out", "label-start", "recording-timeline", "recording-media", "recording-face",
    "recording-accept", "batch-again", "agreement-look", "agreement-table", "agreement-plot",
    "release-request", "release-download", "guard-redeem", "guard-session", "guard-end",
    "guard-media", "label-studio-webhook",
}  # fmt: skip


def guide() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md")))


def test_every_page_is_in_the_guide():
    assert set(PAGES) | PARTS == set(EXPECTED)
    assert {name for name, address in PAGES.items() if f"`{address}`" not in guide()} == set()


@pytest.mark.django_db
def test_setting_up_a_study_works_as_written():
    for name in ("ada", "grace"):
        UserFactory(username=name)
    text = (DOCS / "administrator.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.+?)```", text, re.DOTALL)
    assert code
    exec(compile(code[1], "docs/administrator.md", "exec"), {})
    study = Study.objects.get(code="voices")
    participant = study.participants.get(code="P001")
    assert participant.consent_states.filter(allowed=True).count() == len(Purpose)
    assert study.memberships.count() == 2
