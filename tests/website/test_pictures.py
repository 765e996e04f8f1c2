"""Pictures and the tables behind them: the same numbers, readable alone, by anybody's eyes."""

from __future__ import annotations

import csv
import io
import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation.agreement import pairwise
from annotation.services import codebooks
from tests.datasets.worlds import BAH, World, label, policy_text, world
from tests.factories import AssignmentFactory, MembershipFactory
from waver.datasets import figures, gate, measures, policies, snapshots
from waver.datasets.models import GateRun
from waver.studies.models import Membership
from waver.website import plots
from waver.website.plots.drawing import COLOURS, Drawing
from waver.website.plots.matrix import _DARKEST

ROOT = Path(__file__).resolve().parents[2]
CSS = ROOT / "platform" / "waver" / "website" / "static" / "website" / "waver.css"
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = 'A <b>"label"</b> & \x0b\x1b co]]>'


@pytest.fixture
def looked(db) -> tuple[World, GateRun]:
    """A study in which three raters part now and then, some with pre-labels, with its pictures."""
    made = world(participants=10, recordings_each=2, raters=3, consented=True)
    label(made, errors=0.2, jitter_us=600_000, recordings=made.recordings[::2])
    label(made, errors=0.1, jitter_us=100_000, recordings=made.recordings[1::2], arm="prelabel")
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    policy = policies.install(study=made.study, text=policy_text(), actor="lead")
    run = gate.evaluate(snapshot=snapshot, policy=policy, actor="lead")
    figures.store(run, figures.compute(run))
    return made, run


def as_role(made: World, role: str) -> Client:
    client = Client()
    user = made.lead if role == "lead" else MembershipFactory(study=made.study, role=role).user
    client.force_login(user)
    return client


def both(made: World, name: str, query: str = "", **more: object) -> tuple[ET.Element, list[dict]]:
    """Give a picture and its table, as they are downloaded."""
    client = as_role(made, "researcher")
    found = []
    for suffix in ("svg", "csv"):
        path = reverse(f"website:{name}-{suffix}", kwargs={"code": made.study.code, **more})
        answer = client.get(path + query)
        assert answer.status_code == 200, answer.content
        assert answer["Content-Disposition"].endswith(f'.{suffix}"')
        found.append(answer.content.decode())
    return ET.fromstring(found[0]), list(csv.DictReader(io.StringIO(found[1])))


def words(tree: ET.Element) -> str:
    return " ".join("".join(one.itertext()) for one in tree.iter(f"{SVG}text"))


def data(tree: ET.Element, name: str) -> list[str]:
    return [found for one in tree.iter() if (found := one.get(f"data-{name}")) is not None]


def all_pictures(made: World, run: GateRun) -> Iterator[tuple[str, str]]:
    """Give every picture that can be downloaded, as text."""
    client = as_role(made, "researcher")
    code, recording = made.study.code, made.recordings[0].pk
    for path in (
        reverse("website:agreement-plot", args=[code, run.pk]),
        reverse("website:picture-raters-svg", args=[code, run.pk]),
        reverse("website:picture-confusion-svg", args=[code, run.pk]) + "?label=segments/ah",
        reverse("website:picture-recording-svg", args=[code, recording]) + "?pass=segments",
        reverse("website:picture-anchoring-svg", args=[code]),
    ):
        yield path, client.get(path).content.decode()


# ---- the same numbers ----


def test_the_raters_picture_and_its_table_hold_what_agreement_computes(looked):
    made, run = looked
    for key in ("segments/ah", "video/ah"):
        tree, rows = both(made, "picture-raters", f"?label={key}", run_id=run.pk)
        pairs = [row for row in rows if row["what"] == "pair"]
        rest = [row for row in rows if row["what"] != "pair"]
        assert (len(pairs), len(rest)) == (3, 3)
        drawn = sorted(map(float, data(tree, "value")))
        written = [float(row["alpha"]) for row in pairs]
        left_out = [float(row["alpha"]) for row in rest]
        assert drawn == pytest.approx(sorted([*written, *written, *left_out]))
        for value in (*written, *left_out):
            assert f"{value:.2f}".replace("-", "−") in words(tree)
        one = figures.judged(run)[key]
        measured = measures.measure(run.snapshot, one.label, tick_us=one.tick_us)
        assert sorted(written) == pytest.approx(sorted(pairwise(measured.data).values()))
        assert {row["recordings_of_both"] for row in pairs} == {"10"}


