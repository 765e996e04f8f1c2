"""Care for raters: they are data subjects too. Their notice, profile, figures and retention.

This part loads no numpy; the figures are in `care.figures`, which pages import when they show them.
"""

from annotation.services.care.notices import (
    Notice,
    NoticeUnread,
    Section,
    has_read,
    notice,
    read_notice,
    read_present_notice,
    require_read,
)
from annotation.services.care.profiles import is_rater_of, profile_of, raters_of

__all__ = [
    "Notice",
    "NoticeUnread",
    "Section",
    "has_read",
    "is_rater_of",
    "notice",
    "profile_of",
    "raters_of",
    "read_notice",
    "read_present_notice",
    "require_read",
]
