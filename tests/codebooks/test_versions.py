"""A study's codebook versions: a change that would orphan raters' work is refused."""

from __future__ import annotations

import pytest

from annotation.codebooks import ParsedAnnotation, ParsedSegment, migrate_through
from annotation.models import CodebookVersion
from annotation.services import codebooks
from tests.factories import AnnotationFactory, StudyFactory
from waver.core.errors import BadInput

FIRST = """\
schema: waver.codebook/1
id: small
version: 1
title: Small
languages: [en]
source: made for a test
passes:
  - id: segments
    unit: segment
    title: Where
    instructions: Mark.
    overlap: forbidden
    labels:
      - {id: ah, title: Hesitancy, colour: "#c2410c"}
      - {id: calm, title: Calm, colour: "#15803d"}
"""
SECOND = FIRST.replace("version: 1\n", "version: 2\n").replace("id: ah", "id: hesitancy")
BLOCK = """\
migration:
  from: 1
  rename:
    - {pass: segments, label: ah, to: hesitancy}
"""


@pytest.fixture
def first(db) -> CodebookVersion:
    return codebooks.install_codebook(StudyFactory(), FIRST, "tests")


def test_a_change_that_orphans_labels_names_them_and_the_work_and_keeps_the_old(first):
    annotation = AnnotationFactory(
        assignment__batch__study=first.study,
        assignment__batch__codebook=first,
        assignment__batch__pass_id="segments",
        segments=[
            {"start_us": 0, "end_us": 1_000_000, "label": "ah"},
            {"start_us": 2_000_000, "end_us": 3_000_000, "label": "ah"},
            {"start_us": 4_000_000, "end_us": 5_000_000, "label": "calm"},
        ],
    )
    assert annotation.segments.count() == 3
    with pytest.raises(BadInput) as caught:
        codebooks.install_codebook(first.study, SECOND, "tests")
    assert "The segment label 'ah' of the pass 'segments'" in caught.value.sentence
    assert "2 rows of work carry it" in caught.value.sentence
    assert "'calm'" not in caught.value.sentence
    assert codebooks.current(first.study) == first
    assert first.study.codebooks.count() == 1


def test_with_its_migration_the_change_is_installed_and_the_way_kept(first):
    second = codebooks.install_codebook(first.study, SECOND + BLOCK, "tests")
    assert second.supersedes == first
    assert second.migration == {
        "from": 1, "rename": [{"pass": "segments", "label": "ah", "to": "hesitancy"}],
    }  # fmt: skip
    third = codebooks.install_codebook(
        first.study,
        SECOND.replace("version: 2", "version: 3").replace("Mark.", "Mark it."),
        "tests",
    )
    assert third.migration is None
    way = codebooks.way_between(first, third)
    assert [(step.from_version, step.to_version) for step in way] == [(1, 2), (2, 3)]
    work = ParsedAnnotation((ParsedSegment(0, 5, "ah"),))
    assert migrate_through(work, way, "segments").annotation.segments[0].label == "hesitancy"
    assert codebooks.way_between(third, third) == ()
    with pytest.raises(BadInput, match="does not come after"):
        codebooks.way_between(third, first)
    newest, middle, oldest = codebooks.history(first.study)
    assert newest.changes == (
        "Wording, keys, colours, examples or rules changed; see the two files.",
    )
    assert middle.changes == ("The segment label 'ah' is called 'hesitancy'.",)
    assert oldest.changes == ()


def test_a_wrong_migration_is_refused_too(first):
    with pytest.raises(BadInput, match="leads to 'doubt', which version 2 does not have"):
        codebooks.install_codebook(
            first.study, SECOND + BLOCK.replace("to: hesitancy", "to: doubt"), "tests"
        )