def test_the_confusion_picture_and_its_table_agree_and_rows_add_up(looked):
    made, run = looked
    for key, unit in (("segments/ah", "seconds"), ("video/ah", "answers")):
        tree, rows = both(made, "picture-confusion", f"?label={key}", run_id=run.pk)
        assert list(map(float, data(tree, "share"))) == pytest.approx(
            [float(row["share_of_row"]) for row in rows], abs=1e-9
        )
        assert {row["unit"] for row in rows} == {unit}
        for name in {row["one_called"] for row in rows}:
            shares = [float(row["share_of_row"]) for row in rows if row["one_called"] == name]
            assert sum(shares) == pytest.approx(1)
        if key == "segments/ah":
            assert rows[0]["one_called"] == "nothing marked"
            assert sum(float(row["amount"]) for row in rows) == pytest.approx(10 * 3 * 10)


def test_the_forest_plot_and_its_table_hold_the_same_numbers(looked):
    made, run = looked
    client = as_role(made, "researcher")
    names = ("agreement-plot", "agreement-table")
    paths = [reverse(f"website:{name}", args=[made.study.code, run.pk]) for name in names]
    drawn, written = (client.get(path).content.decode() for path in paths)
    tree, rows = ET.fromstring(drawn), list(csv.DictReader(io.StringIO(written)))
    titles = {"".join(one.itertext()) for one in tree.iter(f"{SVG}title")}
    assert len(rows) == 3
    for row in rows:
        alpha, low, high = (float(row[name]) for name in ("alpha", "low", "high"))
        said = f"{alpha:.2f} [{low:.2f}, {high:.2f}]".replace("-", "−")
        assert said in words(tree)
        ends = (float(row[f"without_one_rater_{end}"]) for end in ("low", "high"))
        left_out = " to ".join(f"{end:.3f}" for end in ends).replace("-", "−")
        assert f"{left_out} without one rater" in titles
        assert f"{row['participants']} participants, {row['recordings']} recordings" in words(tree)


def test_the_timeline_s_boxes_stand_where_the_table_says(looked):
    made, _ = looked
    recording = made.recordings[0]
    tree, rows = both(made, "picture-recording", "?pass=segments", recording_id=recording.pk)
    boxes = {
        (one.get("data-kind"), int(one.get("data-start-us")), int(one.get("data-end-us"))): one
        for one in tree.iter()
        if one.get("data-kind")
    }
    stretches = [row for row in rows if row["kind"] in ("marked", "agreed", "undecided")]
    assert sorted(boxes) == sorted(
        {
            (row["kind"], round(float(row["start_s"]) * 1e6), round(float(row["end_s"]) * 1e6))
            for row in stretches
        }
    )
    scale = {
        round(
            (int(box.get("data-end-us")) - int(box.get("data-start-us"))) / float(box.get("width"))
        )
        for box in boxes.values()
    }
    assert max(scale) / min(scale) == pytest.approx(1, abs=0.02)
    steps = [row for row in rows if row["kind"] == "share"]
    assert float(steps[0]["start_s"]) == 0
    assert float(steps[-1]["end_s"]) == 10
    assert all(a["end_s"] == b["start_s"] for a, b in itertools.pairwise(steps))
    assert {row["row"] for row in rows} >= {"Rater 1", "Rater 3", "Most raters", "Share of raters"}
    # What most marked: where the share is above a half.
    agreed = sum(
        float(row["end_s"]) - float(row["start_s"]) for row in rows if row["kind"] == "agreed"
    )
    above = sum(
        float(row["end_s"]) - float(row["start_s"])
        for row in steps
        if float(row["share_of_raters"]) > 0.5
    )
    assert agreed == pytest.approx(above)


