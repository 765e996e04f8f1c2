"""Several views of one take: the manifest's columns, the take they share, placing them anew."""

from __future__ import annotations

import re
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import IntegrityError
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import RECORDED_AT, RecordingFactory, consented_participant
from tests.recordings.clips import write_manifest
from waver.core import holders
from waver.core.errors import BadInput, Conflict, Missing
from waver.core.models import AuditEntry
from waver.recordings.import_folder import Result, import_folder
from waver.recordings.manifest import read_manifest
from waver.recordings.models import Asset, Recording, Take
from waver.recordings.placing import Placing, exact_number, read_placing
from waver.recordings.takes import notes_of

WHEN = "2024-03-01T10:00:00Z"
HEADER = (
    "file,participant,prompt,recorded_at,take,view,offset_ms,occlusion,condition,rate,channels,unit"
)
FILES = ("front.mp4", "side.mp4", "depth.mkv", "wrist.csv")
ROWS = (
    f"wrist.csv,P1,1,{WHEN},T1,physiology,-250.5,,under-display camera,4,heart rate | EDA [µS],bpm",
    f"side.mp4,P1,1,{WHEN},T1,Second camera,1250,,under-display camera,,,",
    f"front.mp4,P1,1,{WHEN},T1,,,head-mounted display,under-display camera,,,",
    f"depth.mkv,P1,1,{WHEN},T1,depth,,,under-display camera,,,",
)


@pytest.fixture
def folder(tmp_path):
    for name in (*FILES, "other.mp4"):
        (tmp_path / name).write_text(f"bytes of {name}")
    return tmp_path


@pytest.fixture
def ready(study, stack):
    for code in ("P1", "P2"):
        consented_participant(study, code=code)
    return study


def imported(study, folder, *rows):
    write_manifest(folder, *rows, header=HEADER)
    return {
        outcome.file: outcome
        for outcome in import_folder(study=study, folder=folder, actor="tests")
        if outcome.line is not None
    }


@pytest.mark.django_db
def test_a_take_holds_every_view_in_its_place(ready, folder):
    outcomes = imported(ready, folder, *ROWS)
    assert {o.result for o in outcomes.values()} == {Result.IMPORTED}
    assert next(iter(outcomes)) == "front.mp4"  # the others are placed on its clock
    take = Take.objects.get()
    assert (take.name, take.capture_condition) == ("T1", "under-display camera")
    views = {row.original_name: row for row in take.recordings.all()}
    assert {name: (row.view, row.offset_us, row.occlusion) for name, row in views.items()} == {
        "front.mp4": ("webcam", 0, "head_mounted_display"),
        "side.mp4": ("second_camera", 1_250_000, ""),
        "depth.mkv": ("depth", 0, ""),
        "wrist.csv": ("physiology", -250_500, ""),
    }
    wrist = views["wrist.csv"].assets.get(kind=Asset.Kind.ORIGINAL)
    assert wrist.media_type == "text/csv"
    assert wrist.made_by["parameters"] == {
        "offset_us": -250_500,
        "sensors": {"rate": "4", "channels": "heart rate | EDA [µS]", "unit": "bpm"},
    }
    assert "placed as if it began together" in notes_of(views["depth.mkv"])[0]
    assert [notes_of(views[name]) for name in ("front.mp4", "side.mp4", "wrist.csv")] == [[]] * 3
    stages = {row.original_name: {s.name for s in row.stages.all()} for row in views.values()}
    assert stages["depth.mkv"] == {"normalise"}
    assert {"normalise", "faces", "speech"} <= stages["side.mp4"]
    assert "cues" not in stages["side.mp4"]


@pytest.mark.django_db
def test_importing_again_finds_each_view_and_corrects_only_what_is_said_of_it(ready, folder):
    imported(ready, folder, *ROWS)
    again = imported(ready, folder, *ROWS)
    assert {o.result for o in again.values()} == {Result.THERE_ALREADY}
    changed = [row.replace("1250", "1500.5") for row in ROWS]
    outcomes = imported(ready, folder, *changed)
    assert outcomes["side.mp4"].result is Result.CORRECTED
    assert "begins at 0:01.501 on the webcam's clock" in outcomes["side.mp4"].sentence
    assert {o.result for name, o in outcomes.items() if name != "side.mp4"} == {
        Result.THERE_ALREADY
    }
    assert Recording.objects.get(original_name="side.mp4").offset_us == 1_500_500
    assert AuditEntry.objects.filter(verb="recording.placed").count() == 1
    # An offset that is said to be 0 is no longer missing.
    imported(ready, folder, *(row.replace("depth,,", "depth,0,") for row in changed))
    assert notes_of(Recording.objects.get(original_name="depth.mkv")) == []


