from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tests.factories import RECORDED_AT, consented_participant
from tests.recordings.clips import write_manifest
from waver.core.errors import BadInput
from waver.recordings.import_folder import Result, import_folder
from waver.recordings.manifest import read_manifest
from waver.recordings.models import Recording

pytestmark = pytest.mark.django_db

WHEN = "2024-03-01T10:00:00Z"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "recordings"
    made.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (made / name).write_text(f"bytes of {name}")
    return made


@pytest.fixture
def ready(study, stack):
    for code in ("P1", "P2"):
        consented_participant(study, code=code)
    return study


def test_rows_are_read_with_their_times(folder):
    write_manifest(folder, f"a.mp4,P1,1,{WHEN}", "b.mp4,P2,,2024-03-01T11:00:00+01:00")
    first, second = read_manifest(folder).rows
    assert (first.line, first.participant, first.prompt) == (2, "P1", 1)
    assert second.prompt is None
    assert first.recorded_at == second.recorded_at == RECORDED_AT


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "There is no manifest"),
        ("", "is empty"),
        ("file,prompt\na.mp4,1\n", "lacks the columns participant, recorded_at"),
        ("file,participant,prompt,recorded_at\n", "names no recording"),
        (b"file,participant,prompt,recorded_at\n\xff\xfe\n", "UTF-8"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused_as_a_whole(folder, content, says):
    path = folder / "manifest.csv"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.write_text(content)
    with pytest.raises(BadInput, match=says):
        read_manifest(folder)


def test_a_spreadsheet_s_semicolons_byte_order_mark_and_blank_lines_are_understood(folder):
    text = f"\ufefffile;participant;prompt;recorded_at\n\na.mp4;P1;1;{WHEN}\n;;;\n"
    (folder / "manifest.csv").write_text(text, encoding="utf-8")
    (row,) = read_manifest(folder).rows
    assert (row.file, row.line) == ("a.mp4", 3)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (f"missing.mp4,P1,1,{WHEN}", "There is no file “missing.mp4”"),
        (f"../secret.mp4,P1,1,{WHEN}", "leads out of the folder"),
        (f"/etc/passwd,P1,1,{WHEN}", "leads out of the folder"),
        (f"outside.mp4,P1,1,{WHEN}", "leads out of the folder"),
        (f",P1,1,{WHEN}", "No file is named"),
        (f"a.mp4,,1,{WHEN}", "names no participant"),
        (f"a.mp4,P1,first,{WHEN}", "is no number"),
        ("a.mp4,P1,1,yesterday", "is no date and time"),
        ("a.mp4,P1,1,2024-03-01 10:00", "has no time zone"),
        ("a.mp4,P1,1,2024-03-01", "has no time zone"),
    ],
)
def test_a_bad_line_is_named_by_number_and_stops_no_other(folder, row, says):
    (folder.parent / "secret.mp4").write_text("not yours")
    (folder / "outside.mp4").symlink_to(folder.parent / "secret.mp4")
    write_manifest(folder, f"b.mp4,P2,1,{WHEN}", row)
    read = read_manifest(folder)
    assert [good.file for good in read.rows] == ["b.mp4"]
    problem = next(p for p in read.problems if p.line is not None)
    assert problem.sentence.startswith("Line 3: ")
    assert says in problem.sentence


def test_a_file_named_twice_is_refused_the_second_time(folder):
    write_manifest(folder, f"a.mp4,P1,1,{WHEN}", f"./a.mp4,P2,1,{WHEN}", f"b.mp4,P2,1,{WHEN}")
    read = read_manifest(folder)
    assert [row.line for row in read.rows] == [2, 4]
    assert "stands in line 2 already" in read.problems[0].sentence


def test_a_video_without_a_line_is_told_about(folder):
    (folder / "notes.txt").write_text("no recording")
    write_manifest(folder, f"a.mp4,P1,1,{WHEN}")
    (problem,) = read_manifest(folder).problems
    assert problem.sentence.startswith("b.mp4 has no line in manifest.csv")


