"""Agreement on the new kinds of questions: which labels a gate policy can name, on which scale."""

from __future__ import annotations

import pytest

from annotation.agreement import Ratings, coefficients, sufficient
from annotation.codebooks import load, shipped
from waver.datasets.labels import labels_of


@pytest.mark.parametrize(
    ("book", "key", "scale", "first"),
    [
        ("mafw", "clip/emotions/anger", "nominal", "no"),
        ("mafw", "clip/blend", "nominal", "anger"),
        ("dimensional", "clip/valence", "interval", "-1"),
        ("dimensional", "clip/dominance", "interval", "0"),
        ("dimensional", "clip/certainty", "ordinal", "1"),
        ("dimensional", "segments/state", "nominal", "none"),
        ("clues", "units/movement", "nominal", "none"),
    ],
)
def test_a_label_has_its_scale_and_values(book: str, key: str, scale: str, first: str) -> None:
    label = labels_of(load(shipped()[book]))[key]
    assert (label.scale, label.values[0]) == (scale, first)


def test_texts_are_no_labels() -> None:
    for book in ("mafw", "clues"):
        keys = labels_of(load(shipped()[book]))
        assert not [key for key in keys if key.split("/")[1] in ("what_told", "face", "clue")]


def test_ratings_agree_by_how_near_they_are() -> None:
    label = labels_of(load(shipped()["dimensional"]))["clip/valence"]

    def alpha(second: list[str]) -> float:
        first = ["-1", "-0.5", "0", "0.5", "1"]
        ratings = Ratings.from_long(
            list(range(5)) * 2, ["a"] * 5 + ["b"] * 5, first + second,
            scale=label.scale, values=label.values,
        )  # fmt: skip
        return float(coefficients(sufficient(ratings)).alpha)

    near = alpha(["-0.75", "-0.25", "0.25", "0.75", "0.75"])
    far = alpha(["1", "0.5", "0", "-0.5", "-1"])
    assert alpha(["-1", "-0.5", "0", "0.5", "1"]) == 1
    assert far < 0 < near < 1
