"""A study's thresholds: what may be asked, what falls short, who decides, what stays decided."""

from __future__ import annotations

import itertools
import math
import threading
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.factories import AssignmentFactory, RecordingFactory, StudyFactory
from waver.core.errors import BadInput, Conflict
from waver.core.models import AuditEntry, Job
from waver.recordings import services
from waver.recordings.models import Quality, QualityRules, Recording, Stage
from waver.recordings.quality import judging, rules
from waver.recordings.quality.catalogue import (
    AT_LEAST,
    AT_MOST,
    FIGURES,
    Figure,
    undefined,
    value_of,
)
from waver.recordings.quality.limits import judge, problems, shortfalls
from workers import runner
from workers import tasks as tasks  # registers the handlers

GOOD: dict[str, Any] = {
    "usable_face_share": 0.95, "face_size_px": 80.0, "voice_level_dbfs": -25.0, "snr_db": 30.0,
    "people": 1.0, "turned_share": 0.1, "duration_s": 10.0,
}  # fmt: skip


def bounds_of(figure: Figure) -> list[str]:
    return [figure.bound] if figure.bound else [AT_LEAST, AT_MOST]


def within(figure: Figure) -> st.SearchStrategy[float]:
    return st.floats(figure.lowest, figure.highest, allow_nan=False)


@st.composite
def limits(draw: st.DrawFn) -> dict[str, dict[str, float]]:
    keys = draw(st.lists(st.sampled_from(list(FIGURES)), unique=True, max_size=6))
    return {
        key: {draw(st.sampled_from(bounds_of(FIGURES[key]))): draw(within(FIGURES[key]))}
        for key in keys
    }