def test_one_refused_file_stops_no_other(ready, folder):
    write_manifest(folder, f"a.mp4,P9,1,{WHEN}", f"b.mp4,P2,1,{WHEN}")
    seen = []
    outcomes = import_folder(study=ready, folder=folder, actor="tests", on_result=seen.append)
    assert seen == outcomes
    assert [(o.file, o.result) for o in outcomes] == [
        ("a.mp4", Result.REFUSED),
        ("b.mp4", Result.IMPORTED),
    ]
    assert outcomes[0].sentence.startswith("Line 2: a.mp4: The study “Hesitation” has no")


def test_a_refused_file_stays_on_the_study_until_it_comes_in(ready, folder):
    write_manifest(folder, "a.mp4,P1,1,", f"b.mp4,P9,1,{WHEN}")
    import_folder(study=ready, folder=folder, actor="tests")
    first, second = ready.refused_files.order_by("file")
    assert "has no recording time" in first.sentence
    assert (first.participant.code, second.participant) == ("P1", None)
    write_manifest(folder, f"a.mp4,P1,1,{WHEN}", f"b.mp4,P9,1,{WHEN}")
    import_folder(study=ready, folder=folder, actor="tests")
    assert [row.file for row in ready.refused_files.all()] == ["b.mp4"]


def test_a_second_import_finds_everything_there_already(ready, folder):
    write_manifest(folder, f"a.mp4,P1,1,{WHEN}", f"b.mp4,P2,,{WHEN}")
    import_folder(study=ready, folder=folder, actor="tests")
    again = import_folder(study=ready, folder=folder, actor="tests")
    assert {outcome.result for outcome in again} == {Result.THERE_ALREADY}
    assert Recording.objects.count() == 2


def test_the_same_bytes_for_somebody_else_are_a_duplicate(ready, folder):
    (folder / "b.mp4").write_bytes((folder / "a.mp4").read_bytes())
    write_manifest(folder, f"a.mp4,P1,1,{WHEN}", f"b.mp4,P2,1,{WHEN}")
    first, second = import_folder(study=ready, folder=folder, actor="tests")
    assert first.result is Result.IMPORTED
    assert second.result is Result.REFUSED
    assert "same bytes as a.mp4 of P1" in second.sentence


def run(*arguments) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("import_recordings", *map(str, arguments), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_command_tells_of_each_refusal_and_succeeds_if_something_came_in(ready, folder):
    write_manifest(folder, f"a.mp4,P1,1,{WHEN}", "b.mp4,P2,1,")
    out, err = run("s", folder)
    assert out == "1 imported, 0 there already, 1 refused.\n"
    assert "Refused: Line 3: b.mp4: A recording of P2 has no recording time" in err
    out, _ = run("s", folder, "--manifest", folder / "manifest.csv")
    assert out.startswith("0 imported, 1 there already")


@pytest.mark.parametrize(
    ("study_code", "rows", "says"),
    [
        ("other", (f"a.mp4,P1,1,{WHEN}",), "There is no study “other”. Studies here: s."),
        ("s", ("a.mp4,P1,1,",), "Nothing could be imported"),
        ("s", (), "names no recording"),
    ],
)
def test_the_command_fails_when_nothing_came_in(ready, folder, study_code, rows, says):
    write_manifest(folder, *rows)
    with pytest.raises(CommandError, match=says):
        run(study_code, folder)
    assert not Recording.objects.exists()


def test_what_is_spoken_may_stand_in_a_column_of_its_own(ready, folder):
    ready.languages = ["en", "fr"]
    ready.save()
    (folder / "manifest.csv").write_text(
        "file,participant,prompt,recorded_at,language\n"
        f"a.mp4,P1,,{WHEN},fr\nb.mp4,P2,,{WHEN},tlh\n",
        encoding="utf-8",
    )
    taken, refused = import_folder(study=ready, folder=folder, actor="tests")
    assert taken.recording is not None
    assert taken.recording.take.language == "fr"
    assert refused.result is Result.REFUSED
    assert "“tlh”, is none of the study's, en, fr" in refused.sentence
