"""Several views of a take in a real browser: one playhead, each view's own frame, sensor values."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from django.urls import reverse

from tests.e2e.conftest import Visitor
from tests.e2e.moving import FRAMES, READ_NUMBER, coded_video
from tests.factories import AssetFactory, RecordingFactory
from tests.website.conftest import House
from tests.website.material import Material
from waver.core import clock
from waver.recordings.models import Asset, Recording, Take
from waver.recordings.placing import Placing
from waver.recordings.services import receive
from workers import runner
from workers import tasks as tasks  # registers the handlers

pytestmark = pytest.mark.browser

OFFSET_US = 1_234_567
READ_OTHER = READ_NUMBER.replace(
    'document.getElementById("video")', 'document.querySelector(".other-view video")'
)
SHOWN = "document.getElementById('recording').dataset.frame"
OTHER = "document.querySelector('.other-view')"
RATE_HZ = 8


def heart(n: int) -> float:
    return 60 + n % 23 + n / 1000


@pytest.fixture(scope="session")
def other_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coded_video(tmp_path_factory.mktemp("other"), rate=Fraction(25))


@pytest.fixture
def views(material: Material, other_film: Path, tmp_path: Path) -> Recording:
    """Add a second camera of another rate, begun later, and a sensor, begun earlier."""
    webcam = material.recording
    Take.objects.filter(pk=webcam.take_id).update(
        name="T1", capture_condition="under-display camera"
    )
    facts = json.loads((other_film / "facts.json").read_text(encoding="utf-8"))
    rate = Fraction(facts["rate"])
    assert rate == 25
    side = RecordingFactory(
        take=webcam.take, view=Recording.View.SECOND_CAMERA, offset_us=OFFSET_US,
        occlusion=Recording.Occlusion.HEAD_MOUNTED_DISPLAY,
        rate_numerator=25, rate_denominator=1, frame_count=facts["frames"],
        duration_us=clock.frame_us(facts["frames"], rate),
        width=facts["width"], height=facts["height"], original_name="side.mp4",
    )  # fmt: skip
    AssetFactory(recording=side, data=(other_film / "proxy.mp4").read_bytes())
    table = tmp_path / "wrist.csv"
    table.write_text(
        "heart rate [bpm],skin conductance [µS]\n"
        + "".join(f"{heart(n)},{'' if 20 < n < 40 else n / 64}\n" for n in range(80))
    )
    take = Take.objects.get(pk=webcam.take_id)
    receive(
        study=webcam.study, source=table, original_name="wrist.csv",
        participant_code=webcam.participant.code, prompt_order=take.prompt.order,
        recorded_at=take.recorded_at, actor="tests",
        placing=Placing("T1", "physiology", -500_000, condition="under-display camera",
                        sensors={"rate": str(RATE_HZ)}),
    )  # fmt: skip
    assert [job.state for job in runner.drain()] == ["done"]
    return side


def open_page(visitor: Visitor, house: House, recording: Recording) -> None:
    visitor.sign_in(house.people["lead"].username)
    visitor.open(reverse("website:recording", args=["voices", recording.pk]))
    visitor.until("document.getElementById('recording').dataset.ready === 'yes'")
    visitor.until("document.getElementById('video').readyState >= 3")
    visitor.until(f"{OTHER}.querySelector('video').readyState >= 3")


def go_to(visitor: Visitor, rate: Fraction, frame: int) -> int:
    """Go to a frame by the page's own buttons; give the time at which it begins."""
    us = clock.frame_us(frame, rate)
    visitor.page.evaluate(
        "(us) => { const button = document.createElement('button'); button.dataset.seekUs = us;"
        " document.body.append(button); button.click(); button.remove(); }", us,
    )  # fmt: skip
    visitor.until(f"{SHOWN} === '{frame}' && !document.getElementById('video').seeking")
    return us


def check_other(visitor: Visitor, us: int, offset_us: int, rate: Fraction) -> None:
    expected = clock.frame_at(us - offset_us, rate)
    visitor.until(f"{OTHER}.dataset.there === 'yes' && {OTHER}.dataset.frame === '{expected}'")
    visitor.until(f"!{OTHER}.querySelector('video').seeking")
    assert visitor.page.evaluate(READ_OTHER) == expected
    assert f"frame {expected}" in visitor.page.inner_text(".other-view output")


def test_the_other_view_shows_the_frame_of_the_same_moment(
    visitor: Visitor, house: House, material: Material, views: Recording
):
    webcam = material.recording
    rate = webcam.rate
    open_page(visitor, house, webcam)
    assert "Not recording yet" in visitor.page.inner_text(".other-view")
    for frame in (37, 38, 100, 101, 102, 239, 150):
        check_other(visitor, go_to(visitor, rate, frame), OFFSET_US, Fraction(25))
    visitor.page.keyboard.press("ArrowRight")  # the keyboard is on the take's clock
    visitor.until(f"{SHOWN} === '151'")
    check_other(visitor, clock.frame_us(151, rate), OFFSET_US, Fraction(25))
    visitor.page.keyboard.press("Shift+ArrowLeft")
    visitor.until(f"{SHOWN} === '121'")
    check_other(visitor, clock.frame_us(121, rate), OFFSET_US, Fraction(25))
    go_to(visitor, rate, 36)  # 1.2012 s: the last frame before the other begins
    visitor.until(f"{OTHER}.dataset.there === 'no'")
    assert visitor.problems == []