@pytest.mark.django_db
def test_the_command_counts_what_was_corrected(ready, folder):
    imported(ready, folder, *ROWS)
    write_manifest(folder, *(row.replace("1250", "1300") for row in ROWS), header=HEADER)
    out, err = StringIO(), StringIO()
    call_command("import_recordings", "s", str(folder), stdout=out, stderr=err)
    assert out.getvalue() == "0 imported, 3 there already, 1 corrected, 1 refused.\n"
    assert "side.mp4 was there already; corrected: it begins at 0:01.300" in err.getvalue()
    assert "Refused: other.mp4 has no line" in err.getvalue()


@pytest.mark.django_db
def test_the_same_file_as_another_view_or_take_is_no_longer_there_already(ready, folder):
    imported(ready, folder, *ROWS)
    other = imported(ready, folder, *(row.replace("second_camera", "depth") for row in ROWS[2:3]))
    assert other["front.mp4"].result is Result.THERE_ALREADY
    moved = imported(
        ready,
        folder,
        f"front.mp4,P1,1,{WHEN},T2,,,,,,,",
        f"side.mp4,P1,1,{WHEN},T1,depth,,,under-display camera,,,",
    )
    assert {o.result for o in moved.values()} == {Result.REFUSED}
    assert Recording.objects.count() == 4


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("rows", "file", "says"),
    [
        ([f"side.mp4,P1,1,{WHEN},T1,second_camera,,,,,,"], "side.mp4", "has no webcam"),
        ([f"wrist.csv,P1,1,{WHEN},T1,physiology,,,,4,,"], "wrist.csv", "has no webcam"),
        (
            [f"front.mp4,P1,1,{WHEN},T1,,,,,,,", f"side.mp4,P2,1,{WHEN},T1,second_camera,,,,,,"],
            "side.mp4",
            "with the same participant and take",
        ),
        (
            [f"front.mp4,P1,1,{WHEN},T1,,,,,,,", f"other.mp4,P1,1,{WHEN},T1,webcam,,,,,,"],
            "other.mp4",
            "has a webcam already, front.mp4",
        ),
    ],
)
def test_what_does_not_fit_its_take_is_refused_and_the_rest_goes_on(
    ready, folder, rows, file, says
):
    outcomes = imported(ready, folder, *rows)
    assert outcomes[file].result is Result.REFUSED
    assert says in outcomes[file].sentence
    rest = {o.result for name, o in outcomes.items() if name != file}
    assert rest <= {Result.IMPORTED}
    assert Take.objects.count() == len(rest)
    assert not Recording.objects.filter(original_name=file).exists()


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ("T1,third eye,,,,,,", "The view of a.mp4, “third eye”, is not known"),
        (",second_camera,,,,,,", "names no take"),
        ("T1,webcam,20,,,,,", "cannot begin at an offset"),
        ("T1,depth,soon,,,,,", "“soon”, is no number"),
        ("T1,depth,0.0001,,,,,", "finer than a microsecond"),
        ("T1,depth,99999999,,,,,", "longer than a day"),
        ("T1,depth,,sunglasses,,,,", "The occlusion of a.mp4, “sunglasses”, is not known"),
        ("T1,depth,,,,4,,", "describe sensors, but a.mp4 is a depth camera"),
        (f"{'T' * 81},depth,,,,,,", "81 characters"),
    ],
)
def test_a_bad_cell_is_a_sentence(tmp_path, cells, says):
    (tmp_path / "a.mp4").touch()
    write_manifest(tmp_path, f"a.mp4,P1,1,{WHEN},{cells}", header=HEADER)
    (problem,) = read_manifest(tmp_path).problems
    assert says in problem.sentence


