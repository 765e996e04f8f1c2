"""Agreement between raters: numpy in, numbers out; no Django, so that a notebook can use it.

ratings = Ratings.from_long(unit, rater, value, scale="nominal", values=["no", "yes"],
                            cluster=participant)
stats = sufficient(ratings)                      # or sufficient(segments.runs("ah"))
coefficients(stats).alpha                        # a float, or Undefined(reason)
interval(stats, "alpha", method="bca", resamples=2000, seed=7)
cross_check(ratings)                             # the same alpha by the krippendorff package
"""

from annotation.agreement.coefficients import Coefficients, coefficients
from annotation.agreement.consensus import (
    ConsensusSpan,
    SegmentConsensus,
    VoteDistribution,
    consensus_segments,
    majority,
    vote_distribution,
)
from annotation.agreement.continuous import IntraclassCorrelations, ccc, icc
from annotation.agreement.crosscheck import cross_check
from annotation.agreement.dawid_skene import DawidSkene, dawid_skene
from annotation.agreement.events import EventAgreement, event_agreement
from annotation.agreement.intervals import compare, interval
from annotation.agreement.raters import leave_one_rater_out, pairwise
from annotation.agreement.ratings import Ratings
from annotation.agreement.results import Interval, Undefined
from annotation.agreement.segments import GAP, Runs, Segments
from annotation.agreement.statistics import SufficientStatistics, sufficient
from annotation.agreement.unitizing import UnitizingAlpha, u_alpha

__all__ = [
    "GAP",
    "Coefficients",
    "ConsensusSpan",
    "DawidSkene",
    "EventAgreement",
    "Interval",
    "IntraclassCorrelations",
    "Ratings",
    "Runs",
    "SegmentConsensus",
    "Segments",
    "SufficientStatistics",
    "Undefined",
    "UnitizingAlpha",
    "VoteDistribution",
    "ccc",
    "coefficients",
    "compare",
    "consensus_segments",
    "cross_check",
    "dawid_skene",
    "event_agreement",
    "icc",
    "interval",
    "leave_one_rater_out",
    "majority",
    "pairwise",
    "sufficient",
    "u_alpha",
    "vote_distribution",
]
