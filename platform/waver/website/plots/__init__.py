"""Pictures as SVG, one module each; positions are computed here and no library is needed."""

from waver.website.plots.differences import Gap, differences
from waver.website.plots.drawing import Caption
from waver.website.plots.forest import Estimate, forest
from waver.website.plots.matrix import ConfusionCell, RaterCell, confusion, raters
from waver.website.plots.strip import Curve, Lane, Stretch, strip

__all__ = [
    "Caption",
    "ConfusionCell",
    "Curve",
    "Estimate",
    "Gap",
    "Lane",
    "RaterCell",
    "Stretch",
    "confusion",
    "differences",
    "forest",
    "raters",
    "strip",
]
