"""What Waver's service account asks of this Label Studio beyond its own interface.

Label Studio's lists and exports build every task anew through serialisers that Waver does not
need, and nothing in it tells whether something is really gone. These answers are a few queries.
Every address here refuses everybody else; the probe suite asks them as everybody else.
"""

import json
import os
from datetime import datetime
from functools import wraps

from django.conf import settings
from django.db import connection, transaction
from django.http import HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from waver_guard import people, refusals
from waver_guard.refusals import Refused

LARGEST_PAGE = 1000


def _for_waver_only(view):
    @wraps(view)
    def wrapped(request):
        if not isinstance(request.waver_who, people.Service):
            return refusals.answer(request, Refused("Only Waver may ask this."))
        return view(request)

    return wrapped


@csrf_exempt
@require_POST
@_for_waver_only
def raters(request):
    """Make a rater's account and membership in one project.

    Body: `{"rater": Waver's id, "project": id}`. Doing it twice changes nothing.
    """
    from waver_guard.accounts import make_rater

    body = json.loads(request.body)
    user = make_rater(rater_id=str(body["rater"]), project_id=int(body["project"]))
    return JsonResponse({"user": user.pk, "email": user.email})


@require_GET
@_for_waver_only
def routes(request):
    """Every address that this Label Studio knows, for the probe suite."""
    from waver_guard.enumerate_routes import all_routes

    return JsonResponse({"routes": all_routes()})


@require_GET
@_for_waver_only
def work(request):
    """A page of a project's tasks with their annotations, without drafts, by task id.

    `project`; `since` (ISO time): only tasks changed at or after it; `after`: only tasks with a
    larger id, for the next page. `more` says whether there is one. 404 for a project that is not
    here, which is something else than one whose tasks are gone.
    """
    from projects.models import Project
    from tasks.models import Annotation, Task

    project = int(request.GET["project"])
    if not Project.objects.filter(pk=project).exists():
        return JsonResponse({"detail": "There is no such project."}, status=404)
    tasks = Task.objects.filter(project_id=project)
    if request.GET.get("since"):
        tasks = tasks.filter(updated_at__gte=datetime.fromisoformat(request.GET["since"]))
    tasks = tasks.filter(pk__gt=int(request.GET.get("after") or 0)).order_by("pk")
    page = list(tasks.values_list("pk", "meta", "updated_at")[: LARGEST_PAGE + 1])
    more, page = len(page) > LARGEST_PAGE, page[:LARGEST_PAGE]
    found = {
        pk: {
            "id": pk,
            "assignment": str((meta or {}).get("assignment", "")),
            "updated_at": updated_at.isoformat(),
            "annotations": [],
        }
        for pk, meta, updated_at in page
    }
    fields = ("task_id", "pk", "updated_at", "result", "lead_time", "was_cancelled")
    rows = Annotation.objects.filter(task_id__in=found).order_by("pk").values_list(*fields)
    for task, pk, updated_at, result, lead_time, was_cancelled in rows.iterator(chunk_size=2000):
        found[task]["annotations"].append(
            {
                "id": pk,
                "updated_at": updated_at.isoformat(),
                "result": result or [],
                "lead_time": lead_time,
                "was_cancelled": was_cancelled,
            }
        )
    return JsonResponse({"tasks": list(found.values()), "more": more})


@csrf_exempt
@require_POST
@_for_waver_only
def forget(request):
    """Delete tasks of a project with all that hangs on them, and every export of the project.

    Body: `{"project": id, "tasks": [ids]}`. An export is a copy of all tasks, so all of the
    project's go, rows and files. Doing it twice changes nothing.
    With `holding` (`{task: [[annotation, its ISO time of change], ...]}`), only the tasks whose
    annotations are exactly these; the others are named under `kept`.
    """
    body = json.loads(request.body)
    project, pks = int(body["project"]), [int(pk) for pk in body["tasks"]]
    removed, kept = _delete_tasks(project, pks, body.get("holding"))
    answer = {"tasks": removed, "kept": kept, "exports": _delete_exports(project)}
    return JsonResponse(answer)


