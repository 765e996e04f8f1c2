"""Codebooks: what raters are asked, versioned; each makes its interface and checks its answers.

codebook = load(shipped()["bah"])
label_config(codebook, "segments")                      # Label Studio's XML
parse_result(codebook, "segments", result, duration_us)  # checked values, or InvalidAnnotation
"""

from annotation.codebooks.answers import (
    EDGE_TOLERANCE_US,
    InvalidAnnotation,
    ParsedAnnotation,
    ParsedClipLabel,
    ParsedCue,
    ParsedSegment,
    parse_result,
    to_result,
)
from annotation.codebooks.interface import instructions, label_config
from annotation.codebooks.loader import load, shipped
from annotation.codebooks.model import Codebook, CodebookError, Measurable, Pass, Question, Value

__all__ = [
    "EDGE_TOLERANCE_US",
    "Codebook",
    "CodebookError",
    "InvalidAnnotation",
    "Measurable",
    "ParsedAnnotation",
    "ParsedClipLabel",
    "ParsedCue",
    "ParsedSegment",
    "Pass",
    "Question",
    "Value",
    "instructions",
    "label_config",
    "load",
    "parse_result",
    "shipped",
    "to_result",
]
