"""The rules of the EAF 3.0 schema that a file can be checked against without the schema itself."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

ORDER = [
    "LICENSE", "HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "LOCALE", "LANGUAGE",
    "CONSTRAINT", "CONTROLLED_VOCABULARY", "LEXICON_REF", "REF_LINK_SET", "EXTERNAL_REF",
]  # fmt: skip
REQUIRED = {
    "ANNOTATION_DOCUMENT": {"AUTHOR", "DATE", "VERSION"},
    "MEDIA_DESCRIPTOR": {"MEDIA_URL", "MIME_TYPE"},
    "TIME_SLOT": {"TIME_SLOT_ID"},
    "TIER": {"TIER_ID", "LINGUISTIC_TYPE_REF"},
    "ALIGNABLE_ANNOTATION": {"ANNOTATION_ID", "TIME_SLOT_REF1", "TIME_SLOT_REF2"},
    "REF_ANNOTATION": {"ANNOTATION_ID", "ANNOTATION_REF"},
    "LINGUISTIC_TYPE": {"LINGUISTIC_TYPE_ID"},
    "LANGUAGE": {"LANG_ID"},
    "CONSTRAINT": {"STEREOTYPE"},
    "CONTROLLED_VOCABULARY": {"CV_ID"},
    "CV_ENTRY_ML": {"CVE_ID"},
    "CVE_VALUE": {"LANG_REF"},
}
CHILDREN = {
    "HEADER": ["MEDIA_DESCRIPTOR", "LINKED_FILE_DESCRIPTOR", "PROPERTY"],
    "CONTROLLED_VOCABULARY": ["DESCRIPTION", "CV_ENTRY_ML"],
    "ALIGNABLE_ANNOTATION": ["ANNOTATION_VALUE"],
    "REF_ANNOTATION": ["ANNOTATION_VALUE"],
}


def check(data: bytes) -> Xml.Element:
    """Assert the rules, and give the tree."""
    root = Xml.fromstring(data)
    assert root.tag == "ANNOTATION_DOCUMENT"
    assert (root.get("FORMAT"), root.get("VERSION")) == ("3.0", "3.0")
    tags = [child.tag for child in root]
    assert [ORDER.index(tag) for tag in tags] == sorted(ORDER.index(tag) for tag in tags)
    assert (tags.count("HEADER"), tags.count("TIME_ORDER")) == (1, 1)
    for element in root.iter():
        assert set(element.attrib) >= REQUIRED.get(element.tag, set()), element.tag
        if element.tag in CHILDREN:
            places = [CHILDREN[element.tag].index(child.tag) for child in element]
            assert places == sorted(places)
    _check_references(root)
    _check_times(root)
    return root


def _ids(root: Xml.Element, tag: str, name: str) -> set[str]:
    found = [element.get(name, "") for element in root.iter(tag)]
    assert len(found) == len(set(found)), f"{tag} repeats an id"
    return set(found)


def _check_references(root: Xml.Element) -> None:
    types = _ids(root, "LINGUISTIC_TYPE", "LINGUISTIC_TYPE_ID")
    tiers = _ids(root, "TIER", "TIER_ID")
    slots = _ids(root, "TIME_SLOT", "TIME_SLOT_ID")
    languages = _ids(root, "LANGUAGE", "LANG_ID")
    vocabularies = _ids(root, "CONTROLLED_VOCABULARY", "CV_ID")
    _ids(root, "CV_ENTRY_ML", "CVE_ID")
    stereotypes = _ids(root, "CONSTRAINT", "STEREOTYPE")
    annotations = [e.get("ANNOTATION_ID", "") for e in root.iter() if e.get("ANNOTATION_ID")]
    assert len(annotations) == len(set(annotations))
    for tier in root.iter("TIER"):
        assert tier.get("LINGUISTIC_TYPE_REF") in types
        assert tier.get("PARENT_REF", next(iter(tiers))) in tiers
    for kind in root.iter("LINGUISTIC_TYPE"):
        constraint = kind.get("CONSTRAINTS")
        assert constraint is None or constraint in stereotypes
        assert (constraint == "Symbolic_Association") == (kind.get("TIME_ALIGNABLE") == "false")
        vocabulary = kind.get("CONTROLLED_VOCABULARY_REF")
        assert vocabulary is None or vocabulary in vocabularies
    for row in root.iter("ALIGNABLE_ANNOTATION"):
        assert {row.get("TIME_SLOT_REF1"), row.get("TIME_SLOT_REF2")} <= slots
    for row in root.iter("REF_ANNOTATION"):
        assert row.get("ANNOTATION_REF") in annotations
    for value in [*root.iter("CVE_VALUE"), *root.iter("DESCRIPTION")]:
        assert value.get("LANG_REF") in languages


def _check_times(root: Xml.Element) -> None:
    """Slots stand in time order, and no two annotations of a tier overlap."""
    times = {s.get("TIME_SLOT_ID"): int(s.get("TIME_VALUE", "")) for s in root.iter("TIME_SLOT")}
    assert list(times.values()) == sorted(times.values())
    for tier in root.iter("TIER"):
        before = 0
        for row in tier.iter("ALIGNABLE_ANNOTATION"):
            start, end = times[row.get("TIME_SLOT_REF1")], times[row.get("TIME_SLOT_REF2")]
            assert before <= start < end
            before = end
