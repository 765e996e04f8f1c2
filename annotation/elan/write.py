"""Write an ELAN file in format 3.0, as ELAN 6 and later opens it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as Xml

from annotation.elan.document import Document, ElanAnnotation, ElanProblem, Tier, Vocabulary

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_LANGUAGE = "und"  # the values' own language is the codebook's; ELAN wants one named
_SUBDIVIDED = (
    "Time subdivision of parent annotation's time interval, no time gaps allowed within this "
    "interval"
)
_ORDERED = (
    "Symbolic subdivision of a parent annotation. Annotations refering to the same parent are "
    "ordered"
)
_INCLUDED = (
    "Time alignable annotations within the parent annotation's time interval, gaps are allowed"
)
CONSTRAINTS = (
    ("Time_Subdivision", _SUBDIVIDED),
    ("Symbolic_Subdivision", _ORDERED),
    ("Symbolic_Association", "1-1 association with a parent annotation"),
    ("Included_In", _INCLUDED),
)
"""ELAN's four stereotypes, which every file lists, in its own words."""


def write(document: Document) -> bytes:
    """Give the file's bytes: the same document gives the same bytes.

    Elements stand in the order that the EAF 3.0 schema asks for. Raises ElanProblem where a tier's
    annotations overlap, which ELAN forbids, or a child tier's parent does not stand before it.
    """
    root = Xml.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": document.author,
            "DATE": document.date,
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": _INSTANCE,
            "xsi:noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    aligned = [
        (tier, row) for tier in document.tiers if not tier.parent for row in tier.annotations
    ]
    slots = _slots(row for _, row in aligned)
    _header(root, document, sum(len(tier.annotations) for tier in document.tiers))
    order = Xml.SubElement(root, "TIME_ORDER")
    for number, time in enumerate(slots, start=1):
        Xml.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=f"ts{number}", TIME_VALUE=str(time))
    _Tiers(root, slots).write(document.tiers)
    _types(root, document.tiers)
    Xml.SubElement(
        root, "LANGUAGE", LANG_DEF="http://cdb.iso.org/lg/CDB-00138502-001", LANG_ID=_LANGUAGE,
        LANG_LABEL="undetermined (und)",
    )  # fmt: skip
    for name, description in CONSTRAINTS:
        Xml.SubElement(root, "CONSTRAINT", DESCRIPTION=description, STEREOTYPE=name)
    for vocabulary in document.vocabularies:
        _vocabulary(root, vocabulary)
    Xml.indent(root, space="    ")
    text: bytes = Xml.tostring(root, encoding="UTF-8", xml_declaration=True)
    return text + b"\n"


def _header(root: Xml.Element, document: Document, count: int) -> None:
    header = Xml.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    for media in document.media:
        attributes = {"MEDIA_URL": media.url, "MIME_TYPE": media.mime_type}
        if media.relative_url:
            attributes["RELATIVE_MEDIA_URL"] = media.relative_url
        if media.time_origin_ms:
            attributes["TIME_ORIGIN"] = str(media.time_origin_ms)
        Xml.SubElement(header, "MEDIA_DESCRIPTOR", attributes)
    last = Xml.SubElement(header, "PROPERTY", NAME="lastUsedAnnotationId")
    last.text = str(count)


def _slots(rows: Iterator[ElanAnnotation]) -> list[int]:
    """All times that occur, each once, in order: a slot is shared by what begins or ends there."""
    times: set[int] = set()
    for row in rows:
        if row.start_ms is None or row.end_ms is None or not 0 <= row.start_ms < row.end_ms:
            raise ElanProblem([f"The annotation {row.value!r} has no length in milliseconds."])
        times |= {row.start_ms, row.end_ms}
    return sorted(times)


