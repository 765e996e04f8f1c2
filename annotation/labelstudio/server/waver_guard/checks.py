"""The checks behind the rules: every id in address, query and body must be the rater's own.

A check gives None to let the view run, or an answer in its place; it raises Refused otherwise.
What does not exist and what is somebody else's get the same answer, so ids tell nothing.
"""

import json

from django.conf import settings
from django.db import OperationalError, connection
from django.http import HttpResponseRedirect, JsonResponse

from waver_guard import waver
from waver_guard.refusals import Refused

# Words that a query may hold. Others could name other people's rows in ways not judged here.
_QUERY_WORDS = frozenset(
    {
        "project",
        "view",
        "task",
        "interaction",
        "page",
        "page_size",
        "id",
        "labeling",
        "tabID",
        "tab_filter",
        "fields",
        "include",
        "resolve_uri",
        "annotations_stub",
        "review",
        "name",
        "ordering",
        "only",
        "tab",
        "annotation",
        "region",
        "expand",
        "lsref",
    }
)
_PROJECT_WORDS = ("project", "projectID", "project_id")
# What the interface sends with an annotation or a draft; `completed_by`, `ground_truth` and
# `updated_by`, by which one rater could speak for another, are not among them.
_ANNOTATION_WORDS = frozenset(
    {
        "id",
        "result",
        "lead_time",
        "started_at",
        "draft_id",
        "parent_prediction",
        "parent_annotation",
        "was_cancelled",
        "was_postponed",
        "task",
        "project",
        "unique_id",
        "selected",
        "skipped",
        "type",
        "overrides",
        "state",
        "history",
        "created_at",
        "updated_at",
        "created_ago",
        "created_username",
        "annotation",
    }
)
_NO_VIEW = ("", "0", "undefined", "null")
_NOT_YOURS = (
    "This is not part of your work, or not any more: a participant may have withdrawn, or another "
    "rater was given it. Start labelling from your page in Waver."
)
_LARGEST_BODY = 10 * 1024 * 1024
# Label Studio would store two first annotations that come at the same moment. The lock lies in
# its database, so that it also holds where several processes serve.
_LOCKS = 0x57415645
_PATIENCE = "20s"


def refuse_foreign_words(request, rater):
    """Judge what every request may carry, before its own rule is asked."""
    has_body = (
        request.META.get("CONTENT_LENGTH") not in (None, "", "0")
        or "HTTP_TRANSFER_ENCODING" in request.META
    )
    if has_body and request.method in ("GET", "HEAD", "DELETE"):
        raise Refused("A question to Label Studio carries no body here.")
    unknown = set(request.GET) - _QUERY_WORDS
    if unknown:
        raise Refused(f"Label Studio does not answer “{sorted(unknown)[0]}” here.")
    for word in _PROJECT_WORDS:
        for value in request.GET.getlist(word):
            _require(_number(value) == rater.project)
    for value in request.GET.getlist("task"):
        _require(value == "" or _task_is_own(_number(value), rater))
    for value in request.GET.getlist("annotation"):
        _require(value == "" or _annotation(_number(value), rater) is not None)
    for word in ("view", "tabID", "tab"):
        for value in request.GET.getlist(word):
            _require(value in _NO_VIEW or _view_is_own(_number(value), rater))
    for word in ("include", "expand"):
        if any("completed_by" in value or "user" in value for value in request.GET.getlist(word)):
            raise Refused("Label Studio does not name people here.")


def nothing_more(request, rater, kwargs):
    """Let the view run: it is about the rater only."""


def exactly_version(request, rater, kwargs):
    """The interface's question for its version; the route itself matches longer addresses too."""
    _require(request.path in ("/api/version", "/api/version/"))


def own_project(request, rater, kwargs):
    """The project in the address must be the rater's."""
    _require(kwargs["pk"] == rater.project)


def next_of_project(request, rater, kwargs):
    """The stream of the rater's project, while they may go on; what is open is still taken in."""
    own_project(request, rater, kwargs)
    if rater.pause:
        raise Refused(rater.pause)


def names_own_project(request, rater, kwargs):
    """The query must name the rater's project, because the view would else choose one."""
    _require("project" in request.GET)


def next_task(request, rater, kwargs):
    """Of all actions on tasks only the asking for the next one."""
    names_own_project(request, rater, kwargs)
    if request.GET.getlist("id") != ["next_task"]:
        raise Refused("This action is switched off for raters.")
    if rater.pause:
        raise Refused(rater.pause)
    body = _body(request)
    _own_project_in(body, rater)
    if "view" in body:
        _require(_view_is_own(_number(body["view"]), rater))


def new_view(request, rater, kwargs):
    """A new arrangement of the rater's own task list."""
    body = _body(request)
    _require("project" in body)
    _own_project_in(body, rater)


def own_view(request, rater, kwargs):
    """An arrangement of the rater's own task list."""
    _require(_view_is_own(_number(kwargs["pk"]), rater))
    if request.method == "PATCH":
        _own_project_in(_body(request), rater)


def own_task(request, rater, kwargs):
    """The task in the address must be in the rater's project."""
    _require(_task_is_own(kwargs["pk"], rater))


def new_annotation(request, rater, kwargs):
    """The rater's first annotation of an own task, spoken for nobody else."""
    from tasks.models import Annotation

    own_task(request, rater, kwargs)
    _annotation_body(request, rater, task=kwargs["pk"])
    _lock(request, kwargs["pk"])
    if Annotation.objects.filter(task_id=kwargs["pk"], was_cancelled=False).exists():
        raise Refused(
            "You have already submitted this recording. Open your submitted work to change it.",
            status=409,
        )


