"""ELAN's annotation files (.eaf): read, written, matched with a codebook. Knows no framework."""

from annotation.elan.document import (
    Document,
    ElanAnnotation,
    ElanProblem,
    Media,
    Tier,
    Vocabulary,
)
from annotation.elan.fitting import FoundPass, fitted
from annotation.elan.read import read
from annotation.elan.tiers import RaterWork, document_of, tier_names
from annotation.elan.write import write

__all__ = [
    "Document",
    "ElanAnnotation",
    "ElanProblem",
    "FoundPass",
    "Media",
    "RaterWork",
    "Tier",
    "Vocabulary",
    "document_of",
    "fitted",
    "read",
    "tier_names",
    "write",
]
