"""The holders: whatever is held about a participant, somebody can list it, stop it and erase it."""

from __future__ import annotations

import pytest
from django.apps import apps

from tests.factories import consented_participant
from waver.consent import events, services
from waver.consent.models import ConsentState, Participant
from waver.core import holders
from waver.core.holders import models_with_holder, personal_models

pytestmark = pytest.mark.django_db


def test_labels_go_before_the_media_they_point_to():
    names = [holder.name for holder in holders.all_holders()]
    wanted = ["annotation", "recordings", "consent"]
    assert [name for name in names if name in wanted] == wanted


def test_two_holders_of_one_name_are_refused():
    class Other:
        name = "consent"
        models = ()

    with pytest.raises(ValueError, match="Two holders are called"):
        holders.register(Other())


def test_holders_name_models_that_exist():
    assert models_with_holder() <= {model._meta.label for model in apps.get_models()}


def test_a_withdrawal_reaches_every_holder_also_of_one_purpose(monkeypatch):
    reached = []

    class Listening:
        def quarantine(self, participant_id):
            state = ConsentState.objects.get(participant=participant_id, purpose="research")
            reached.append((participant_id, state.allowed))

    monkeypatch.setattr(holders, "all_holders", lambda: (Listening(),))
    participant = consented_participant()
    services.withdraw(participant=participant, purpose="research", actor="tests")
    assert reached == [(participant.pk, False)]  # the state had changed before


def test_every_model_with_personal_data_has_a_holder():
    personal = personal_models()
    assert {"consent.ConsentAnswer", "recordings.Asset", "annotation.SegmentCue"} <= personal
    assert not personal & {"studies.Study", "core.Blob", "annotation.Batch", "accounts.User"}
    assert personal <= models_with_holder()


def test_an_erased_participant_keeps_evidence_but_no_code():
    participant = consented_participant(code="P1")
    left = services.erase(participant=participant, actor="tests")
    assert left == []
    assert participant.state == Participant.State.ERASED
    assert "P1" not in participant.code
    assert participant.consent_events.order_by("sequence").last().type == "erased"
    assert participant.consent_records.exists()
    assert events.first_broken(participant) is None
    assert services.erase(participant=participant, actor="tests") == []
