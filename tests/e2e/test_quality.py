"""Thresholds in a real browser: the count follows what is typed, and nothing is lost."""

from __future__ import annotations

import random

import pytest

from tests.e2e.conftest import Visitor
from tests.factories import RecordingFactory, consented_participant
from tests.website.conftest import House
from waver.recordings.models import QualityRules
from waver.recordings.quality import rules
from waver.recordings.quality.catalogue import FIGURES, undefined

pytestmark = pytest.mark.browser


def make_recordings(house: House, count: int) -> None:
    chance = random.Random(7)
    take = {"participant": consented_participant(house.study)}
    for n in range(count):
        figures = {
            key: chance.betavariate(5, 2) if figure.highest == 1 else chance.gauss(40, 9)
            for key, figure in FIGURES.items()
        }
        figures["voice_level_dbfs"] = chance.gauss(-32, 6)
        figures["usable_face_share"] = n / count
        figures["people"] = float(1 + (n % 9 == 0))
        if n % 6 == 0:
            figures["snr_db"] = undefined("No speech was found.")
        rules.record(RecordingFactory(study=house.study, **take), figures)


def test_the_count_follows_what_is_typed(visitor: Visitor, house: House, transactional_db):
    make_recordings(house, 20)
    visitor.sign_in(house.people["lead"].username)
    visitor.open("/studies/voices/quality/")
    page = visitor.page
    page.fill("#limit-usable_face_share", "50 %")
    visitor.until("document.getElementById('count').innerText.includes('10 of 20')")
    page.fill("#limit-usable_face_share", "half")
    visitor.until("document.getElementById('count').innerText.includes('is no number')")
    page.fill("#limit-usable_face_share", "0.25")
    visitor.until("document.getElementById('count').innerText.includes('5 of 20')")
    assert not QualityRules.objects.exists()
    page.click("text=Set the thresholds")
    page.wait_for_load_state("networkidle")
    assert QualityRules.objects.get().limits == {"usable_face_share": {"at_least": 0.25}}
    assert page.input_value("#limit-usable_face_share") == "25 %"
    assert visitor.problems == []
