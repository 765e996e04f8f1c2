"""YAML that people write: dates stay text, aliases end, and every problem has its line."""

from __future__ import annotations

import pytest

from annotation.written import Unreadable, line_of, parse


def test_a_date_stays_the_text_that_stands_there():
    data, _ = parse("on: 2026-02-31\n", expected="a study")
    assert list(data.values()) == ["2026-02-31"]


def test_every_place_has_its_line_and_what_is_missing_has_the_line_around_it():
    _, lines = parse("a: 1\nb:\n  - x\n  - c: 2\n", expected="a study")
    assert lines[("b", 1, "c")] == 4
    assert line_of(lines, ("b", 1, "missing", 7)) == 4
    assert line_of(lines, ("nowhere",)) == 1


@pytest.mark.parametrize("text", ["a: &here [*here]\n", "a: &x [1]\nb: &y [*x, *x]\nc: [*y, *y]\n"])
def test_an_alias_is_followed_once(text):
    data, lines = parse(text, expected="a study")
    assert set(data) == {place[0] for place in lines if place}


# Eight lines that stand for nine to the power of eight entries.
_BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 8)
)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "a study is expected"),
        ("a: 1\na: 2\n", 2, "a second time"),
        ("a: 1\nb: [", 2, "not valid YAML"),
        ("a: 0b_\n", 1, "cannot be read"),
        ("a: !!python/name:os.system\n", 1, "not valid YAML"),
        ("[" * 3000, 1, "nested too deeply"),
        (_BOMB, 1, "more than 100,000 entries"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(text, line, says):
    with pytest.raises(Unreadable) as caught:
        parse(text, expected="a study")
    assert any(at == line and says in sentence for at, sentence in caught.value.problems), str(
        caught.value
    )