def test_the_arms_picture_and_its_table_hold_the_same_differences(looked):
    made, _ = looked
    tree, rows = both(made, "picture-anchoring")
    numbers = [row for row in rows if row["difference"]]
    for name, column in (("value", "difference"), ("low", "low"), ("high", "high")):
        assert sorted(map(float, data(tree, name))) == pytest.approx(
            sorted(float(row[column]) for row in numbers), abs=1e-9
        )
    assert {row["what"] for row in rows} == {"alpha", "share of time", "share of clips"}
    page = (
        as_role(made, "researcher")
        .get(reverse("website:anchoring", args=[made.study.code]))
        .content.decode()
    )
    assert "More agreement with pre-labels is not validity" in page
    assert "drawn at random over recordings by the study's seed" in page
    assert "prelabel_share" in page


def test_the_page_answers_in_order_and_its_list_is_the_table_s(looked):
    made, run = looked
    client = as_role(made, "lead")
    path = reverse("website:picture-disputed", args=[made.study.code, run.pk])
    text = client.get(f"{path}?label=segments/ah").content.decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 10
    amounts = [float(row["raters_apart_seconds"]) for row in rows]
    assert amounts == sorted(amounts, reverse=True)
    page = client.get(
        reverse("website:agreement", args=[made.study.code]) + "?label=segments/ah"
    ).content.decode()
    shown = re.findall(r"recordings/([0-9a-f-]{36})/#disagreement", page)
    assert shown == [row["recording"] for row in rows[:8]]
    assert page.count("Most raters") >= 8  # each with its strip
    order = [
        "may be released", "Why?", "The numbers", "Who disagrees?", "What is mistaken for what?",
        "Where?", "What to do?",
    ]  # fmt: skip
    places = [page.index(part) for part in order]
    assert places == sorted(places)
    # A label that nobody judged is not there.
    for name in ("agreement-run", "picture-raters-svg", "picture-confusion-csv"):
        path = reverse(f"website:{name}", args=[made.study.code, run.pk])
        assert client.get(f"{path}?label=segments/nothing").status_code == 404


def test_the_list_shows_the_answers_that_differ(looked):
    """What raters said about the very label that is looked at, not about another question."""
    made, _ = looked
    page = reverse("website:agreement", args=[made.study.code])
    shown = {
        key: as_role(made, "researcher").get(f"{page}?label={key}").content.decode()
        for key in ("video/certainty", "video/ah")
    }
    answers = {
        key: set(re.findall(r"Rater \d+:</span> ([^·<]+?) ?(?:·|<)", text.split('id="where"')[1]))
        for key, text in shown.items()
    }
    assert answers == {
        "video/certainty": {"Unsure", "Fairly sure", "Certain"},
        "video/ah": {"Present", "Not present"},
    }


def test_work_done_with_an_earlier_codebook_is_drawn_in_the_new_words(looked):
    made, _ = looked
    recording = made.recordings[0]
    _, before = both(made, "picture-recording", "?pass=segments", recording_id=recording.pk)
    first, segments = (
        BAH.replace("\nversion: 1\n", "\nversion: 2\n")
        .split("candidates: ah")[0]
        .rsplit("- id: ah\n", 1)
    )
    text = f"{first}- id: doubt\n{segments}candidates: doubt" + BAH.split("candidates: ah")[1]
    text += "\nmigration:\n  from: 1\n  rename:\n    - {pass: segments, label: ah, to: doubt}\n"
    codebooks.install_codebook(made.study, text, "lead")
    _, after = both(made, "picture-recording", "?pass=segments", recording_id=recording.pk)
    assert after == before
    assert any(row["kind"] == "marked" for row in after)


