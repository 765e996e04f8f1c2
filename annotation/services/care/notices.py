"""What a rater reads before their first recording: what is recorded about them, why, how long.

The text follows from the study (its title, its leads, how long figures are kept), so whatever of
it changes changes its hash, and it must be read again before labelling goes on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from annotation.models import RaterNotice, RaterProfile
from annotation.services.care.profiles import profile_of
from waver.accounts.models import User
from waver.core import audit
from waver.core.errors import Conflict
from waver.studies.models import Membership, Study, StudyDesign


class NoticeUnread(Conflict):
    """The rater has not read the present notice of the study; reading it is all that is needed."""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the paragraph under it."""

    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Notice:
    """The notice of one study as it stands now. `sha256` is of `text`, which holds all of it."""

    sections: tuple[Section, ...]

    @property
    def text(self) -> str:
        """Give the whole notice as plain text."""
        return "\n\n".join(f"{each.heading}\n{each.text}" for each in self.sections) + "\n"

    @property
    def sha256(self) -> str:
        """Give the hash by which a reading names what was read."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def notice(study: Study) -> Notice:
    """Write the notice for the raters of a study."""
    design = StudyDesign.objects.filter(study=study).first() or StudyDesign(study=study)
    days = design.rater_figures_days
    return Notice(
        (
            Section(
                "Why your work is looked at",
                f"You label recordings for “{study.title}”. Its labels are published only if they "
                "are shown to be reliable, and that is shown by comparing raters. What is recorded "
                "about your work serves this, and helps to notice when instructions are unclear or "
                "when you need a break. It is not used to rate you as an employee or a student. No "
                "decision about you is made by a computer, but for one: where the study has a "
                "qualification, real work opens when it is passed.",
            ),
            Section(
                "What is recorded",
                "Every label that you submit, with its time and its earlier versions; how long a "
                "recording was open before you submitted it; when you signed in to the labelling "
                "page; your languages, absences and people whose recordings you should not judge, "
                "if you tell the study's lead; results of a training or qualification; and when "
                "you read this notice. From these, figures are computed: how often you agree with "
                "other raters and with answers that are known, whether that changes with time, how "
                "long you take, and what you do with suggestions of a computer. They are computed "
                "when a page shows them; only how every two raters agree is kept, with each look "
                "at the study's agreement.",
            ),
            Section(
                "Controls",
                "Among your recordings there can be some whose answer is known, and some that you "
                "have labelled before. They look like all others, and you are not told which they "
                "are, because nobody labels in the same way who knows. They never count as your "
                "labels in the dataset.",
            ),
            Section(
                "Who sees it",
                "The figures about you are seen by the study's leads and by you, under “My "
                "figures”, and by nobody else; other raters never see them. Researchers of the "
                "study see labels, and how raters agree, with numbers in place of names. In "
                "datasets that are given away, you are a code that is drawn by lot. "
                "Administrators of this server can read its database and may not use it for this.",
            ),
            Section(
                "How long it is kept",
                f"Your labels are research data and are kept with the study. {_days(days)} after "
                "your last work in this study, your time records, qualification results, "
                "languages, absences, conflicts and your part of the kept comparisons are "
                "deleted, and no figures about you can be shown any more. That you read this "
                "notice, and when, stays on record. Label Studio, the program that you label in, "
                "keeps its own copy of your answers until an administrator removes it.",
            ),
            Section(
                "Your rights",
                "You can look at your figures and download everything that is held about you at "
                "any time, under “My figures”. You can ask for a correction, object, or stop "
                f"labelling whenever you like, without a reason. Ask {_contact(study)}.",
            ),
        )
    )


def has_read(user: User, study: Study) -> bool:
    """Tell whether the rater has read the notice as it stands now."""
    return RaterProfile.objects.filter(
        user=user, study=study, notice_sha256=notice(study).sha256
    ).exists()


def require_read(user: User, study: Study) -> None:
    """Raise NoticeUnread unless the rater has read the notice as it stands now."""
    if has_read(user, study):
        return
    before = RaterProfile.objects.filter(user=user, study=study).exclude(notice_sha256="").exists()
    raise NoticeUnread(
        "What is recorded about your work has changed since you read about it. Read the notice "
        "again before you go on labelling."
        if before
        else "Before you label your first recording of this study, read what is recorded about "
        "your work, why, and for how long."
    )


@transaction.atomic
def read_notice(profile: RaterProfile, *, sha256: str) -> RaterProfile:
    """Record that the rater has read the notice with this hash, now; its text is kept.

    Reading the same text again changes nothing.
    Raises Conflict when the notice has changed since the page was opened.
    """
    present = notice(profile.study)
    if sha256 != present.sha256:
        raise Conflict(
            "This notice changed while you were reading it. Open it again and read the new text."
        )
    RaterNotice.objects.get_or_create(
        study=profile.study, sha256=present.sha256, defaults={"text": present.text}
    )
    row = RaterProfile.objects.select_for_update().get(pk=profile.pk)
    if row.notice_sha256 != present.sha256:
        row.notice_sha256, row.notice_read_at = present.sha256, timezone.now()
        row.save(update_fields=["notice_sha256", "notice_read_at"])
        audit.record(
            actor=f"rater {row.user_id}",
            verb="rater.notice_read",
            object_kind="rater_profile",
            object_id=row.pk,
            detail={"sha256": present.sha256},
        )
    profile.refresh_from_db()
    return profile


def read_present_notice(user: User, study: Study) -> RaterProfile:
    """Record that a rater has read the notice as it stands now, for raters on paper or in person.

    The page goes through `read_notice` with the hash of the text that it showed.
    """
    return read_notice(profile_of(user=user, study=study), sha256=notice(study).sha256)


def _days(days: int) -> str:
    return f"{days} days" if days != 1 else "One day"


def _contact(study: Study) -> str:
    leads = User.objects.filter(
        memberships__study=study, memberships__role=Membership.Role.LEAD, is_active=True
    ).order_by("username")
    names = [
        f"{lead.get_full_name() or lead.username}{f' ({lead.email})' if lead.email else ''}"
        for lead in leads
    ]
    return " or ".join(names) or "an administrator of this Waver"