def test_on_the_other_view_s_page_the_webcam_follows(
    visitor: Visitor, house: House, material: Material, views: Recording
):
    open_page(visitor, house, views)
    for frame in (0, 1, 77):
        us = go_to(visitor, Fraction(25), frame)
        check_other(visitor, us, -OFFSET_US, material.recording.rate)
    go_to(visitor, Fraction(25), FRAMES - 1)  # the webcam has ended by then
    visitor.until(f"{OTHER}.dataset.there === 'no'")
    assert "No longer recording" in visitor.page.inner_text(".other-view")
    facts = visitor.page.inner_text(".facts")
    assert "Head-mounted display" in facts
    assert "under-display camera" in facts
    assert "begins 1.234567 s after the webcam" in facts


def test_playing_keeps_the_views_together(
    visitor: Visitor, house: House, material: Material, views: Recording
):
    open_page(visitor, house, material.recording)
    go_to(visitor, material.recording.rate, 60)
    visitor.page.keyboard.press(" ")
    visitor.until(f"Number({SHOWN}) > 120")
    visitor.page.keyboard.press("k")
    visitor.until("document.getElementById('video').paused")
    visitor.until(f"{OTHER}.querySelector('video').paused")
    visitor.until("!document.getElementById('video').seeking")
    frame = int(visitor.page.evaluate(SHOWN))
    us = clock.frame_us(frame, material.recording.rate)
    check_other(visitor, us, OFFSET_US, Fraction(25))
    drift = visitor.page.evaluate(f"{OTHER}.dataset.driftUs")
    assert drift is not None
    assert abs(int(drift)) < 150_000
    assert visitor.problems == []


def now_of(visitor: Visitor, place: int) -> str:
    return str(visitor.page.inner_text(f"#sensors tbody tr:nth-child({place}) [data-is=now]"))


def test_the_value_at_the_playhead_is_the_file_s(
    visitor: Visitor, house: House, material: Material, views: Recording
):
    rate = material.recording.rate
    open_page(visitor, house, material.recording)
    visitor.until("document.getElementById('recording').dataset.sensors === 'shown'")
    for frame in (0, 1, 59, 60, 61, 200):
        us = go_to(visitor, rate, frame)
        n = (us + 500_000) * RATE_HZ // 1_000_000
        expected = f"{heart(n):.6g}"
        cell = "document.querySelector('#sensors tbody tr:nth-child(1) [data-is=now]').textContent"
        visitor.until(f"{cell} === '{expected}'")
        assert now_of(visitor, 2) == ("–" if 20 < n < 40 else f"{n / 64:.6g}")
        beside = visitor.page.inner_text("#timeline-names")
        assert f"{expected} bpm" in beside
    go_to(visitor, rate, 30)
    for _ in range(3):
        visitor.page.keyboard.press("+")
    visitor.until(
        "!document.getElementById('sensors-stretch').textContent.startsWith('0:00.000 to')"
    )
    drawn = visitor.page.inner_text("#sensors-stretch")
    assert "to" in drawn
    link = visitor.page.get_attribute("#sensors-csv", "href")
    table = visitor.page.evaluate("(link) => fetch(link).then((answer) => answer.text())", link)
    lines = table.splitlines()
    assert lines[0] == "channel,unit,time_us,value"
    first = lines[1].split(",")
    n = (int(first[2]) + 500_000) * RATE_HZ // 1_000_000
    assert first == ["heart rate", "bpm", str(n * 1_000_000 // RATE_HZ - 500_000), str(heart(n))]
    samples = visitor.page.inner_text("#sensors tbody tr:nth-child(1) [data-is=samples]")
    assert sum(line.startswith("heart rate") for line in lines) == int(samples)
    assert visitor.problems == []


def test_a_sensor_s_own_page_draws_it_alone(
    visitor: Visitor, house: House, material: Material, views: Recording
):
    row = Recording.objects.get(view=Recording.View.PHYSIOLOGY)
    visitor.sign_in(house.people["lead"].username)
    visitor.open(reverse("website:recording", args=["voices", row.pk]))
    visitor.until("document.getElementById('recording').dataset.ready === 'yes'")
    visitor.until("document.getElementById('recording').dataset.sensors === 'shown'")
    assert "Sensors have no picture." in visitor.page.inner_text("main")
    visitor.page.focus("#timeline")
    visitor.page.keyboard.press("Shift+ArrowRight")
    cell = "document.querySelector('#sensors tbody tr:nth-child(1) [data-is=now]').textContent"
    visitor.until(f"{cell} === '{heart(8):.6g}'")
    assert visitor.problems == []
    assert Asset.objects.filter(recording=row, kind=Asset.Kind.SIGNALS).exists()
