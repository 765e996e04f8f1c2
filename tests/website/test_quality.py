"""The study's quality page, the explorer by quality, and a recording's own figures."""

from __future__ import annotations

import csv
import io
import random
import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from typing import Any

import pytest
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.factories import AssignmentFactory, RecordingFactory, consented_participant
from tests.website.conftest import House
from waver.core.models import Job
from waver.recordings.models import Quality, QualityRules, Recording
from waver.recordings.quality import counting, rules
from waver.recordings.quality.catalogue import AT_LEAST, AT_MOST, FIGURES, undefined
from waver.recordings.quality.limits import judge
from waver.website.queries import quality as queries
from waver.website.queries.recordings import Filters, recordings_page
from workers import runner
from workers import tasks as tasks  # registers the handlers

PAGE = "/studies/voices/quality/"
LIST = "/studies/voices/recordings/"


def measured(house: House, count: int, **of: Any) -> list[Recording]:
    """Make recordings of one participant, the n-th with `of[figure](n)`."""
    take = {"participant": consented_participant(house.study)}
    made = [RecordingFactory(study=house.study, **take) for _ in range(count)]
    for n, recording in enumerate(made):
        rules.record(recording, {key: value(n) for key, value in of.items()})
    return made


def ask(house: House, **limits: dict[str, float]) -> None:
    rules.set_rules(study=house.study, limits=limits, actor="lead")
    runner.drain()


def text_of(answer: Any) -> str:
    return " ".join(re.sub("<[^>]+>", " ", answer.content.decode()).split())


# The page


def test_an_empty_page_says_what_to_do(house: House) -> None:
    shown = text_of(house.client("lead").get(PAGE))
    assert "No recording has been measured yet" in shown
    assert "import_recordings voices FOLDER" in shown


def test_the_lead_sets_thresholds_and_recordings_are_judged(house: House) -> None:
    good, poor = measured(house, 2, usable_face_share=lambda n: 0.9 - n / 2)
    lead = house.client("lead")
    answer = lead.post(PAGE, {"do": "set", "seen": "0", "limit-usable_face_share": "60 %"})
    assert answer.status_code == 302
    made = QualityRules.objects.get()
    assert (made.limits, made.made_by) == (
        {"usable_face_share": {"at_least": 0.6}}, house.people["lead"].username,
    )  # fmt: skip
    assert "2 recordings are being judged" in text_of(lead.get(PAGE))
    runner.drain()
    shown = text_of(lead.get(PAGE))
    assert "With these thresholds, 1 of 2 recordings fall short" in shown
    assert "Thresholds of version 1" in shown
    assert 'value="60 %"' in lead.get(PAGE).content.decode()
    good.refresh_from_db()
    poor.refresh_from_db()
    assert (good.state, poor.state) == ("ready", "attention")


def test_counting_sets_nothing_and_keeps_what_was_typed(house: House) -> None:
    measured(house, 3, usable_face_share=lambda n: n / 10, duration_s=lambda n: 5.0 * n)
    lead = house.client("lead")
    typed = {
        "do": "count", "limit-usable_face_share": "0.15", "limit-duration_s": "7",
        "bound-duration_s": "at_most",
    }  # fmt: skip
    whole = lead.post(PAGE, typed)
    assert "With what is typed, 3 of 3 recordings fall short (not set yet)" in text_of(whole)
    assert "Usable face 2 · Length 1" in text_of(whole)
    assert 'value="0.15"' in whole.content.decode()
    assert re.search(r'value="at_most" selected', whole.content.decode())
    part = lead.post(PAGE, typed, headers={"HX-Request": "true"})
    assert part.content.decode().strip().startswith('<div id="count"')
    assert "3 of 3" in text_of(part)
    assert not QualityRules.objects.exists()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"limit-usable_face_share": "lots"}, "“lots” under “Usable face” is no number"),
        ({"limit-usable_face_share": "80"}, "lies from 0 to 1"),
        ({"limit-usable_face_share": "nan"}, "lies from 0 to 1"),
        ({"limit-duration_s": "3", "bound-duration_s": "exactly"}, "makes no sense"),
    ],
)
@pytest.mark.parametrize("do", ["set", "count"])
def test_what_cannot_be_asked_is_said_and_stays_typed(house: House, typed, said, do) -> None:
    lead = house.client("lead")
    answer = lead.post(PAGE, {"do": do, **typed})
    assert answer.status_code == 400
    assert said in text_of(answer)
    assert f'value="{next(iter(typed.values()))}"' in answer.content.decode()
    part = lead.post(PAGE, {"do": "count", **typed}, headers={"HX-Request": "true"})
    assert said in text_of(part)
    assert not QualityRules.objects.exists()