def _lock(request, task):
    """Let nobody else submit for this task until the middleware has called `unlock`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [_PATIENCE])
        try:
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", [_LOCKS, task % 2**31])
        except OperationalError as error:
            raise Refused(
                "Label Studio is slow at the moment. Submit again in a minute.", status=503
            ) from error
        finally:
            cursor.execute("RESET lock_timeout")
    request.waver_locked = task


def unlock(request):
    """Release what `_lock` took for this request, if anything."""
    task = request.__dict__.pop("waver_locked", None)
    if task is not None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_LOCKS, task % 2**31])


def own_annotation(request, rater, kwargs):
    """The annotation in the address must be the rater's."""
    _require(_annotation(kwargs["pk"], rater) is not None)


def changed_annotation(request, rater, kwargs):
    """A change of the rater's own annotation."""
    annotation = _annotation(kwargs["pk"], rater)
    _require(annotation is not None)
    _annotation_body(request, rater, task=annotation.task_id)


def draft_of_task(request, rater, kwargs):
    """A draft of an own task."""
    own_task(request, rater, kwargs)
    _annotation_body(request, rater, task=kwargs["pk"])


def draft_of_annotation(request, rater, kwargs):
    """A draft of an own annotation, with both ids in the address."""
    annotation = _annotation(kwargs["annotation_id"], rater)
    _require(annotation is not None and annotation.task_id == kwargs["pk"])
    if request.method == "POST":
        _annotation_body(request, rater, task=kwargs["pk"])


def own_draft(request, rater, kwargs):
    """The draft in the address must be the rater's."""
    _require(_draft(kwargs["pk"], rater) is not None)


def changed_draft(request, rater, kwargs):
    """A change of the rater's own draft."""
    draft = _draft(kwargs["pk"], rater)
    _require(draft is not None)
    _annotation_body(request, rater, task=draft.task_id)


def own_hotkeys(request, rater, kwargs):
    """The rater's own hotkeys, and nothing else of the account."""
    if set(_body(request)) - {"custom_hotkeys"}:
        raise Refused("Only hotkeys can be changed here.")


def own_tour(request, rater, kwargs):
    """How far the rater is in the interface's guided tour."""
    if request.method == "PATCH" and set(_body(request)) - {"state", "interaction_data"}:
        raise Refused("Only the progress of the guided tour can be changed here.")


def end_of_stay(request, rater, kwargs):
    """Signing out here ends the stay in Waver too: the cookie alone would go on being valid."""
    try:
        waver.ask("/internal/label-studio/end", {"key": rater.key})
    except waver.Unreachable as error:
        raise Refused("Waver does not answer, so you are still signed in.", status=503) from error
    request.session.flush()
    return HttpResponseRedirect(f"{settings.WAVER_URL}/")


def empty_list(request, rater, kwargs):
    """In place of the list of people."""
    return JsonResponse([], safe=False)


def empty_page(request, rater, kwargs):
    """In place of the list of projects."""
    return JsonResponse({"count": 0, "next": None, "previous": None, "results": []})


def _annotation_body(request, rater, *, task):
    body = _body(request)
    unknown = set(body) - _ANNOTATION_WORDS
    if unknown:
        raise Refused(f"An annotation has no field “{sorted(unknown)[0]}” here.")
    _own_project_in(body, rater)
    if body.get("task") is not None:
        _require(_number(body["task"]) == task)
    if body.get("was_cancelled") or "was_cancelled" in request.GET:
        raise Refused("Recordings cannot be skipped. Submit it without a segment if you see none.")
    if body.get("draft_id") not in (None, 0):
        _require(_draft(_number(body["draft_id"]), rater) is not None)
    for word in ("parent_annotation", "annotation"):
        if body.get(word) is not None:
            _require(_annotation(_number(body[word]), rater) is not None)
    if body.get("parent_prediction") is not None:
        from tasks.models import Prediction

        number = _number(body["parent_prediction"])
        _require(Prediction.objects.filter(pk=number, task__project_id=rater.project).exists())


def _own_project_in(body, rater):
    for word in _PROJECT_WORDS:
        if body.get(word) is not None:
            _require(_number(body[word]) == rater.project)


def _body(request):
    """Give the body as a dictionary, read exactly as the view will read it: as JSON."""
    if request.content_type != "application/json":
        raise Refused("Changes are sent as JSON here.")
    # The view decodes with the named character set, so any other could hide words from the guard.
    if request.content_params.get("charset", "utf-8").lower() != "utf-8":
        raise Refused("Changes are sent in UTF-8 here.")
    if int(request.META.get("CONTENT_LENGTH") or 0) > _LARGEST_BODY:
        raise Refused("This change is larger than any annotation can be.")
    try:
        body = json.loads(request.body.decode("utf-8") or "{}", object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Refused("This change could not be read. Reload the page and try again.") from error
    if not isinstance(body, dict):
        raise Refused("This change could not be read. Reload the page and try again.")
    return body


def _once(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a word twice")
    return found


def _number(value):
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):  # JSON's 1e999 is infinity
        return None


def _require(condition):
    if not condition:
        raise Refused(_NOT_YOURS)


def _task_is_own(number, rater):
    from tasks.models import Task

    return number is not None and Task.objects.filter(pk=number, project=rater.project).exists()


def _view_is_own(number, rater):
    from data_manager.models import View

    return number is not None and View.objects.filter(pk=number, project=rater.project).exists()


def _annotation(number, rater):
    from tasks.models import Annotation

    own = Annotation.objects.filter(
        pk=number, task__project_id=rater.project, completed_by=rater.user
    )
    return own.only("id", "task_id").first() if number is not None else None


def _draft(number, rater):
    from tasks.models import AnnotationDraft

    own = AnnotationDraft.objects.filter(pk=number, task__project_id=rater.project, user=rater.user)
    return own.only("id", "task_id").first() if number is not None else None
