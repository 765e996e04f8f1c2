"""The guard's own addresses: the way in, media, and what Waver's service account needs."""

import http.client
import time
from pathlib import Path

from django.contrib import auth
from django.http import HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods

from waver_guard import checks, people, refusals, waver
from waver_guard.refusals import Refused

_CHUNK = 64 * 1024
_SCRIPT = Path(__file__).with_name("labelling.js").read_bytes()
_PASSED_ON = ("Content-Type", "Content-Length", "Content-Range", "Accept-Ranges", "Cache-Control")


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def enter(request):
    """Redeem a one-time ticket of Waver's, sign the rater in and go to the stream of tasks.

    `task` opens one task of the project instead, as for work that was sent back. The ticket comes
    in the body of a POST from Waver's page: it is in no address, log or history, and whoever only
    looks here, such as a browser that loads ahead, uses up nothing.
    """
    if request.method != "POST":
        return refusals.answer(
            request,
            Refused("The way in is on your page in Waver. Press “Start labelling” there."),
        )
    try:
        status, answer = waver.ask(
            "/internal/label-studio/redeem", {"ticket": request.POST.get("ticket", "")}
        )
        if status != 200:
            raise Refused(
                answer.get("detail") or "This way in was used or is too old. Start again in Waver."
            )
        user = _account(answer["rater"], answer["project"])
    except waver.Unreachable:
        return refusals.answer(
            request,
            Refused("Waver does not answer at the moment. Try again in a minute.", status=503),
        )
    except Refused as refusal:
        return refusals.answer(request, refusal)
    request.session.flush()
    auth.login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    request.session["last_login"] = time.time()
    request.session["waver_key"] = answer["key"]
    request.session["waver_project"] = answer["project"]
    request.session["keep_me_logged_in"] = False
    request.session.set_expiry(0)
    get_token(request)  # for scripts, which name no origin
    return HttpResponseRedirect(_landing(request, answer["project"]))


def _account(rater_id, project):
    from projects.models import ProjectMember
    from users.models import User

    user = User.objects.filter(email=people.email_of(rater_id), is_active=True).first()
    member = user is not None and ProjectMember.objects.filter(
        user=user, project_id=project, enabled=True
    )
    if not member or not member.exists():
        raise Refused("Your tasks are not in Label Studio yet. Wait a minute and start again.")
    return user


def _landing(request, project):
    from tasks.models import Task

    task = checks._number(request.POST.get("task"))
    if task is not None and Task.objects.filter(pk=task, project_id=project).exists():
        return f"/projects/{project}/data?task={task}"
    return f"/projects/{project}/data?labeling=1"


@require_GET
def labelling_script(request):
    """Give the script by which the labelling page says why something was refused."""
    return HttpResponse(_SCRIPT, content_type="text/javascript; charset=utf-8")


@require_GET
def media(request, token):
    """Pass a byte range of a recording on from Waver, which asks for consent each time."""
    who = request.waver_who
    if not isinstance(who, people.Rater):
        return refusals.answer(request, Refused("Recordings are shown to raters only."))
    try:
        connection, found = waver.open_media(token, who.key, request.META.get("HTTP_RANGE"))
    except waver.Unreachable:
        return refusals.answer(
            request,
            Refused("Waver does not answer at the moment. Reload in a minute.", status=503),
        )
    if found.status not in (200, 206):
        body = found.read()
        connection.close()
        return HttpResponse(body, status=found.status, content_type=found.getheader("Content-Type"))
    response = StreamingHttpResponse(_chunks(connection, found), status=found.status)
    for name in _PASSED_ON:
        value = found.getheader(name)
        if value is not None:
            response[name] = value
    response["Cache-Control"] = "no-store"
    return response


def _chunks(connection, found):
    try:
        while chunk := found.read(_CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException):
        return  # a torn stream: the browser sees too few bytes and asks again
    finally:
        connection.close()