def _changed(pks, holding):
    """Give the tasks of these whose annotations are other ones than Waver has read."""
    from tasks.models import Annotation

    there = {pk: [] for pk in pks}
    rows = Annotation.objects.filter(task_id__in=pks).values_list("task_id", "pk", "updated_at")
    for task, pk, updated_at in rows:
        there[task].append([pk, updated_at.isoformat()])
    return [pk for pk in pks if sorted(there[pk]) != sorted(holding.get(str(pk), []))]


@transaction.atomic
def _delete_tasks(project, pks, holding):
    from tasks.models import Annotation, AnnotationDraft, Task

    # Locked, so that no annotation comes to a task between the look at it and its end.
    tasks = Task.objects.filter(pk__in=pks, project_id=project).order_by("pk")
    found = list(tasks.select_for_update().values_list("pk", flat=True))
    kept = [] if holding is None else _changed(found, holding)
    found = [pk for pk in found if pk not in set(kept)]
    tasks = Task.objects.filter(pk__in=found)
    # A draft of an annotation names the task too; one whose task is gone would stay.
    AnnotationDraft.objects.filter(task_id__in=found).delete()
    Annotation.objects.filter(task_id__in=found).delete()
    tasks.delete()
    return len(found), kept


def _delete_exports(project):
    from data_export.models import ConvertedFormat, Export

    removed = 0
    for model in (ConvertedFormat, Export):
        for row in model.objects.filter(project_id=project):
            if row.file:
                row.file.delete(save=False)
            row.delete()
            removed += 1
    # The older way of exporting keeps a copy of its own in this folder, named by the project.
    for name in os.listdir(settings.EXPORT_DIR):
        if name.startswith(f"project-{project}-"):
            os.remove(os.path.join(settings.EXPORT_DIR, name))
            removed += 1
    return removed


@csrf_exempt
@require_POST
@_for_waver_only
def traces(request):
    """Say where any of these words still stands: in which table's rows, in which files.

    Body: `{"words": [...]}`. Looks at every column of every table and at every file that Label
    Studio keeps, so that the answer does not rest on a list of the places where it might be.
    """
    words = [str(word) for word in json.loads(request.body)["words"] if word]
    return JsonResponse({"found": [*_in_tables(words), *_in_files(words)] if words else []})


def _in_tables(words):
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' ORDER BY 1"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(
                f"SELECT count(*) FROM {quote(table)} AS row_of "  # noqa: S608 - quoted names
                "WHERE EXISTS (SELECT 1 FROM unnest(%s::text[]) AS word "
                "WHERE strpos(row_of::text, word) > 0)",
                [words],
            )
            (count,) = cursor.fetchone()
            if count:
                yield {"where": table, "rows": count}


def _in_files(words):
    sought = [word.encode() for word in words]
    for folder, _, names in os.walk(settings.BASE_DATA_DIR):
        for name in names:
            path = os.path.join(folder, name)
            try:
                with open(path, "rb") as file:
                    content = file.read()
            except FileNotFoundError:
                continue
            if any(word in content or word in path.encode() for word in sought):
                yield {"where": os.path.relpath(path, settings.BASE_DATA_DIR), "rows": 1}


@require_GET
@_for_waver_only
def inventory(request):
    """Every task's id, project and the assignment that it carries, and how many exports lie here.

    So Waver can see that nothing is here that it does not know.
    """
    from data_export.models import Export
    from tasks.models import Task

    tasks = Task.objects.order_by("pk").values_list("pk", "project_id", "meta")
    carried = [
        [pk, project, str((meta or {}).get("assignment", ""))]
        for pk, project, meta in tasks.iterator()
    ]
    exports = Export.objects.count() + len(os.listdir(settings.EXPORT_DIR))
    body = json.dumps({"tasks": carried, "exports": exports})
    return HttpResponse(body, content_type="application/json")