def test_who_looked_at_older_thresholds_reads_the_newer_first(house: House) -> None:
    ask(house, people={"at_most": 1})
    answer = house.client("lead").post(PAGE, {"do": "set", "seen": "0", "limit-people": "3"})
    assert answer.status_code == 409
    assert "Somebody else set the thresholds" in text_of(answer)
    assert QualityRules.objects.count() == 1


def test_researchers_see_the_page_and_change_nothing(house: House) -> None:
    measured(house, 1, people=lambda n: 1.0)
    researcher = house.client("researcher")
    shown = researcher.get(PAGE)
    assert "lead sets the thresholds" in text_of(shown)
    assert "Set the thresholds" not in text_of(shown)
    for do in ("set", "count"):
        assert researcher.post(PAGE, {"do": do, "limit-people": "1"}).status_code == 403
    assert researcher.post(f"{PAGE}measure/").status_code == 403


def test_recordings_from_before_are_measured_when_the_lead_asks(house: House) -> None:
    old = RecordingFactory(study=house.study)
    RecordingFactory(study=house.study, state="failed")
    RecordingFactory(study=house.study, take=old.take, view="second_camera")
    lead = house.client("lead")
    assert "1 recording was prepared before quality was measured" in text_of(lead.get(PAGE))
    lead.post(f"{PAGE}measure/")
    lead.post(f"{PAGE}measure/")  # pressed twice
    job = Job.objects.get(name="recordings.quality")
    assert (job.subject_id, job.state) == (str(old.pk), "queued")


# What is counted is what is judged


VALUES = st.one_of(
    st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0]), st.just(undefined("No face.")), st.none()
)


@pytest.mark.django_db
@settings(
    max_examples=examples(24),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(st.tuples(VALUES, VALUES), min_size=3, max_size=3),
    st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1)),
    st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1)),
)
def test_the_count_is_exactly_what_judging_gives(three: dict, values, least, most) -> None:
    limits = {}
    if least is not None:
        limits["usable_face_share"] = {AT_LEAST: least}
    if most is not None:
        limits["turned_share"] = {AT_MOST: most}
    verdicts = []
    for row, (usable, turned) in zip(three["rows"], values, strict=True):
        figures = {"usable_face_share": usable, "turned_share": turned}
        Quality.objects.filter(pk=row.pk).update(figures=figures)
        verdicts.append(judge(figures, limits)[0])
    found = counting.count(three["study"], limits)
    assert (found.measured, found.short) == (3, verdicts.count(Quality.Verdict.FALLS_SHORT))


@pytest.fixture
def three(house: House) -> dict[str, Any]:
    made = measured(house, 3, people=lambda n: 1.0)
    return {"study": house.study, "rows": [recording.quality for recording in made]}


def test_what_nobody_may_use_is_not_counted(house: House) -> None:
    rows = measured(house, 3, people=lambda n: 5.0)
    Recording.objects.filter(pk=rows[0].pk).update(state="refused")
    Recording.objects.filter(pk=rows[1].pk).update(state="failed")
    found = counting.count(house.study, {"people": {"at_most": 1}})
    assert (found.measured, found.short, found.by_figure) == (1, 1, {"people": 1})


# Pictures and tables


def test_each_picture_has_its_table_and_both_can_be_downloaded(house: House) -> None:
    chance = random.Random(1)
    measured(house, 30, snr_db=lambda n: chance.gauss(20, 8) if n % 10 else undefined("No speech."))
    ask(house, snr_db={"at_least": 15})
    lead = house.client("lead")
    shown = lead.get(PAGE).content.decode()
    assert "at least 15.0 dB</text>" in shown
    assert "Not known of 3" in shown
    drawn = ET.fromstring(lead.get(f"{PAGE}snr_db.svg").content)
    bars = [each for each in drawn.iter() if each.get("data-count")]
    table = list(csv.DictReader(io.StringIO(lead.get(f"{PAGE}snr_db.csv").content.decode())))
    assert sum(int(row["recordings"]) for row in table) == 27
    assert sum(int(bar.get("data-count") or 0) for bar in bars) == 27
    assert "27 recordings with a value, 3 without" in lead.get(f"{PAGE}snr_db.svg").content.decode()
    assert lead.get(f"{PAGE}nothing.svg").status_code == 404
    assert lead.get(f"{PAGE}light_imbalance.csv").status_code == 404