def test_a_lead_waives_a_blocked_label_on_the_page(looked):
    made, _ = looked
    text = policy_text(labels=("video/certainty",))
    policy = policies.install(study=made.study, text=text, actor="lead")
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    run = gate.evaluate(snapshot=snapshot, policy=policy, actor="lead")
    page = reverse("website:agreement-run", args=[made.study.code, run.pk])
    path = reverse("website:agreement-waive", args=[made.study.code, run.pk])
    lead, until = as_role(made, "lead"), (timezone.now() + timedelta(days=9)).date()
    before = lead.get(page).content.decode()
    assert "Build a release" not in before
    assert "Waive a blocked label" in before
    assert "Waive a blocked label" not in as_role(made, "researcher").get(page).content.decode()

    asked = {"label": "video/certainty", "why": "Only for a paper on method.", "until": str(until)}
    assert as_role(made, "researcher").post(path, asked).status_code == 403
    wrong = lead.post(path, asked | {"until": "soon"})
    assert wrong.status_code == 400
    assert "“soon” is no day" in wrong.content.decode()
    assert asked["why"] in wrong.content.decode()
    assert lead.post(path, asked | {"why": "Because."}).status_code == 400
    assert not run.waivers.exists()

    assert lead.post(path, asked, follow=True).status_code == 200
    assert [(row.label, row.reason, row.until.date()) for row in run.waivers.all()] == [
        ("video/certainty", asked["why"], until)
    ]
    after = as_role(made, "researcher").get(page).content.decode()
    assert "Build a release" in after
    assert f"Waived by {made.lead.username} until {until}" in after
    assert lead.post(path, asked).status_code == 409


def test_a_researcher_who_rates_sees_others_labels_only_after_their_own(looked):
    made, _ = looked
    recording = made.recordings[0]
    client = as_role(made, "researcher")
    own = AssignmentFactory(
        batch=made.study.batches.filter(pass_id="segments").first(), recording=recording,
        rater=Membership.objects.get(study=made.study, role="researcher").user, state="sent",
    )  # fmt: skip
    of_it = {"code": made.study.code, "recording_id": recording.pk}
    paths = [
        reverse("website:recording", kwargs=of_it),
        reverse("website:recording-timeline", kwargs=of_it),
        reverse("website:recording-elan", kwargs=of_it),
        reverse("website:picture-recording-svg", kwargs=of_it) + "?pass=segments",
    ]
    page = reverse("website:agreement", args=[made.study.code]) + "?label=video/ah"
    assert [client.get(path).status_code for path in paths] == [403] * 4
    said = client.get(page).content.decode()
    shown = said.count("</span> Present") + said.count("</span> Not present")
    assert said.count("You are still to label this one yourself") == 1
    own.state = "submitted"
    own.save()
    assert [client.get(path).status_code for path in paths] == [200] * 4
    after = client.get(page).content.decode()
    assert "You are still to label" not in after
    assert after.count("</span> Present") + after.count("</span> Not present") == shown + 3


# ---- readable alone ----


def test_every_picture_says_what_it_is_and_carries_nothing_foreign(looked):
    made, run = looked
    for path, text in all_pictures(made, run):
        tree = ET.fromstring(text)
        said = words(tree)
        title = tree.findtext(f"{SVG}title")
        assert title, path
        assert title in said, path
        for part in (
            "n = " if "plot.svg" not in path and "comparison" not in path else "n ",
            f"snapshot {run.snapshot.number}",
            f"look {run.look}",
            str(run.pk),
            f"{run.created_at:%Y-%m-%d}",
            "For these raters",
        ):
            assert part in said, (path, part)
        assert "<script" not in text, path
        assert "<style" not in text, path
        assert "var(--" not in text, path
        assert "href" not in text, path
        sheet = next(tree.iter(f"{SVG}rect"))
        assert (sheet.get("x"), sheet.get("fill")) == ("0", COLOURS["surface"])
        assert [sheet.get("width"), sheet.get("height")] == tree.get("viewBox").split()[2:]


