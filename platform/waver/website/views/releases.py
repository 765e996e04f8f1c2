"""Releases: the list, one release, its download, and asking for a new one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from waver.core import audit
from waver.core.errors import Conflict, ConsentRefused
from waver.datasets.models import Release
from waver.datasets.receipts import known_keys
from waver.website import archive
from waver.website.access import RESEARCH, StudyAccess, study_page
from waver.website.queries import agreement as agreement_queries
from waver.website.queries import releases as queries

_ASK_AGAIN_SECONDS = 5.0


@require_safe
@study_page(RESEARCH)
def releases(request: HttpRequest, member: StudyAccess) -> HttpResponse:
    """List the releases of a study."""
    return render(
        request,
        "website/releases.html",
        {"member": member, "study": member.study, "releases": queries.releases(member.study)},
    )


@require_safe
@study_page(RESEARCH)
def release(request: HttpRequest, member: StudyAccess, release_id: UUID) -> HttpResponse:
    """Show one release: its verdict, what is in it, what was left out, how to verify it."""
    row = queries.find(member.study, release_id)
    return render(
        request,
        "website/release.html",
        {"member": member, "study": member.study, "release": row, "page": queries.page(row)},
    )


@require_safe
@study_page(RESEARCH)
def download(request: HttpRequest, member: StudyAccess, release_id: UUID) -> HttpResponseBase:
    """Send a release as a tar archive, after asking everybody's consent once more."""
    row = queries.find(member.study, release_id)
    _require_consent(row, actor=member.user.get_username())
    files = _while_allowed(row, queries.files_of(row), actor=member.user.get_username())
    audit.record(
        actor=member.user.get_username(),
        verb="release.downloaded",
        object_kind="release",
        object_id=row.pk,
        detail={"root": row.root},
    )
    return StreamingHttpResponse(
        archive.stream(files),
        content_type="application/x-tar",
        headers={
            "Content-Disposition": f'attachment; filename="{row.folder}.tar"',
            "Cache-Control": "private, no-store",
        },
    )


@require_POST
@study_page(RESEARCH)
def request_release(request: HttpRequest, member: StudyAccess, run_id: UUID) -> HttpResponse:
    """Ask for a release of what the gate lets out; a worker builds it."""
    from waver.datasets.releases import request as ask

    run = agreement_queries.find_run(member.study, run_id)
    if run is None:
        raise Conflict("The gate has not looked at this study yet.")
    ask(
        gate_run=run,
        version=request.POST.get("version", "").strip(),
        purpose=request.POST.get("purpose", ""),
        actor=member.user.get_username(),
        with_previews=request.POST.get("previews") == "masked",
    )
    messages.success(request, "The release is being built. It appears here when it is whole.")
    return redirect("website:releases", member.study.code)


def _while_allowed(
    row: Release, files: Iterable[tuple[Path, str]], *, actor: str
) -> Iterator[tuple[Path, str]]:
    """Give the files one by one, asking for consent again every few seconds.

    Raises ConsentRefused when somebody withdraws in the meantime: the download breaks off, and an
    archive that ends early cannot be unpacked whole.
    """
    asked = time.monotonic()
    for file in files:
        if time.monotonic() - asked > _ASK_AGAIN_SECONDS:
            _require_consent(row, actor=actor)
            asked = time.monotonic()
        yield file


def _require_consent(row: Release, *, actor: str) -> None:
    """Refuse what a withdrawal has not reached yet; the refusal is recorded.

    Raises Conflict for a release that is not published, ConsentRefused when the consent of
    somebody in it no longer covers its purpose.
    """
    from waver.datasets.redaction import refused_participants
    from waver.datasets.releases import is_held

    refused = refused_participants(row)
    if refused:
        audit.record(
            actor=actor,
            verb="release.download_refused",
            object_kind="release",
            object_id=row.pk,
            detail={"purpose": row.purpose, "participants": len(refused)},
        )
        raise ConsentRefused(
            f"The consent of {len(refused)} of the participants in this release no longer covers "
            "it, so nobody may download it. It comes back without them when the withdrawal has "
            "been carried out; the consent manager can tell when.",
            purpose=row.purpose,
        )
    if is_held(row):
        raise Conflict(
            f"Release {row.version} is {row.get_state_display().lower()} and cannot be downloaded "
            "now. Its page says more."
        )


@require_safe
def signing_key(request: HttpRequest) -> HttpResponse:
    """Show everybody the public keys that this installation's receipts can be checked with."""
    return render(request, "website/signing_key.html", {"keys": known_keys()})
