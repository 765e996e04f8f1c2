"""Pages about raters: their notice, the figures of each, and what the lead knows of them."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from annotation.services import care
from waver.core.errors import Conflict
from waver.studies.models import Membership, Study
from waver.website.access import StudyAccess, study_page

LEAD: frozenset[str] = frozenset({Membership.Role.LEAD})
RATERS: frozenset[str] = frozenset({Membership.Role.ANNOTATOR, Membership.Role.LEAD})


@require_http_methods(["GET", "HEAD", "POST"])
@study_page(RATERS)
def notice(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    """Show what is recorded about raters; by POST, record that this rater has read this text."""
    problem, status = "", 200
    if request.method == "POST":
        profile = care.profile_of(user=member.user, study=member.study)
        try:
            care.read_notice(profile, sha256=request.POST.get("sha256", ""))
        except Conflict as error:
            problem, status = error.sentence, error.http_status  # above the new text
        else:
            messages.success(request, "Thank you. It is recorded that you have read the notice.")
            return redirect("website:queue")
    return render(
        request,
        "website/rater_notice.html",
        {
            "study": member.study,
            "notice": care.notice(member.study),
            "is_rater": Membership.Role.ANNOTATOR in member.roles,
            "has_read": care.has_read(member.user, member.study),
            "problem": problem,
        },
        status=status,
    )


def notice_first(request: HttpRequest, study: Study, unread: care.NoticeUnread) -> HttpResponse:
    """Say that the notice comes before labelling, with the way to it."""
    return render(
        request,
        "website/rater_notice_first.html",
        {"study": study, "sentence": unread.sentence},
        status=unread.http_status,
    )