@st.composite
def measured(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, figure in FIGURES.items():
        kind = draw(st.sampled_from(["number", "number", "undefined", "absent"]))
        if kind == "number":
            found[key] = draw(within(figure))
        elif kind == "undefined":
            found[key] = undefined("No face was found.")
    return found


# What may be asked


def test_every_figure_explains_itself_and_what_is_suggested_may_be_asked() -> None:
    for figure in FIGURES.values():
        assert figure.about.endswith("."), figure.key
        assert figure.advice.endswith("."), figure.key
        assert (figure.suggested is None) == (figure.because == ""), figure.key
        if figure.suggested is not None:
            assert not list(problems({figure.key: {figure.bound: figure.suggested}}))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"loudness": {"at_least": 1}}, "no figure “loudness”"),
        ({"usable_face_share": {}}, "needs one bound"),
        ({"usable_face_share": {"at_least": 0.1, "at_most": 0.9}}, "needs one bound"),
        ({"usable_face_share": 0.5}, "needs one bound"),
        ({"usable_face_share": {"at_most": 0.5}}, "makes no sense"),
        ({"usable_face_share": {"above": 0.5}}, "makes no sense"),
        ({"usable_face_share": {"at_least": "much"}}, "is no number"),
        ({"usable_face_share": {"at_least": True}}, "is no number"),
        ({"usable_face_share": {"at_least": None}}, "is no number"),
        ({"usable_face_share": {"at_least": math.nan}}, "lies from 0 to 1"),
        ({"usable_face_share": {"at_least": math.inf}}, "lies from 0 to 1"),
        ({"usable_face_share": {"at_least": 60}}, "lies from 0 to 1"),
        ({"voice_level_dbfs": {"at_least": 3}}, "lies from -120 to 0"),
        ([], "named by figure"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_sentence(db, wrong: Any, said: str) -> None:
    study = StudyFactory()
    with pytest.raises(BadInput, match=said):
        rules.set_rules(study=study, limits=wrong, actor="lead")
    assert not QualityRules.objects.exists()


# What falls short


@settings(max_examples=examples(60))
@given(measured(), limits())
def test_a_verdict_is_exactly_what_the_limits_say(figures: dict, asked: dict) -> None:
    verdict, reasons = judge(figures, asked)
    short = {one.figure.key for one in shortfalls(figures, asked)}
    for key, limit in asked.items():
        ((bound, number),) = limit.items()
        value = value_of(figures, key)
        meets = value is not None and (value >= number if bound == AT_LEAST else value <= number)
        assert (key in short) == (not meets)
    assert len(reasons) == len(short)
    if not asked:
        assert verdict == Quality.Verdict.NO_RULES
    else:
        assert verdict == (Quality.Verdict.FALLS_SHORT if short else Quality.Verdict.MEETS)


@settings(max_examples=examples(60))
@given(measured(), limits(), st.data())
def test_asking_for_more_never_lets_more_pass(figures: dict, asked: dict, data: Any) -> None:
    stricter = {
        key: {
            bound: data.draw(
                st.floats(number, FIGURES[key].highest)
                if bound == AT_LEAST
                else st.floats(FIGURES[key].lowest, number)
            )
        }
        for key, limit in asked.items()
        for bound, number in limit.items()
    }
    before = {one.figure.key for one in shortfalls(figures, asked)}
    assert before <= {one.figure.key for one in shortfalls(figures, stricter)}


@settings(max_examples=examples(100))
@given(st.sampled_from(list(FIGURES.values())), st.data())
def test_a_reason_never_shows_a_value_that_looks_like_its_limit(figure: Figure, data: Any) -> None:
    limit, value = data.draw(within(figure)), data.draw(within(figure))
    limit, value = round(limit, 4), round(value, 4)
    for bound in bounds_of(figure):
        for one in shortfalls({figure.key: value}, {figure.key: {bound: limit}}):
            shown = figure.write(value, beside=limit)
            assert shown != figure.write(limit, beside=value)
            assert shown in one.sentence
            assert figure.title in one.sentence


def test_reasons_name_figure_value_limit_and_what_to_do() -> None:
    figures = {
        "usable_face_share": 0.4147, "clipped_share": 0.0012, "voice_level_dbfs": -52.04,
        "snr_db": undefined("No speech was found."),
    }  # fmt: skip
    asked = {
        "usable_face_share": {"at_least": 0.6}, "clipped_share": {"at_most": 0.001},
        "voice_level_dbfs": {"at_least": -45}, "snr_db": {"at_least": 15},
    }  # fmt: skip
    verdict, reasons = judge(figures, asked)
    assert verdict == Quality.Verdict.FALLS_SHORT
    assert "\n".join(reasons) == (
        "Usable face is 41 %; the study asks for at least 60 %. "
        "Watch where the face is lost, covered or blurred, and judge if that can be rated.\n"
        "Voice level is −52.0 dBFS; the study asks for at least −45.0 dBFS. "
        "Listen to it; next time, move the microphone nearer or raise its level.\n"
        "Voice above noise could not be measured, and the study asks for at least 15.0 dB. "
        "No speech was found.\n"
        "Clipped sound is 0.12 %; the study asks for at most 0.1 %. "
        "Listen to whether the voice is distorted; next time, lower the microphone's level."
    )


# Versions


def test_thresholds_come_in_versions_that_never_change(db) -> None:
    study = StudyFactory()
    assert rules.newest(study.pk) is None
    first = rules.set_rules(
        study=study, limits={"face_size_px": {"at_least": 40}}, actor="lead", seen=0
    )
    assert (first.version, first.limits) == (1, {"face_size_px": {"at_least": 40.0}})
    same = rules.set_rules(study=study, limits={"face_size_px": {"at_least": 40.0}}, actor="lead")
    assert same == first
    with pytest.raises(Conflict, match="Somebody else"):
        rules.set_rules(study=study, limits={}, actor="lead", seen=0)
    second = rules.set_rules(study=study, limits={}, actor="lead", seen=1)
    assert rules.newest(study.pk) == second
    entries = AuditEntry.objects.filter(verb="study.quality_rules_set").order_by("seq")
    assert [entry.detail for entry in entries] == [
        {"version": 1, "limits": {"face_size_px": {"at_least": 40.0}}},
        {"version": 2, "limits": {}},
    ]
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        QualityRules.objects.filter(pk=first.pk).update(limits={})


# Judged again


@pytest.fixture
def study(db):
    return StudyFactory()


def judged(study, *, figures: dict[str, Any] | None = None, **fields: Any) -> Recording:
    recording = RecordingFactory(study=study, **fields)
    rules.record(recording, {**GOOD, **(figures or {})})
    return recording


def ask(study, **asked: float) -> None:
    wanted = {key: {FIGURES[key].bound or "at_least": number} for key, number in asked.items()}
    rules.set_rules(study=study, limits=wanted, actor="lead")
    runner.drain()


def stands(recording: Recording) -> tuple[str, str]:
    recording.refresh_from_db()
    return recording.state, Quality.objects.get(recording=recording).verdict


def test_without_thresholds_there_are_figures_and_no_verdict(study) -> None:
    recording = judged(study)
    assert stands(recording) == ("ready", "no_rules")
    assert Quality.objects.get().figures == GOOD


def test_new_thresholds_ask_about_what_falls_short_and_looser_ones_stop_asking(study) -> None:
    good, poor = judged(study), judged(study, figures={"usable_face_share": 0.4})
    ask(study, usable_face_share=0.6)
    assert stands(good) == ("ready", "meets")
    assert stands(poor) == ("attention", "falls_short")
    assert poor.error == (
        "It falls short of the study's thresholds: usable face 40 % (at least 60 %). Watch it, "
        "then use it as it is or leave it out."
    )
    ask(study, usable_face_share=0.5)
    poor.refresh_from_db()
    assert "at least 50 %" in poor.error
    ask(study, usable_face_share=0.3)
    assert stands(poor) == ("ready", "meets")
    assert poor.error == ""
    ask(study)
    assert stands(poor) == ("ready", "no_rules")


def test_what_a_person_accepted_stays_accepted_with_the_reasons(study) -> None:
    poor = judged(study, figures={"usable_face_share": 0.4})
    ask(study, usable_face_share=0.6)
    poor.refresh_from_db()
    services.accept(recording=poor, actor="lead")
    ask(study, usable_face_share=0.7, people=1)
    assert stands(poor) == ("ready", "falls_short")
    assert "at least 70 %" in Quality.objects.get(recording=poor).reasons[0]


def test_what_raters_were_given_is_not_taken_back(study) -> None:
    given = judged(study, figures={"usable_face_share": 0.4})
    assignment = AssignmentFactory(recording=given)
    ask(study, usable_face_share=0.6)
    assert stands(given) == ("ready", "falls_short")
    # Taken back from the rater again, a person may decide.
    type(assignment).objects.filter(pk=assignment.pk).update(state="taken_back")
    ask(study, usable_face_share=0.65)
    assert stands(given) == ("attention", "falls_short")


def test_a_figure_that_is_not_known_never_passes(study) -> None:
    recording = judged(study, figures={"snr_db": undefined("No speech was found.")})
    ask(study, snr_db=10)
    assert stands(recording) == ("attention", "falls_short")
    assert "not measured (at least 10.0 dB)" in recording.error
    assert Quality.objects.get().reasons == [
        (
            "Voice above noise could not be measured, and the study asks for at least 10.0 dB. No "
            "speech was found."
        )
    ]


def test_what_the_faces_ask_is_not_asked_twice(study) -> None:
    nobody = "No face was found in a.mp4. Leave it out."
    recording = judged(
        study,
        state=Recording.State.ATTENTION,
        error=nobody,
        figures={
            "usable_face_share": 0.0,
            "face_size_px": undefined("No face was found."),
            "snr_db": 3.0,
        },
    )
    Stage.objects.create(
        recording=recording, name="faces", version=2, state="done", figures={"decide": nobody}
    )
    ask(study, usable_face_share=0.6, face_size_px=35)
    assert stands(recording) == ("attention", "falls_short")
    assert recording.error == nobody
    assert len(Quality.objects.get().reasons) == 2
    ask(study, usable_face_share=0.6, face_size_px=35, snr_db=10)
    recording.refresh_from_db()
    assert recording.error.startswith(f"{nobody} It falls short of the study's thresholds: voice")
    ask(study)
    recording.refresh_from_db()
    assert (recording.state, recording.error) == ("attention", nobody)


@pytest.mark.parametrize("state", ["failed", "refused", "processing", "received"])
def test_only_what_is_ready_or_needs_a_decision_moves(study, state: str) -> None:
    recording = judged(study, state=state, error="Why.", figures={"usable_face_share": 0.1})
    ask(study, usable_face_share=0.6)
    assert stands(recording) == (state, "falls_short")
    assert recording.error == "Why."


def test_many_are_judged_in_a_handful_of_queries(
    study, monkeypatch, django_assert_max_num_queries
) -> None:
    monkeypatch.setattr(judging, "_AT_ONCE", 7)
    participant = RecordingFactory(study=study).take.participant
    take = {"participant": participant}
    poor = [judged(study, figures={"people": float(n % 3)}, **take) for n in range(21)]
    rules.set_rules(study=study, limits={"people": {"at_most": 1}}, actor="lead")
    heard: list[float] = []
    with django_assert_max_num_queries(4 * 10 + 3 * 7):  # four rounds, and seven that move
        assert judging.judge_all(study, on_progress=heard.append) == 21
    assert heard[-1] == 1.0
    assert heard == sorted(heard)
    states = [stands(recording)[0] for recording in poor]
    assert states == ["ready", "ready", "attention"] * 7
    assert judging.judge_all(study) == 0


@pytest.mark.django_db(transaction=True)
def test_a_recording_measured_while_thresholds_are_set_is_judged_by_them() -> None:
    """Whoever is first, nothing is left judged by what was replaced without a job to judge it."""
    study = StudyFactory()
    recording = RecordingFactory(study=study)
    measured, may_commit = threading.Event(), threading.Event()

    def measure() -> None:
        try:
            with transaction.atomic():
                rules.record(recording, {**GOOD, "people": 4.0})
                measured.set()
                may_commit.wait(20)
        finally:
            connection.close()

    def set_them() -> None:
        try:
            rules.set_rules(study=study, limits={"people": {"at_most": 1}}, actor="lead")
        finally:
            connection.close()

    threads = [threading.Thread(target=measure), threading.Thread(target=set_them)]
    threads[0].start()
    assert measured.wait(20)
    threads[1].start()
    threads[1].join(0.3)
    assert threads[1].is_alive()  # it waits for the recording's verdict
    may_commit.set()
    for thread in threads:
        thread.join(20)
    assert Job.objects.filter(name="recordings.judge_quality", state="queued").count() == 1
    runner.drain()
    assert stands(recording) == ("attention", "falls_short")


@pytest.mark.django_db(transaction=True)
def test_thresholds_set_while_a_job_judges_get_a_job_of_their_own(monkeypatch) -> None:
    study = StudyFactory()
    recording = judged(study, figures={"people": 4.0})
    rules.set_rules(study=study, limits={"people": {"at_most": 1}}, actor="lead")
    whole = judging.judge_all
    versions = itertools.count(2)

    def judge_then_set(study, **more: Any) -> int:
        done = whole(study, **more)
        if next(versions) == 2:
            rules.set_rules(study=study, limits={"people": {"at_most": 5}}, actor="lead")
        return done

    monkeypatch.setattr(judging, "judge_all", judge_then_set)
    assert [job.state for job in runner.drain()] == ["done", "done"]
    assert stands(recording) == ("ready", "meets")
