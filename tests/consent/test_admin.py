"""Consent evidence and the audit chain can be looked at by administrators, and only that."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import NoReverseMatch, reverse

from tests.factories import UserFactory, consented_participant
from waver.consent.models import ConsentDocument, ConsentEvent, ConsentRecord, Participant
from waver.core.models import AuditEntry

pytestmark = pytest.mark.django_db

SHOWN = [Participant, ConsentDocument, ConsentRecord, ConsentEvent, AuditEntry]


@pytest.fixture
def administrator(client: Client) -> Client:
    try:
        reverse("admin:index")
    except NoReverseMatch:
        pytest.fail("Django's admin is not among the addresses in waver.config.urls.")
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    return client


@pytest.mark.parametrize("model", SHOWN)
def test_rows_are_listed_and_shown_and_cannot_be_changed(administrator, model):
    consented_participant(code="P1")
    row = model._default_manager.first()
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    assert administrator.get(reverse(f"{name}_changelist")).status_code == 200
    page = reverse(f"{name}_change", args=[row.pk])
    shown = administrator.get(page)
    assert shown.status_code == 200
    assert b'name="_save"' not in shown.content
    assert administrator.post(page, {"code": "other"}).status_code == 403
    assert administrator.get(reverse(f"{name}_add")).status_code == 403
    delete = administrator.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"})
    assert delete.status_code == 403
    assert model._default_manager.filter(pk=row.pk).exists()


def test_no_evidence_can_be_edited_anywhere_in_the_admin(rf):
    request = rf.get("/")
    request.user = UserFactory(is_staff=True, is_superuser=True)
    for model, page in admin.site._registry.items():
        if model._meta.app_label in ("consent", "core"):
            inlines = page.get_inline_instances(request)
            for part in [page, *inlines]:
                assert not part.has_add_permission(request, None)
                assert not part.has_change_permission(request)
                assert not part.has_delete_permission(request)