class _Tiers:
    """Writes the tiers; annotations are numbered through the whole file."""

    def __init__(self, root: Xml.Element, slots: Sequence[int]) -> None:
        self._root = root
        self._slot = {time: f"ts{number}" for number, time in enumerate(slots, start=1)}
        self._ids: dict[str, list[str]] = {}  # tier -> the ids of its annotations
        self._number = 0

    def write(self, tiers: Sequence[Tier]) -> None:
        for tier in tiers:
            if tier.parent and tier.parent not in self._ids:
                raise ElanProblem(
                    [f"The tier {tier.name!r} belongs to {tier.parent!r}, which is not before it."]
                )
            self._tier(tier)

    def _tier(self, tier: Tier) -> None:
        attributes = {
            "ANNOTATOR": tier.annotator,
            "LINGUISTIC_TYPE_REF": type_name(tier),
            "PARENT_REF": tier.parent,
            "PARTICIPANT": tier.participant,
        }
        attributes = {name: value for name, value in attributes.items() if value}
        element = Xml.SubElement(self._root, "TIER", {**attributes, "TIER_ID": tier.name})
        self._ids[tier.name] = []
        before: ElanAnnotation | None = None
        for row in tier.annotations:
            if before is not None and not tier.parent and _overlap(before, row):
                raise ElanProblem([f"In the tier {tier.name!r} annotations overlap."])
            self._annotation(element, tier, row)
            before = row

    def _annotation(self, element: Xml.Element, tier: Tier, row: ElanAnnotation) -> None:
        self._number += 1
        name = f"a{self._number}"
        self._ids[tier.name].append(name)
        box = Xml.SubElement(element, "ANNOTATION")
        if tier.parent:
            if row.parent is None or row.parent >= len(self._ids[tier.parent]):
                raise ElanProblem([f"An annotation of the tier {tier.name!r} has no parent."])
            inner = Xml.SubElement(
                box, "REF_ANNOTATION", ANNOTATION_ID=name,
                ANNOTATION_REF=self._ids[tier.parent][row.parent],
            )  # fmt: skip
        else:
            inner = Xml.SubElement(
                box, "ALIGNABLE_ANNOTATION", ANNOTATION_ID=name,
                TIME_SLOT_REF1=self._slot[row.start_ms or 0],
                TIME_SLOT_REF2=self._slot[row.end_ms or 0],
            )  # fmt: skip
        Xml.SubElement(inner, "ANNOTATION_VALUE").text = xml_text(row.value)


def _overlap(before: ElanAnnotation, row: ElanAnnotation) -> bool:
    return (before.end_ms or 0) > (row.start_ms or 0)


def xml_text(text: str) -> str:
    """Leave out the characters that XML cannot hold: control characters and halves of pairs."""
    return "".join(
        c for c in text
        if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
    )  # fmt: skip


def type_name(tier: Tier) -> str:
    """The linguistic type of a tier: one for each vocabulary and stereotype."""
    kind = "of a segment" if tier.parent else "on the time line"
    return f"{tier.vocabulary} ({kind})" if tier.vocabulary else f"text ({kind})"


def _types(root: Xml.Element, tiers: Sequence[Tier]) -> None:
    for name, tier in {type_name(tier): tier for tier in tiers}.items():
        attributes = {
            "GRAPHIC_REFERENCES": "false",
            "LINGUISTIC_TYPE_ID": name,
            "TIME_ALIGNABLE": "false" if tier.parent else "true",
        }
        if tier.parent:
            attributes["CONSTRAINTS"] = "Symbolic_Association"
        if tier.vocabulary:
            attributes["CONTROLLED_VOCABULARY_REF"] = tier.vocabulary
        Xml.SubElement(root, "LINGUISTIC_TYPE", attributes)


def _vocabulary(root: Xml.Element, vocabulary: Vocabulary) -> None:
    element = Xml.SubElement(root, "CONTROLLED_VOCABULARY", CV_ID=vocabulary.name)
    Xml.SubElement(element, "DESCRIPTION", LANG_REF=_LANGUAGE).text = vocabulary.description
    for value, meaning in vocabulary.entries:
        digest = hashlib.sha256(f"{vocabulary.name}/{value}".encode()).hexdigest()[:24]
        entry = Xml.SubElement(element, "CV_ENTRY_ML", CVE_ID=f"cveid_{digest}")
        inner = Xml.SubElement(entry, "CVE_VALUE", DESCRIPTION=meaning, LANG_REF=_LANGUAGE)
        inner.text = value