def test_no_file_names_a_rater_and_only_the_lead_s_page_does(looked):
    made, run = looked
    names = [rater.username for rater in made.raters]
    for path, text in all_pictures(made, run):
        assert not any(name in text for name in names), path
    _, rows = both(made, "picture-raters", run_id=run.pk)
    assert {row["rater"] for row in rows} == {f"Rater {n}" for n in range(1, 4)}
    path = reverse("website:agreement", args=[made.study.code])
    for role, named in (("researcher", False), ("lead", True)):
        page = as_role(made, role).get(path).content.decode()
        assert all(name in page for name in names) == named
        assert any(name in page for name in names) == named


def test_who_withdrew_is_in_no_picture(looked):
    from waver.consent.services import withdraw

    made, run = looked
    gone = made.recordings[0]
    withdraw(participant=gone.participant, actor="tests")
    _, rows = both(made, "picture-raters", "?label=video/ah", run_id=run.pk)
    assert {row["recordings_of_both"] for row in rows if row["what"] == "pair"} == {"9"}
    client = as_role(made, "lead")
    path = reverse("website:agreement", args=[made.study.code])
    assert gone.participant.code not in client.get(path).content.decode()
    strip = reverse("website:picture-recording-svg", args=[made.study.code, gone.pk])
    assert client.get(f"{strip}?pass=segments").status_code == 403


# ---- for any eyes, any words ----


def themes() -> dict[str, dict[str, str]]:
    """Read the tokens of both themes from the style sheet."""
    light, dark = re.findall(r":root \{(.+?)\}", CSS.read_text(encoding="utf-8"), re.DOTALL)[:2]
    found = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", part)) for part in (light, dark)]
    return {"light": found[0], "dark": found[0] | found[1]}


def luminance(colour: tuple[float, float, float]) -> float:
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def rgb(text: str) -> tuple[float, float, float]:
    return tuple(int(text[n : n + 2], 16) / 255 for n in (1, 3, 5))  # type: ignore[return-value]


def contrast(a: tuple, b: tuple) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_a_downloaded_picture_has_the_light_theme_s_colours():
    assert themes()["light"].items() >= COLOURS.items()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_carries_meaning_has_contrast_in_both_themes(theme: str):
    tokens = {name: rgb(colour) for name, colour in themes()[theme].items()}
    sheet = tokens["surface"]
    for name in ("good", "wait", "attention", "bad", "accent", "line-strong", "ink"):
        assert contrast(tokens[name], sheet) >= 3, name
    for name in ("ink", "ink-soft", "good", "wait", "attention", "bad"):
        assert contrast(tokens[name], sheet) >= 4.5, name  # they are text, too
    darkest = tuple(
        _DARKEST * a + (1 - _DARKEST) * b for a, b in zip(tokens["accent"], sheet, strict=True)
    )
    assert contrast(tokens["ink"], darkest) >= 4.5


def test_below_what_is_needed_is_hatched_and_undecided_is_hatched():
    cells = [[plots.RaterCell(0.5, ""), plots.RaterCell(0.9, "")]] * 2
    with_need = plots.raters(
        ["a", "b"], cells, cells[0], needed=0.7, caption=plots.Caption("T"), alone=True
    )
    without = plots.raters(
        ["a", "b"], cells, cells[0], needed=None, caption=plots.Caption("T"), alone=True
    )
    assert with_need.count("<path") == without.count("<path") + 2 + 1  # two cells and the key
    strip = plots.strip(
        10_000_000,
        [
            plots.Lane(
                "x", [plots.Stretch(0, 5, "l", "#7a858f", kind) for kind in ("agreed", "undecided")]
            )
        ],
        [],
        caption=plots.Caption("T"),
    )
    assert strip.count("<path") == 1


