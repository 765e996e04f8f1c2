"""The transcript on a recording's page: corrected, brought in, compared, taken out, asked for."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from annotation.services.elan_transcripts import READERS
from annotation.services.own_work import require_submitted
from waver.consent import policy
from waver.consent.models import Purpose
from waver.core import audit
from waver.core.errors import BadInput, Conflict, ConsentRefused, Missing
from waver.recordings import transcribing
from waver.recordings.models import Recording, Transcript
from waver.recordings.subjects import subject_of
from waver.recordings.transcripts import correcting, differences, versions
from waver.recordings.transcripts.correcting import Row
from waver.recordings.transcripts.formats import srt, webvtt
from waver.recordings.transcripts.importing import bring_in as bring_file_in
from waver.recordings.transcripts.reading import MOST_BYTES, Options
from waver.recordings.transcripts.said import Said
from waver.website.access import RESEARCH, StudyAccess, study_page
from waver.website.queries import recording as recordings
from waver.website.queries import transcript as queries
from waver.website.queries.transcript import Form
from waver.website.views.recordings import show

WRITERS = {"vtt": webvtt, "srt": srt}


@require_POST
@never_cache
@study_page(RESEARCH)
def correct(request: HttpRequest, member: StudyAccess, recording_id: UUID) -> HttpResponse:
    """Save the form as the next version, or change its rows and show it again."""
    row = _find(member, recording_id)
    form = _form(request.POST)
    try:
        if request.POST.get("do") == "save":
            return _save(request, member, row, form)
        rows = _changed(request.POST, form, row)
    except versions.Overtaken as overtaken:
        return _overtaken(request, member, row, form, overtaken)
    except (BadInput, Conflict, ConsentRefused) as error:  # what was typed stays on the page
        again = Form(form.rows, form.language, form.based_on, problem=error.sentence)
        panel = queries.panel(row, form=again)
        return show(request, member, row, said=panel, status=error.http_status)
    panel = queries.panel(row, form=Form(rows, form.language, form.based_on))
    return show(request, member, row, said=panel)


def _save(request: HttpRequest, member: StudyAccess, row: Recording, form: Form) -> HttpResponse:
    kept = versions.store(
        recording=row,
        said=_said(row, form),
        source=Transcript.Source.CORRECTED,
        made_from=f"version {form.based_on}" if form.based_on else "written here",
        made_by=member.user.get_username(),
        based_on=form.based_on,
    )
    if kept.is_new:
        messages.success(
            request,
            f"Saved as version {kept.transcript.version}. Batches that were sent to Label Studio "
            "keep the text they were sent; new ones read this version.",
        )
    else:
        messages.info(request, f"Nothing was changed; version {kept.transcript.version} stands.")
    return redirect("website:recording", member.study.code, row.pk)


def _overtaken(
    request: HttpRequest,
    member: StudyAccess,
    row: Recording,
    form: Form,
    overtaken: versions.Overtaken,
) -> HttpResponse:
    """Show what was typed, how the other version differs, and let it be saved on top of that."""
    theirs = versions.said_in(overtaken.standing)
    again = Form(
        form.rows,
        form.language,
        overtaken.standing.version,
        problem=overtaken.sentence,
        theirs=differences.between(theirs, _said(row, form)),
    )
    panel = queries.panel(row, form=again)
    return show(request, member, row, said=panel, status=overtaken.http_status)


@require_POST
@study_page(RESEARCH)
def bring_in(request: HttpRequest, member: StudyAccess, recording_id: UUID) -> HttpResponse:
    """Make an uploaded file the next version."""
    row = _find(member, recording_id)
    file = request.FILES.get("file")
    try:
        if file is None or not file.name:
            raise BadInput("Choose the file with the transcript first.")
        tiers = [tier.strip() for tier in request.POST.get("tiers", "").split(",")]
        made = bring_file_in(
            recording=row,
            name=Path(file.name).name,
            data=file.read(MOST_BYTES + 1),
            actor=member.user.get_username(),
            language=request.POST.get("language", ""),
            readers=READERS,
            options=Options(tiers=tuple(filter(None, tiers))),
            replace=bool(request.POST.get("replace")),
        )
    except (BadInput, Conflict, ConsentRefused) as error:
        panel = queries.panel(row, problem=error.sentence)
        return show(request, member, row, said=panel, status=error.http_status)
    said = "brought in as" if made.kept.is_new else "there already, as"
    messages.success(request, f"The transcript is {said} version {made.kept.transcript.version}.")
    for note in made.notes:
        messages.warning(request, note)
    return redirect("website:recording", member.study.code, row.pk)


@require_POST
@study_page(RESEARCH)
def restore(request: HttpRequest, member: StudyAccess, recording_id: UUID) -> HttpResponse:
    """Let an older version stand again, as a new one."""
    row = _find(member, recording_id)
    try:
        kept = versions.restore(
            recording=row,
            number=_number(request.POST.get("version", "")),
            actor=member.user.get_username(),
            based_on=_number(request.POST.get("based_on", "")),
        )
    except versions.Overtaken as overtaken:
        raise Conflict(
            f"{overtaken.standing.made_by} saved version {overtaken.standing.version} meanwhile. "
            "Go back to the versions, look at that one, and restore again if you still want to."
        ) from overtaken
    messages.success(
        request, f"Version {kept.transcript.version} stands: {kept.transcript.made_from} again."
    )
    return redirect("website:recording", member.study.code, row.pk)


@require_POST
@study_page(RESEARCH)
def make(request: HttpRequest, member: StudyAccess, recording_id: UUID) -> HttpResponse:
    """Ask the model for a transcript."""
    row = _find(member, recording_id)
    try:
        transcribing.ask_for_transcript(
            recording=row,
            actor=member.user.get_username(),
            replace=bool(request.POST.get("replace")),
        )
    except (BadInput, Conflict) as error:
        panel = queries.panel(row, problem=error.sentence)
        return show(request, member, row, said=panel, status=error.http_status)
    messages.success(request, "The model was asked. Reload this page in a few minutes.")
    return redirect("website:recording", member.study.code, row.pk)


@require_safe
@never_cache
@study_page(RESEARCH)
def history(request: HttpRequest, member: StudyAccess, recording_id: UUID) -> HttpResponse:
    """Show every version, who made it and when, and how two of them differ."""
    row = _find(member, recording_id)
    lines = queries.history(row)
    compared = None
    if len(lines) > 1:
        newest, former = lines[0].row.version, lines[1].row.version
        compared = queries.compare(
            row,
            older=_number(request.GET.get("from") or str(former)),
            newer=_number(request.GET.get("to") or str(newest)),
        )
    context = {
        "member": member,
        "study": member.study,
        "recording": row,
        "versions": lines,
        "compared": compared,
    }
    return render(request, "website/transcript.html", context)


@require_safe
@never_cache
@study_page(RESEARCH)
def download(
    request: HttpRequest, member: StudyAccess, recording_id: UUID, form: str
) -> HttpResponse:
    """Send the version that stands, or the one asked for, as WebVTT or SRT.

    Segments that reach into a stretch that must not be used are left out.
    """
    row = _find(member, recording_id)
    writer = WRITERS.get(form)
    if writer is None:
        raise Missing("A transcript comes as .vtt or .srt.")
    wanted = request.GET.get("version", "")
    chosen = versions.version(row, _number(wanted)) if wanted else versions.standing(row)
    if chosen is None:
        raise Missing("This recording has no transcript yet. Bring one in, or write it down.")
    said = versions.without_restricted(row, versions.said_in(chosen))
    audit.record(
        actor=member.user.get_username(),
        verb="transcript.exported",
        object_kind="recording",
        object_id=row.pk,
        detail={"version": chosen.version, "form": form},
    )
    return HttpResponse(
        writer.write(said),
        content_type=writer.MEDIA_TYPE,
        headers={
            "Content-Disposition": f'attachment; filename="{row.pk}.{form}"',
            "Cache-Control": "private, no-store",
        },
    )


# Parts


def _find(member: StudyAccess, recording_id: UUID) -> Recording:
    """The recording, if this person may see it at all and its participant still allows it."""
    row = recordings.find(member.study, recording_id)
    require_submitted(member.user, row)
    policy.require(Purpose.PROCESS, subject_of(row), actor=member.user.get_username())
    return row


def _form(typed: QueryDict) -> Form:
    """The rows in the order of their fields; parallel lists, so that none can be lost."""
    columns = [typed.getlist(name) for name in ("start", "end", "text", "speaker")]
    if len({len(column) for column in columns}) != 1:
        raise BadInput("The form came in damaged. Reload the page and try again.")
    rows = [Row(*cells) for cells in zip(*columns, strict=True)]
    return Form(rows, typed.get("language", "").strip(), _number(typed.get("based_on", "0")))


def _said(row: Recording, form: Form) -> Said:
    base = Said(())
    if form.based_on:
        base = versions.said_in(versions.version(row, form.based_on))
    return correcting.said_of(
        form.rows, language=form.language, base=base, duration_us=versions.length_of(row)
    )


def _changed(typed: QueryDict, form: Form, row: Recording) -> list[Row]:
    """What a button of the form does: “split 3” and its like; rows count from 0."""
    what, _, place = typed.get("do", "").partition(" ")
    at = _number(place, default=-1)
    at_us = _number(typed.get("at_us", ""), default=-1)
    moment = at_us if at_us >= 0 else None
    if what == "split":
        caret = _number(typed.get("caret", ""), default=-1)
        return correcting.split(form.rows, at, caret=caret if caret >= 0 else None, at_us=moment)
    if what == "merge":
        return correcting.merge(form.rows, at)
    if what == "remove":
        return correcting.remove(form.rows, at)
    if what == "add":
        length = versions.length_of(row)
        return correcting.add(form.rows, at, at_us=moment, duration_us=length)
    raise BadInput("The form asked for something unknown. Reload the page and try again.")


def _number(text: str, *, default: int | None = None) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 18:
        return int(text)
    if default is None:
        raise BadInput(f"“{text[:40]}” is no number. Reload the page and try again.")
    return default
