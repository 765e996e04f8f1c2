"""An erasure asked for in consent reaches the published files."""

from __future__ import annotations

import pytest

from tests.datasets.worlds import label, policy_text, with_media, world
from waver.consent import services as consent
from waver.datasets import gate, policies, releases, snapshots
from waver.datasets.models import Release, Statistic
from waver.datasets.verify import verify


@pytest.mark.django_db
@pytest.mark.usefixtures("storage_folder")
def test_erasing_a_participant_reaches_snapshots_statistics_and_releases():
    made = world(participants=7, consented=True)
    label(made)
    with_media(made)
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    policy = policies.install(study=made.study, text=policy_text(), actor="lead")
    run = gate.evaluate(snapshot=snapshot, policy=policy, actor="lead")
    release = releases.build(gate_run=run, version="1.0", purpose="research", actor="lead")
    gone = made.participants[3]
    assert consent.erase(participant=gone, actor="manager") == []
    release.refresh_from_db()
    assert release.state == Release.State.PUBLISHED
    assert release.figures["participants"] == 6
    assert verify(releases.path_of(release), root=release.root) == []
    assert not Statistic.objects.filter(participant=gone).exists()
    again = snapshots.freeze(study=made.study, actor="lead")
    second = gate.evaluate(snapshot=again, policy=policy, actor="lead")
    assert second.look == 1
    assert second.receipt["labels"]["segments/ah"]["n"]["participants"] == 6