def test_the_table_of_all_recordings_leaves_empty_what_is_not_known(house: House) -> None:
    measured(house, 2, voice_level_dbfs=lambda n: -20.5 if n else undefined("No speech."))
    answer = house.client("researcher").get(f"{PAGE}recordings.csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [row["voice_level_dbfs"] for row in rows] == ["", "-20.5"]
    assert {row["verdict"] for row in rows} == {"no_rules"}
    assert set(FIGURES) <= set(rows[0])


@pytest.mark.parametrize("values", [[0.3], [0.0, 1.0], [0.25] * 7, [5.0, 5.0, -3.0]])
def test_every_value_lies_in_one_bin(values: list[float]) -> None:
    figure = FIGURES["snr_db" if max(values) > 1 else "usable_face_share"]
    for limit in (None, 0.5):
        bins = queries.Spread(figure, sorted(values), 0).bins(limit)
        assert sum(one.count for one in bins) == len(values)
        assert len(bins) == queries.BINS
        assert all(one.high == pytest.approx(after.low) for one, after in pairwise(bins))


# The explorer


def listed(house: House, query: str) -> list[str]:
    page = house.client("researcher").get(f"{LIST}?{query}").content.decode()
    return re.findall(r"recordings/([0-9a-f-]{36})/", page)


def test_the_list_can_be_narrowed_to_a_verdict_and_sorted_worst_first(house: House) -> None:
    made = measured(
        house, 4,
        usable_face_share=lambda n: undefined("No face.") if n == 2 else n / 10,
        people=lambda n: float(n),
    )  # fmt: skip
    unmeasured = RecordingFactory(study=house.study)
    ask(house, usable_face_share={"at_least": 0.2})
    ids = [str(row.pk) for row in made]
    assert set(listed(house, "quality=falls_short")) == set(ids[:3])
    assert listed(house, "quality=meets") == ids[3:]
    assert listed(house, "quality=unmeasured") == [str(unmeasured.pk)]
    by_face = listed(house, "sort=usable_face_share")
    assert by_face[:3] == [ids[0], ids[1], ids[3]]
    assert set(by_face[3:]) == {ids[2], str(unmeasured.pk)}
    assert listed(house, "sort=people")[:4] == ids[::-1]
    assert len(listed(house, "sort=nonsense&quality=nonsense")) == 5
    page = text_of(house.client("researcher").get(f"{LIST}?sort=usable_face_share"))
    assert "Falls short in 1" in page
    assert "Meets" in page
    assert "30 %" in page


def test_pages_take_the_same_queries_for_few_and_for_many(
    house: House, django_assert_max_num_queries
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def count(view: Any) -> int:
        with CaptureQueriesContext(connection) as asked:
            view()
        return len(asked)

    views = [
        lambda: queries.page(house.study),
        lambda: list(recordings_page(house.study, filters=Filters(sort="people"))),
        lambda: [
            row.quality for row in recordings_page(house.study, filters=Filters(quality="meets"))
        ],
        lambda: list(queries.table_lines(house.study)),
    ]
    limits = {key: {f.bound: f.suggested} for key, f in FIGURES.items() if f.suggested is not None}
    measured(house, 2, people=lambda n: 1.0)
    ask(house, **limits)
    few = [count(view) for view in views]
    measured(house, 25, people=lambda n: 1.0, snr_db=lambda n: float(n))
    assert [count(view) for view in views] == few
    assert few[0] <= 8


# A recording's page


def test_a_recordings_page_shows_figures_limits_and_reasons_before_the_decision(
    house: House,
) -> None:
    unknown = undefined("No speech was found.")
    (recording,) = measured(
        house, 1, usable_face_share=lambda n: 0.41, snr_db=lambda n: unknown, people=lambda n: 1.0
    )
    ask(house, usable_face_share={"at_least": 0.6}, snr_db={"at_least": 15}, people={"at_most": 1})
    path = reverse("website:recording", args=["voices", recording.pk])
    lead = house.client("lead")
    page = lead.get(path).content.decode()
    shown = text_of(lead.get(path))
    reason = "Usable face is 41 %; the study asks for at least 60 %."
    assert reason in shown
    assert page.index("the study asks for at least 60 %") < page.index("Use it as it is")
    assert shown.count("It falls short of the study's thresholds") == 1
    assert "No speech was found." in shown
    assert "at most 1 , met" in shown
    assert "at least 60 % , falls short" in shown
    lead.post(reverse("website:recording-accept", args=["voices", recording.pk]))
    ask(house, usable_face_share={"at_least": 0.7})
    shown = text_of(lead.get(path))
    assert "the study asks for at least 70 %" in shown
    assert "Somebody watched it and accepted it as it is" in shown
    assert "Use it as it is" not in shown


def test_what_raters_were_given_shows_its_reasons_and_asks_nobody(house: House) -> None:
    (recording,) = measured(house, 1, people=lambda n: 3.0)
    AssignmentFactory(recording=recording)
    ask(house, people={"at_most": 1})
    path = reverse("website:recording", args=["voices", recording.pk])
    shown = text_of(house.client("lead").get(path))
    assert "People is 3; the study asks for at most 1" in shown
    assert "Raters were given it before" in shown


def test_a_recording_that_was_not_measured_shows_no_figures(house: House) -> None:
    recording = RecordingFactory(study=house.study)
    path = reverse("website:recording", args=["voices", recording.pk])
    assert 'id="quality"' not in house.client("lead").get(path).content.decode()
