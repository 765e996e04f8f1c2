"""Read an ELAN file that somebody else made, without trusting it.

The reader is expat of the standard library with document types refused, so that no entity is ever
declared or fetched; size, depth and number of elements are limited.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as Xml
from xml.parsers import expat

from annotation.elan.document import (
    Document,
    ElanAnnotation,
    ElanProblem,
    Media,
    Tier,
    Vocabulary,
)

MOST_BYTES = 32 * 2**20
MOST_ELEMENTS = 1_000_000
MOST_DEPTH = 24
_LONGEST_MS = 10 * 24 * 3_600_000  # ten days: more is a slip, and would not fit a recording


def read(data: bytes) -> Document:
    """Read an .eaf file.

    Times of reference annotations are those of the annotation that they refer to. A time slot
    without a time stays None. Raises ElanProblem for what is no ELAN file, with a sentence.
    """
    root = _tree(data)
    if root.tag != "ANNOTATION_DOCUMENT":
        raise ElanProblem(["This is no ELAN file: it holds no ANNOTATION_DOCUMENT."])
    header = root.find("HEADER")
    units = header.get("TIME_UNITS", "milliseconds") if header is not None else "milliseconds"
    if units != "milliseconds":
        raise ElanProblem(
            [f"The file counts time in {units!r}. Save it with ELAN 4 or later: milliseconds."]
        )
    return Document(
        author=root.get("AUTHOR", ""),
        date=root.get("DATE", ""),
        media=tuple(_media(each) for each in root.iterfind("HEADER/MEDIA_DESCRIPTOR")),
        tiers=_Tiers(root).read(),
        vocabularies=tuple(_vocabulary(each) for each in root.iterfind("CONTROLLED_VOCABULARY")),
    )


def _tree(data: bytes) -> Xml.Element:
    if len(data) > MOST_BYTES:
        raise ElanProblem([f"The file has more than {MOST_BYTES // 2**20} MiB; no ELAN file does."])
    builder = _Builder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = builder.refuse_doctype
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ElanProblem([f"The file is no well-formed XML: {error}."]) from error
    except (LookupError, ValueError) as error:
        if isinstance(error, ElanProblem):
            raise
        raise ElanProblem(
            [f"The file's encoding cannot be read ({error}). Save it in ELAN, which writes UTF-8."]
        ) from error
    return builder.close()


class _Builder:
    """Builds the tree, and stops at what no ELAN file holds."""

    def __init__(self) -> None:
        self._tree = Xml.TreeBuilder()
        self._depth = self._count = 0

    def refuse_doctype(self, *_: Any) -> None:
        raise ElanProblem(["The file declares a document type, which no ELAN file does."])

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._count += 1
        if self._depth > MOST_DEPTH or self._count > MOST_ELEMENTS:
            raise ElanProblem(["The file is nested deeper or holds more than any ELAN file does."])
        self._tree.start(name, attributes)

    def end(self, name: str) -> None:
        self._depth -= 1
        self._tree.end(name)

    def data(self, text: str) -> None:
        self._tree.data(text)

    def close(self) -> Xml.Element:
        return self._tree.close()


def _media(element: Xml.Element) -> Media:
    return Media(
        url=element.get("MEDIA_URL", ""),
        mime_type=element.get("MIME_TYPE", ""),
        relative_url=element.get("RELATIVE_MEDIA_URL", ""),
        time_origin_ms=_whole(element.get("TIME_ORIGIN", "0"), "TIME_ORIGIN", negative=True),
    )


def _vocabulary(element: Xml.Element) -> Vocabulary:
    """Read a vocabulary as ELAN 4.9 and later writes it, or in the older form."""
    entries = [
        (value.text or "", value.get("DESCRIPTION", ""))
        for entry in element.iterfind("CV_ENTRY_ML")
        for value in entry.findall("CVE_VALUE")[:1]
    ]
    entries += [(e.text or "", e.get("DESCRIPTION", "")) for e in element.iterfind("CV_ENTRY")]
    said = element.find("DESCRIPTION")
    description = element.get("DESCRIPTION", "") or ((said.text or "") if said is not None else "")
    return Vocabulary(element.get("CV_ID", ""), description, tuple(entries))


def _whole(text: str, what: str, *, negative: bool = False) -> int:
    try:
        number = int(text)
    except ValueError:
        number = _LONGEST_MS + 1
    if abs(number) > _LONGEST_MS or (number < 0 and not negative):
        raise ElanProblem([f"The file holds {text[:40]!r} as {what}, which is no time."])
    return number


class _Tiers:
    """Reads all tiers; references are resolved over the whole file."""

    def __init__(self, root: Xml.Element) -> None:
        self._root = root
        self._slots = _slots(root)
        self._elements: dict[str, Xml.Element] = {}
        self._place: dict[str, int] = {}  # annotation id -> its place in its tier
        self._times: dict[str, tuple[int | None, int | None]] = {}

    def read(self) -> tuple[Tier, ...]:
        found: list[tuple[Xml.Element, list[Xml.Element]]] = []
        for tier in self._root.iterfind("TIER"):
            rows = [child for each in tier.iterfind("ANNOTATION") for child in each]
            for row in rows:
                name = row.get("ANNOTATION_ID", "")
                if not name or name in self._elements:
                    raise ElanProblem([f"Two annotations in the file are called {name!r}."])
                self._elements[name] = row
            found.append((tier, rows))
        ordered = [(tier, self._ordered(rows)) for tier, rows in found]
        for _, rows in ordered:
            self._place |= {row.get("ANNOTATION_ID", ""): n for n, row in enumerate(rows)}
        vocabularies = {
            each.get("LINGUISTIC_TYPE_ID", ""): each.get("CONTROLLED_VOCABULARY_REF", "")
            for each in self._root.iterfind("LINGUISTIC_TYPE")
        }
        tiers = tuple(self._tier(tier, rows, vocabularies) for tier, rows in ordered)
        for name, times in Counter(tier.name for tier in tiers).items():
            if times > 1:
                raise ElanProblem([f"The file has the tier {name!r} twice; rename one."])
        return tiers

    def _ordered(self, rows: list[Xml.Element]) -> list[Xml.Element]:
        def start(row: Xml.Element) -> int:
            begin = self._time_of(row, frozenset())[0]
            return -1 if begin is None else begin

        return sorted(rows, key=start)

    def _tier(
        self, tier: Xml.Element, rows: list[Xml.Element], vocabularies: Mapping[str, str]
    ) -> Tier:
        return Tier(
            name=tier.get("TIER_ID", ""),
            annotations=tuple(self._annotation(row) for row in rows),
            annotator=tier.get("ANNOTATOR", ""),
            participant=tier.get("PARTICIPANT", ""),
            parent=tier.get("PARENT_REF", ""),
            vocabulary=vocabularies.get(tier.get("LINGUISTIC_TYPE_REF", ""), ""),
        )

    def _annotation(self, row: Xml.Element) -> ElanAnnotation:
        start, end = self._time_of(row, frozenset())
        value = row.find("ANNOTATION_VALUE")
        parent = row.get("ANNOTATION_REF")
        return ElanAnnotation(
            start, end, (value.text or "").strip() if value is not None else "",
            self._place.get(parent) if parent else None,
        )  # fmt: skip

    def _time_of(self, row: Xml.Element, above: frozenset[str]) -> tuple[int | None, int | None]:
        name = row.get("ANNOTATION_ID", "")
        if name in self._times:
            return self._times[name]
        parent = row.get("ANNOTATION_REF")
        if parent is None:
            ends = [row.get("TIME_SLOT_REF1", ""), row.get("TIME_SLOT_REF2", "")]
            for slot in ends:
                if slot not in self._slots:
                    raise ElanProblem([f"The annotation {name!r} has no time slot {slot!r}."])
            times = self._slots[ends[0]], self._slots[ends[1]]
        elif parent in above or parent not in self._elements or len(above) > MOST_DEPTH:
            raise ElanProblem(
                [f"The annotation {name!r} refers to {parent!r}, which leads nowhere."]
            )
        else:
            times = self._time_of(self._elements[parent], above | {name})
        self._times[name] = times
        return times


def _slots(root: Xml.Element) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for slot in root.iterfind("TIME_ORDER/TIME_SLOT"):
        value = slot.get("TIME_VALUE")
        found[slot.get("TIME_SLOT_ID", "")] = None if value is None else _whole(value, "a time")
    return found
