"""Everything that a study holds about one of its raters, for the rater to take away.

Which recordings were controls, and which recording or participant an answer is about, is left out:
knowing it would end the blindness on which the study rests, and name people to others.
"""

from __future__ import annotations

from typing import Any

from django.forms.models import model_to_dict

from annotation.models import (
    Adjudication,
    Annotation,
    Assignment,
    Qualification,
    RaterConflict,
    RaterNotice,
    RaterProfile,
    RemoteProject,
)
from annotation.services.care.notices import notice
from waver.accounts.models import LabelStudioSession, User
from waver.core.models import AuditEntry
from waver.studies.models import Membership, Study

LEFT_OUT = (
    "Which of your recordings were controls with a known answer or repeats, and what recording or "
    "participant an answer is about, is not in this file: raters label blind. The figures computed "
    "from it stand on the page “My figures”. Passwords are kept only as one-way hashes."
)


def held_about(user: User, study: Study) -> dict[str, Any]:
    """Gather what is held about a rater in one study, ready to be written as JSON."""
    profile = RaterProfile.objects.filter(study=study, user=user).first()
    return {
        "schema": "waver.rater-holdings/1",
        "study": {"code": study.code, "title": study.title},
        "left_out": LEFT_OUT,
        "account": {
            **model_to_dict(user, fields=["username", "email", "first_name", "last_name"]),
            "joined": user.date_joined,
            "last_sign_in": user.last_login,
        },
        "roles": list(
            Membership.objects.filter(study=study, user=user).values("role", "created_at")
        ),
        "profile": _profile(profile) if profile else None,
        "present_notice": notice(study).text,
        "assignments": [_assignment(row) for row in _assignments(user, study)],
        "stays_in_label_studio": list(
            LabelStudioSession.objects.filter(
                user=user,
                remote_project_id__in=RemoteProject.objects.filter(
                    batch__study=study, rater=user
                ).values("remote_id"),
            ).values("created_at", "redeemed_at", "ended_at", "expires_at")
        ),
        "decisions_on_disputed_items": list(
            Adjudication.objects.filter(decided_by=user, recording__study=study).values(
                "created_at", "label", "value", "rationale"
            )
        ),
    }


def _profile(profile: RaterProfile) -> dict[str, Any]:
    return {
        "languages": profile.languages,
        "absent_from": profile.absent_from,
        "absent_until": profile.absent_until,
        "notice_read_at": profile.notice_read_at,
        "notice_sha256": profile.notice_sha256,
        "notice_read": RaterNotice.objects.filter(study=profile.study, sha256=profile.notice_sha256)
        .values_list("text", flat=True)
        .first(),
        "figures_removed_at": profile.figures_removed_at,
        "conflicts": list(
            RaterConflict.objects.filter(profile=profile).values("created_at", "reason")
        ),
        "qualifications": list(
            Qualification.objects.filter(profile=profile).values(
                "created_at", "pass_id", "n", "agreed", "minimum", "passed"
            )
        ),
        "log": list(
            AuditEntry.objects.filter(object_kind="rater_profile", object_id=str(profile.pk))
            .order_by("seq")
            .values("at", "verb")
        ),
    }


def _assignments(user: User, study: Study) -> list[Assignment]:
    """Give the rater's assignments in their own order, which says nothing about controls."""
    return list(
        Assignment.objects.filter(rater=user, batch__study=study)
        .exclude(state=Assignment.State.PLANNED)
        .select_related("batch")
        .prefetch_related("annotations")
        .order_by("batch__created_at", "order", "pk")
    )


def _assignment(row: Assignment) -> dict[str, Any]:
    return {
        "id": row.pk,
        "batch": f"{row.batch.pass_id}, {row.batch.number}",
        "kind": row.batch.kind,
        "state": row.state,
        "sent_back_because": row.return_reason,
        "submissions": [
            _annotation(each) for each in sorted(row.annotations.all(), key=lambda a: a.version)
        ],
    }


def _annotation(row: Annotation) -> dict[str, Any]:
    return {
        "version": row.version,
        "submitted_at": row.remote_updated_at,
        "received_at": row.created_at,
        "open_for_seconds": row.lead_time_us / 1e6 if row.lead_time_us is not None else None,
        "verdict": row.verdict,
        "reason": row.reason,
        "result": row.raw.get("result", []),
    }