def test_words_are_escaped_and_what_xml_cannot_hold_is_left_out():
    style = {"caption": plots.Caption(HOSTILE, [HOSTILE], HOSTILE)}
    lane = plots.Lane(HOSTILE, [plots.Stretch(0, 1_000_000, HOSTILE, '#"/><b>')])
    cell, bare = plots.RaterCell(0.1, HOSTILE, HOSTILE), plots.RaterCell(None, HOSTILE)
    confused = plots.ConfusionCell(0.2, HOSTILE, HOSTILE)
    line = plots.Estimate(HOSTILE, "pass", 0.9, 0.8, 1.0, 0.7, 0.1, 0.2, HOSTILE, HOSTILE, HOSTILE)
    gap = plots.Gap(HOSTILE, 0.1, 0, 0.2)
    for style["alone"] in (True, False):
        for text in (
            plots.strip(2_000_000, [lane], [], labels=[(HOSTILE, "#7a858f")] * 2, **style),
            plots.raters([HOSTILE], [[bare]], [cell], needed=None, **style),
            plots.confusion([HOSTILE], [[confused]], **style),
            plots.differences([(HOSTILE, [gap])], **style),
            plots.forest([line], coefficient=HOSTILE, **style),
        ):
            tree = ET.fromstring(text)
            assert 'A <b>"label"</b> &  co]]>' in (tree.findtext(f"{SVG}title") or "")
            assert not list(tree.iter(f"{SVG}b"))


def test_hatching_stays_in_its_box():
    sheet = Drawing(100, plots.Caption("T"))
    sheet.hatch(10, 20, 30, 12)
    numbers = re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", sheet.svg(50))
    assert numbers
    assert all(10 <= float(x) <= 40 and 20 <= float(y) <= 32 for x, y in numbers)


def test_a_formula_in_a_table_is_only_text():
    from waver.website.queries.figures import write

    assert write(("a", "b"), [("=1+1", -0.5)]) == "a,b\n'=1+1,-0.5\n"


@pytest.mark.programs
def test_the_web_process_loads_no_heavy_library_for_its_addresses():
    """Pictures need no picture library, and what is computed for them is a worker's work."""
    code = (
        "import os, sys, django; sys.path[:0] = ['platform', '.'];"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'waver.config.settings.test'; django.setup();"
        "import waver.config.urls;"
        "print(sorted({'scipy', 'pyarrow', 'pandas', 'cv2', 'krippendorff'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_decision_stands_under_the_vote_as_long_as_it_is_about_these_labels(looked):
    from annotation.models import Adjudication

    made, run = looked
    recording = made.recordings[0]
    labels = run.snapshot.annotations.filter(
        assignment__recording=recording, assignment__batch__pass_id="segments"
    )
    decision = {
        "recording": recording, "codebook": made.codebook, "pass_id": "segments", "label": "ah",
        "start_us": 1_000_000, "end_us": 6_000_000, "rationale": "He sighs, then looks away.",
        "decided_by": made.lead,
    }  # fmt: skip
    Adjudication.objects.create(
        value="present", decided_start_us=1_500_000, decided_end_us=5_500_000,
        looked_at=[str(pk) for pk in labels.values_list("pk", flat=True)], **decision,
    )  # fmt: skip
    decision["start_us"] = 2_000_000
    Adjudication.objects.create(value="absent", looked_at=["of another time"], **decision)
    _, rows = both(made, "picture-recording", "?pass=segments", recording_id=recording.pk)
    decided = [row for row in rows if row["kind"].startswith("decided")]
    assert [(row["kind"], row["start_s"], row["end_s"]) for row in decided] == [
        ("decided", "1.5", "5.5")
    ]


def test_opening_the_pages_measures_and_resamples_nothing(
    looked, monkeypatch, django_assert_max_num_queries
):
    """What is slow is a worker's work, or kept by its content."""
    from annotation.agreement import intervals
    from waver.datasets import measures as module

    made, _ = looked
    client = as_role(made, "lead")
    paths = [
        reverse(f"website:{name}", args=[made.study.code]) for name in ("agreement", "anchoring")
    ]
    before = [client.get(path).content.count(b"<tr") for path in paths]

    def never(*_: object, **__: object) -> None:
        raise AssertionError("A page did a worker's work.")

    monkeypatch.setattr(intervals, "_replicates", never)
    monkeypatch.setattr(module, "items_of", never)
    with django_assert_max_num_queries(60):
        assert [client.get(path).content.count(b"<tr") for path in paths] == before
