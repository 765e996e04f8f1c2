"""Codebooks: what raters are asked, versioned; each makes its interface and checks its answers.

codebook = load(shipped()["bah"])
label_config(codebook, "segments")                      # Label Studio's XML
parse_result(codebook, "segments", result, duration_us)  # checked values, or InvalidAnnotation
"""

from annotation.codebooks.answers import parse_result
from annotation.codebooks.changes import (
    Comparison,
    MigrationError,
    Orphan,
    compare,
    migration_between,
)
from annotation.codebooks.interface import instructions, label_config
from annotation.codebooks.loader import load, migration_block, shipped
from annotation.codebooks.migration import Left, Migrated, Migration, migrate, migrate_through
from annotation.codebooks.model import Codebook, CodebookError, Measurable, Pass, Question, Value
from annotation.codebooks.parsed import (
    EDGE_TOLERANCE_US,
    InvalidAnnotation,
    ParsedAnnotation,
    ParsedClipLabel,
    ParsedCue,
    ParsedSegment,
    ParsedText,
)
from annotation.codebooks.results import to_result

__all__ = [
    "EDGE_TOLERANCE_US",
    "Codebook",
    "CodebookError",
    "Comparison",
    "InvalidAnnotation",
    "Left",
    "Measurable",
    "Migrated",
    "Migration",
    "MigrationError",
    "Orphan",
    "ParsedAnnotation",
    "ParsedClipLabel",
    "ParsedCue",
    "ParsedSegment",
    "ParsedText",
    "Pass",
    "Question",
    "Value",
    "compare",
    "instructions",
    "label_config",
    "load",
    "migrate",
    "migrate_through",
    "migration_between",
    "migration_block",
    "parse_result",
    "shipped",
    "to_result",
]
