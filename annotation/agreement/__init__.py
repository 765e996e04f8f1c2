"""Agreement between raters: numpy in, numbers out; no Django, so that a notebook can use it.

ratings = Ratings.from_long(unit, rater, value, scale="nominal", values=["no", "yes"],
                            cluster=participant)
stats = sufficient(ratings)                      # or sufficient(segments.runs("ah"))
coefficients(stats).alpha                        # a float, or Undefined(reason)
interval(stats, "alpha", method="bca", resamples=2000, seed=7)
cross_check(ratings)                             # the same alpha by the krippendorff package
"""

from annotation.agreement.adjudication import (
    Dispute,
    QueueEntry,
    adjudication_queue,
    disputed_segments,
    disputed_units,
)
from annotation.agreement.coefficients import Coefficients, coefficients
from annotation.agreement.consensus import (
    ConsensusSpan,
    SegmentConsensus,
    VoteDistribution,
    consensus_segments,
    majority,
    vote_distribution,
)
from annotation.agreement.continuous import IntraclassCorrelations, ccc, gold_trace, icc
from annotation.agreement.crosscheck import cross_check
from annotation.agreement.dawid_skene import DawidSkene, dawid_skene
from annotation.agreement.drift import Drift, DriftPoint, drift
from annotation.agreement.events import BoundaryBias, EventAgreement, event_agreement
from annotation.agreement.intervals import compare, interval
from annotation.agreement.raters import (
    GoldAccuracy,
    cohen,
    gold_accuracy,
    intra_rater,
    leave_one_rater_out,
    pairwise,
    wilson,
)
from annotation.agreement.ratings import Ratings
from annotation.agreement.results import Interval, Undefined
from annotation.agreement.segment_rows import GAP
from annotation.agreement.segments import Runs, Segments
from annotation.agreement.statistics import SufficientStatistics, sufficient
from annotation.agreement.unitizing import UnitizingAlpha, u_alpha

__all__ = [
    "GAP",
    "BoundaryBias",
    "Coefficients",
    "ConsensusSpan",
    "DawidSkene",
    "Dispute",
    "Drift",
    "DriftPoint",
    "EventAgreement",
    "GoldAccuracy",
    "Interval",
    "IntraclassCorrelations",
    "QueueEntry",
    "Ratings",
    "Runs",
    "SegmentConsensus",
    "Segments",
    "SufficientStatistics",
    "Undefined",
    "UnitizingAlpha",
    "VoteDistribution",
    "adjudication_queue",
    "ccc",
    "coefficients",
    "cohen",
    "compare",
    "consensus_segments",
    "cross_check",
    "dawid_skene",
    "disputed_segments",
    "disputed_units",
    "drift",
    "event_agreement",
    "gold_accuracy",
    "gold_trace",
    "icc",
    "interval",
    "intra_rater",
    "leave_one_rater_out",
    "majority",
    "pairwise",
    "sufficient",
    "u_alpha",
    "vote_distribution",
    "wilson",
]