def test_rows_of_one_take_share_their_records(tmp_path):
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (tmp_path / name).touch()
    write_manifest(
        tmp_path,
        f"a.mp4,P1,1,{WHEN},T1,,,,lit,,,",
        f"b.mp4,P1,2,{WHEN},T1,depth,,,lit,,,",
        f"c.mp4,P1,1,{WHEN},T1,depth,,,dark,,,",
        header=HEADER,
    )
    read = read_manifest(tmp_path)
    assert [row.file for row in read.rows] == ["a.mp4"]
    first, second = (problem.sentence for problem in read.problems)
    assert "b.mp4 has another prompt than line 2" in first
    assert "c.mp4 has another condition than line 2" in second


def test_an_edf_file_that_no_line_names_is_told_about(tmp_path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "chest.edf").touch()
    write_manifest(tmp_path, f"a.mp4,P1,1,{WHEN}")
    (problem,) = read_manifest(tmp_path).problems
    assert problem.sentence.startswith("chest.edf has no line")


def test_two_units_for_one_offset_are_refused():
    with pytest.raises(BadInput, match="only one of the two"):
        read_placing("a.mp4", {"take": "T", "view": "depth", "offset_ms": "1", "offset_s": "1"})


@given(st.integers(-86_400_000_000, 86_400_000_000), st.booleans())
def test_an_offset_is_exact_to_the_microsecond(us, comma):
    text = f"{'-' if us < 0 else ''}{abs(us) // 1000}.{abs(us) % 1000:03d}"
    written = text.replace(".", ",") if comma else text
    placing = read_placing("a", {"take": "T", "view": "depth", "offset_ms": written})
    assert placing.offset_us == us


@pytest.mark.parametrize(
    "text", ["1e9", "0x10", "1.2.3", "nan", "inf", "1/0", "", "9" * 31, "1 000"]
)
def test_what_is_no_plain_number_is_none(text):
    assert exact_number(text) is None


@pytest.mark.django_db
def test_the_database_holds_one_webcam_per_take():
    row = RecordingFactory()
    with pytest.raises(IntegrityError, match="recording_one_webcam_per_take"):
        RecordingFactory(take=row.take)


@pytest.mark.django_db
def test_receiving_into_a_take_compares_with_what_is_there(receive, folder):
    receive(folder / "front.mp4", placing=Placing(take="T1"))
    with pytest.raises(Conflict, match=r"The recording time of side\.mp4"):
        receive(
            folder / "side.mp4",
            placing=Placing(take="T1", view="second_camera"),
            recorded_at=RECORDED_AT + timedelta(minutes=1),
        )
    with pytest.raises(Missing, match="has no webcam"):
        receive(folder / "side.mp4", placing=Placing(take="T2", view="second_camera"))
    assert not Take.objects.filter(name="T2").exists()


@pytest.mark.django_db(transaction=True)
def test_a_withdrawal_takes_every_view_along(ready, folder):
    imported(ready, folder, *ROWS)
    participant = ready.participants.get(code="P1")
    for holder in holders.all_holders():
        holder.erase(participant.pk)
    assert not Recording.objects.exists()
    assert not Take.objects.exists()
    left = (holder.verify_absent(participant.pk) for holder in holders.all_holders())
    assert {held.kind for found in left for held in found} <= {"participant"}


def test_the_guides_example_is_read_as_it_stands(tmp_path):
    guide = Path(__file__).parents[2] / "docs" / "takes.md"
    manifest, table = re.findall(r"```csv\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "manifest.csv").write_text(manifest, encoding="utf-8")
    for line in manifest.splitlines()[1:]:
        (tmp_path / line.split(",")[0]).touch()
    read = read_manifest(tmp_path)
    assert read.problems == ()
    assert [(row.placing.view, row.placing.offset_us) for row in read.rows] == [
        ("webcam", None), ("second_camera", 1_250_500), ("depth", -40_000),
        ("physiology", -2_500_000), ("physiology", 130_000), ("webcam", None),
    ]  # fmt: skip
    from workers.signals.description import Description
    from workers.signals.extract import extract

    assert Description.read(**read.rows[3].placing.sensors).channels[1] == (
        "skin conductance", "µS",
    )  # fmt: skip
    (tmp_path / "wrist.csv").write_text(table, encoding="utf-8")
    found = extract(tmp_path / "wrist.csv", tmp_path)
    assert [one.channel.unit for one in found.channels] == ["bpm", "µS"]
    assert found.figures["missing_samples"] == 1
