"""Sensors from the file to the page: the stage, the clock of another view, stretches, CSV."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.recordings.conftest import stored_bytes
from waver.consent import services as consent
from waver.consent.withdrawal import restrict
from waver.core.clock import Span
from waver.core.errors import BadInput, ConsentRefused
from waver.core.models import Blob, Job
from waver.recordings import services, signals
from waver.recordings.corrections import correct
from waver.recordings.models import Recording, SensorChannel
from waver.recordings.placing import Placing
from waver.recordings.timeline import timeline
from workers import runner

pytestmark = pytest.mark.django_db

TABLE = "heart rate [bpm],=EDA [µS]\n" + "".join(
    f"{60 + n % 7},{'' if n == 3 else n / 100}\n" for n in range(400)
)


@pytest.fixture
def webcam(study, receive, tmp_path):
    """Give a webcam whose proxy is there, in a take with a name."""
    path = tmp_path / "front.mp4"
    path.write_text("a webcam's bytes")
    row = receive(path, placing=Placing(take="T1"))
    Recording.objects.filter(pk=row.pk).update(
        state=Recording.State.READY, duration_us=60_000_000, frame_count=1800,
        rate_numerator=30, rate_denominator=1, width=640, height=480,
    )  # fmt: skip
    row.stages.update(state="done")
    row.refresh_from_db()
    Job.objects.all().delete()
    return row


@pytest.fixture
def wrist(webcam, receive, tmp_path):
    path = tmp_path / "wrist.csv"
    path.write_text(TABLE, encoding="utf-8")
    placing = Placing("T1", "physiology", -1_500_000, sensors={"rate": "4"})
    row = receive(path, placing=placing)
    assert [job.state for job in runner.drain()] == ["done"]
    row.refresh_from_db()
    return row


def test_a_sensor_file_is_read_by_its_own_stage(wrist):
    assert wrist.state == Recording.State.READY, wrist.error
    assert {s.name for s in wrist.stages.all()} == {"signals"}
    assert wrist.duration_us == 100_000_000
    heart, skin = wrist.sensor_channels.all()
    assert (heart.name, heart.unit, heart.rate_numerator, heart.rate_denominator) == (
        "heart rate", "bpm", 4, 1,
    )  # fmt: skip
    assert (heart.samples, heart.minimum, heart.maximum) == (400, 60, 66)
    assert (skin.missing, skin.start_us, skin.end_us) == (1, 0, 100_000_000)
    made = {asset.kind: asset.made_by for asset in wrist.assets.all()}
    assert set(made) == {"original", "signals", "signal_outline"}
    assert made["signals"]["parameters"] == {"rate": "4"}


def test_the_timeline_of_another_view_has_them_on_its_clock(webcam, wrist):
    drawn = timeline(webcam)
    json.dumps(drawn)
    heart, _ = drawn["sensors"]
    assert (heart["name"], heart["rate"]) == ("heart rate", [4, 1])
    assert (heart["start_us"], heart["end_us"]) == (-1_500_000, 98_500_000)
    assert heart["outline"]["start_us"] == -1_500_000
    own = timeline(wrist)
    assert own["sensors"][0]["start_us"] == 0
    assert own["view"] == "physiology"


def test_a_stretch_gives_exact_samples_with_the_one_that_stands_before(webcam, wrist):
    (heart, skin) = signals.stretches(webcam, 0, 1_000_000, actor="tests")
    drawn = signals.drawing(heart, 0, 1_000_000, buckets=100)
    assert drawn["time_us"] == [0, 250_000, 500_000, 750_000]
    assert drawn["value"] == [66, 60, 61, 62]  # samples 6 to 9
    assert drawn["before"] == [-250_000, 65]
    assert drawn["summary"] == {"samples": 4, "missing": 0, "low": 60, "mean": 62.25, "high": 66}
    early = signals.drawing(
        next(s for s in signals.stretches(webcam, -2_000_000, 0, actor="tests")
             if s.of.channel.number == 1), -2_000_000, 0, buckets=100,
    )  # fmt: skip
    assert early["before"] is None
    assert early["value"][3] is None
    assert early["summary"]["missing"] == 1
    assert skin.of.channel.name == "=EDA"


def test_many_samples_are_drawn_by_their_extremes(webcam, receive, tmp_path):
    path = tmp_path / "fast.csv"
    path.write_text("x [mV]\n" + "".join(f"{n % 500}\n" for n in range(70_000)))
    receive(path, placing=Placing("T1", "physiology", 0, sensors={"rate": "1000"}))
    runner.drain()
    (one,) = signals.stretches(webcam, 500_000, 69_500_000, actor="tests")
    drawn = signals.drawing(one, 500_000, 69_500_000, buckets=69)
    assert (drawn["bucket_us"], len(drawn["low"])) == (1_000_000, 69)
    assert set(drawn["low"]) == {0}
    assert set(drawn["high"]) == {499}
    # The sample before a stretch is found where it stands in an earlier row group too.
    (late,) = signals.stretches(webcam, 65_536_000, 65_537_000, actor="tests")
    assert late.before == (65_535_000, 65_535 % 500)
    assert late.time_us.tolist() == [65_536_000]


def test_a_table_holds_every_sample_and_no_formula(webcam, wrist):
    text = "".join(signals.csv_lines(webcam, -1_000_000, -500_000, actor="tests"))
    rows = list(csv.reader(io.StringIO(text)))
    assert rows == [
        ["heart rate", "bpm", "-1000000", "62.0"],
        ["heart rate", "bpm", "-750000", "63.0"],
        ["'=EDA", "µS", "-1000000", "0.02"],
        ["'=EDA", "µS", "-750000", ""],
    ]
    with pytest.raises(BadInput, match="ends after it starts"):
        list(signals.stretches(webcam, 5, 5, actor="tests"))


def test_consent_is_asked_and_a_restricted_stretch_is_no_table(webcam, wrist):
    restrict(
        participant=webcam.participant, recording_id=webcam.pk, reason="A name is said.",
        span=Span(1_000_000, 2_000_000), actor="tests",
    )  # fmt: skip
    with pytest.raises(ConsentRefused, match="A name is said"):
        list(signals.csv_lines(webcam, 0, 3_000_000, actor="tests"))
    assert "".join(signals.csv_lines(webcam, 3_000_000, 3_500_000, actor="tests"))
    # Nor by way of the sensors' own page: their 0 lies 1.5 s before the webcam's.
    assert "".join(signals.csv_lines(wrist, 0, 2_500_000, actor="tests"))
    with pytest.raises(ConsentRefused, match="A name is said"):
        list(signals.csv_lines(wrist, 0, 2_600_000, actor="tests"))
    consent.withdraw(participant=webcam.participant, actor="tests")
    for use in (
        lambda: list(signals.stretches(webcam, 0, 10, actor="tests")),
        lambda: list(signals.csv_lines(webcam, 3_000_000, 4_000_000, actor="tests")),
    ):
        with pytest.raises(ConsentRefused, match="withdrawn"):
            use()


def test_a_bad_file_gets_a_sentence_keeps_nothing_and_can_be_described_anew(
    webcam, receive, tmp_path, stack
):
    path = tmp_path / "wrist.csv"
    path.write_text("a,b\n1,2\n3,4\n")
    placing = Placing("T1", "physiology", 0)
    row = receive(path, placing=placing)
    assert [job.state for job in runner.drain()] == ["failed"]
    row.refresh_from_db()
    assert row.state == Recording.State.FAILED
    assert "wrist.csv has no column “time”, and no rate is given" in row.error
    assert {a.kind for a in row.assets.all()} == {"original"}
    assert stored_bytes(stack) == set(Blob.objects.values_list("sha256", flat=True))
    webcam.refresh_from_db()
    assert webcam.state == Recording.State.READY
    said = correct(
        recording=row, actor="tests", placing=Placing("T1", "physiology", 0, sensors={"rate": "2"})
    )
    assert "its sensors are described anew" in said
    assert [job.state for job in runner.drain()] == ["done"]
    row.refresh_from_db()
    assert (row.state, row.error) == (Recording.State.READY, "")
    assert row.sensor_channels.count() == 2


def test_reading_again_replaces_and_is_skipped_when_nothing_changed(wrist):
    before = set(wrist.assets.values_list("pk", flat=True))
    services.prepare(wrist)
    runner.drain()
    assert set(wrist.assets.values_list("pk", flat=True)) == before
    correct(recording=wrist, actor="tests",
            placing=Placing("T1", "physiology", -1_500_000, sensors={"rate": "8"}))  # fmt: skip
    runner.drain()
    assert wrist.stages.get().runs == 2
    assert SensorChannel.objects.count() == 2
    assert wrist.sensor_channels.first().rate_numerator == 8


def test_channels_belong_to_their_recording_and_go_with_it(wrist):
    wrist.assets.all().delete()
    Recording.objects.filter(pk=wrist.pk).delete()
    assert not SensorChannel.objects.exists()


def test_a_second_camera_needs_no_face_but_a_webcam_does():
    from types import SimpleNamespace

    from workers.tasks.recordings import _decision_about_faces

    found = SimpleNamespace(share_with_face=0, people=0, tracks=[])
    webcam = Recording(original_name="a.mp4")
    side = Recording(original_name="b.mp4", view=Recording.View.SECOND_CAMERA)
    assert "No face was found in a.mp4" in _decision_about_faces(found, webcam)
    assert _decision_about_faces(found, side) == ""
    found.people = 2
    assert "2 people are seen in b.mp4" in _decision_about_faces(found, side)
