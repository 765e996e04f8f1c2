"""What is said, in a release: BAH's layout to the letter, and fixed once it is published."""

from __future__ import annotations

import pytest
import yaml

from tests.datasets.worlds import World, label, policy_text, with_media, world
from waver.datasets import gate, policies, redaction, releases, snapshots
from waver.datasets.models import Release
from waver.datasets.verify import verify
from waver.recordings.models import Transcript
from waver.recordings.transcripts import versions
from waver.recordings.transcripts.said import Said, Segment

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage_folder")]
S = 1_000_000
SAID = Said(
    (Segment(0, 12 * S // 10, 'Well, when I wake up, "no"'), Segment(2 * S, 3_250_000, "I do.")),
    "en",
)


def keep(recording, said: Said, source=Transcript.Source.IMPORTED) -> None:
    versions.store(recording=recording, said=said, source=source, made_from="WebVTT", made_by="ada")


@pytest.fixture
def made() -> World:
    found = world(participants=7, consented=True)
    label(found)
    with_media(found)
    for recording in found.recordings[:2]:
        keep(recording, SAID)
    return found


@pytest.fixture
def release(made) -> Release:
    snapshot = snapshots.freeze(study=made.study, actor="lead")
    policy = policies.install(study=made.study, text=policy_text(), actor="lead")
    run = gate.evaluate(snapshot=snapshot, policy=policy, actor="lead")
    return releases.build(gate_run=run, version="1.0", purpose="research", actor="lead")


def lines_of(release: Release) -> list[str]:
    bah = releases.path_of(release) / "bah"
    return [line for path in sorted(bah.glob("split/*.txt")) for line in path.open()]


def test_bahs_layout_holds_what_is_said(release):
    bah = releases.path_of(release) / "bah"
    files = sorted(bah.glob("transcription/Videos/*/Visite_1/*.mp4/*.yml"))
    assert len(files) == 7
    raw = [path.read_text() for path in files]
    spoken = [text for text in raw if "wake" in text]
    assert len(spoken) == 2
    assert spoken[0] == (
        "chunks:\n"
        "- language: english\n"
        "  text: ' Well, when I wake up, \"no\"'\n"
        "  timestamp:\n"
        "  - 0.0\n"
        "  - 1.2\n"
        "- language: english\n"
        "  text: ' I do.'\n"
        "  timestamp:\n"
        "  - 2.0\n"
        "  - 3.25\n"
        "text: ' Well, when I wake up, \"no\" I do.'\n"
    )
    assert sum(text == "chunks: []\ntext: null\n" for text in raw) == 5
    # Split at most twice: the text may hold commas, but no quotation marks.
    thirds = [line.rstrip("\n").split(",", 2)[2] for line in lines_of(release)]
    assert sorted(thirds) == [""] * 5 + ["Well, when I wake up, 'no' I do."] * 2
    entries = yaml.safe_load((bah / "video_annotation_transcript.yaml").read_text())
    said = [entry["transcript"] for entry in entries.values()]
    assert sorted(map(str, said)) == ["None"] * 5 + ['Well, when I wake up, "no" I do.'] * 2
    assert all(list(entry) == sorted(entry) for entry in entries.values())


def test_a_release_keeps_its_words_when_one_is_corrected_and_somebody_leaves(made, release):
    before = {line for line in lines_of(release) if "wake" in line}
    first, second = made.recordings[:2]
    corrected = Said((Segment(0, S, "something else"),), "en")
    keep(second, corrected, Transcript.Source.CORRECTED)
    keep(made.recordings[-1], corrected)
    redaction.redact(release=release, participant=first.participant, actor="tests")
    after = lines_of(release)
    assert len(after) == 6
    assert {line for line in after if "wake" in line} < before
    assert not any("something else" in line for line in after)
    assert verify(releases.path_of(release)) == []
    whole = "".join(path.read_text() for path in releases.path_of(release).rglob("*.yml"))
    assert whole.count("I do.'") == 2  # one chunk and one text: of one person only
