"""Waver's service account in Label Studio: the few calls that Waver makes, in bulk.

Publishing goes through `label_studio_sdk`, whose import takes seconds and 180 MB and is therefore
done at the first call that needs it. Reading, which the poller does every few seconds, and deleting
ask the guard's own addresses (`waver_guard.service`) directly: an idle worker never pays for that
import, and thousands of annotations come in a few queries.

Every error of the library becomes one of Waver's: TemporaryProblem where Label Studio does not
answer or is overloaded, Missing for what is gone, BadInput for what it refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from annotation.labelstudio import process
from waver.core.errors import BadInput, Missing, TemporaryProblem

IMPORT_CHUNK = 250
PAGE = 200
WEBHOOK_ACTIONS = (
    "ANNOTATION_CREATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_DELETED",
    "TASKS_DELETED",
)
WEBHOOK_PATH = "/internal/label-studio/webhook"
WEBHOOK_HEADER = "X-Waver-Webhook"


@dataclass(frozen=True)
class NewTask:
    """A task to be made. `prediction` is a Label Studio result shown as a pre-label, or None.

    `transcript` is what is said, for an interface that shows it, or None.
    """

    assignment_id: str
    media_url: str
    prediction: list[dict[str, Any]] | None = None
    prediction_version: str = ""
    transcript: str | None = None


@dataclass(frozen=True)
class RemoteAnnotation:
    """An annotation as Label Studio holds it. `lead_time` is in seconds."""

    remote_id: int
    updated_at: datetime
    result: list[dict[str, Any]]
    lead_time: float | None
    was_cancelled: bool


@dataclass(frozen=True)
class RemoteTaskState:
    """A task as Label Studio holds it, with its annotations, without drafts."""

    remote_id: int
    assignment_id: str
    updated_at: datetime
    annotations: tuple[RemoteAnnotation, ...] = field(default=())


@dataclass(frozen=True)
class Held:
    """A task, its project and the assignment that it carries ("" for one not sent by Waver)."""

    remote_id: int
    project_id: int
    assignment_id: str


@dataclass(frozen=True)
class Inventory:
    """All tasks, and how many export files there are."""

    tasks: tuple[Held, ...]
    exports: int


class Client:
    """One connection to Label Studio as the service account."""

    def __init__(self, *, url: str | None = None, token: str | None = None) -> None:
        self.url = url or process.internal_url()
        self._token = token or process.service_token()

    @cached_property
    def _sdk(self) -> Any:
        from label_studio_sdk import LabelStudio  # noqa: TID251

        return LabelStudio(base_url=self.url, api_key=self._token, timeout=60)

    # Projects

    def create_project(
        self, *, title: str, label_config: str, instructions: str, prediction_version: str
    ) -> int:
        """Make one rater's project and give its id. `title` has 3 to 50 characters."""
        with _errors(f"make the project “{title}”"):
            made = self._sdk.projects.create(
                title=title,
                label_config=label_config,
                expert_instruction=instructions,
                show_instruction=True,
                show_skip_button=False,
                enable_empty_annotation=True,
                show_annotation_history=False,
                maximum_annotations=1,
                sampling="Sequential sampling",
                # A pre-label is a start that the rater changes; tasks without one start empty.
                show_collab_predictions=True,
                model_version=prediction_version,
            )
        return int(made.id)

    def project_ids(self) -> set[int]:
        """Give the ids of all projects."""
        with _errors("list the projects"):
            return {int(project.id) for project in self._sdk.projects.list(page_size=PAGE)}

    def find_project(self, title: str) -> int | None:
        """Give the id of the project with exactly this title, or None."""
        with _errors("look for a project"):
            for project in self._sdk.projects.list(title=title, page_size=PAGE):
                if project.title == title:
                    return int(project.id)
        return None

    def delete_project(self, project_id: int) -> None:
        """Delete a project with its tasks, drafts and annotations. One that is gone is no error."""
        with _errors(f"delete the project {project_id}"):
            try:
                self._sdk.projects.delete(id=project_id)
            except _api_error() as error:
                if error.status_code != 404:
                    raise

    def ensure_webhook(self, project_id: int) -> None:
        """Make Label Studio call Waver when an annotation of the project changes; once."""
        url = f"{settings.WAVER_INTERNAL_URL.rstrip('/')}{WEBHOOK_PATH}"
        with _errors(f"set the webhook of project {project_id}"):
            for hook in self._sdk.webhooks.list(project=str(project_id)):
                if hook.url == url:
                    return
            self._sdk.webhooks.create(
                url=url,
                project=project_id,
                # Only the ids are used; the content is fetched, so a lost call loses nothing.
                send_payload=True,
                send_for_all_actions=False,
                actions=list(WEBHOOK_ACTIONS),
                headers=webhook_headers(),
            )

    def admit_rater(self, *, rater_id: str, project_id: int) -> None:
        """Make the rater's account, if need be, and let it into this project."""
        self._ask(
            "/waver/admin/raters",
            doing="make a rater's account",
            body={"rater": rater_id, "project": project_id},
        )

    # Tasks

    def import_tasks(self, project_id: int, tasks: Sequence[NewTask]) -> None:
        """Send tasks in chunks, in order, with their pre-labels.

        Label Studio makes a second task when it is sent the same twice: callers look first
        (`tasks`) and send only what is not there.
        """
        for start in range(0, len(tasks), IMPORT_CHUNK):
            chunk = [_import_request(task) for task in tasks[start : start + IMPORT_CHUNK]]
            with _errors(f"send tasks to project {project_id}"):
                self._sdk.projects.import_tasks(id=project_id, request=chunk)

    def tasks(
        self, project_id: int, *, updated_since: datetime | None = None
    ) -> Iterator[RemoteTaskState]:
        """Yield the project's tasks with their annotations, all or those changed since a moment.

        A task's moment of change moves when an annotation of it is made, changed or deleted.
        Raises Missing where the whole project is gone.
        """
        question: dict[str, Any] = {"project": project_id}
        if updated_since is not None:
            question["since"] = updated_since.astimezone(UTC).isoformat()
        while True:
            try:
                found = self._ask(
                    "/waver/admin/work",
                    doing=f"read the tasks of project {project_id}",
                    question=question,
                )
            except Missing as error:
                raise Missing(
                    f"Label Studio has no project {project_id} any more: somebody deleted it "
                    "there, or its data was lost. All work that Waver has collected stays. An "
                    "administrator must bring Label Studio's data back; what cannot be brought "
                    "back is planned anew, in another batch."
                ) from error
            for raw in found["tasks"]:
                yield _task_state(raw)
            if not found["more"]:
                return
            question["after"] = found["tasks"][-1]["id"]

    def forget_tasks(self, project_id: int, task_ids: Sequence[int]) -> None:
        """Delete tasks with their drafts, predictions and annotations, and the project's exports.

        Tasks that are gone are no error.
        """
        self._ask(
            "/waver/admin/forget",
            doing=f"delete tasks of project {project_id}",
            body={"project": project_id, "tasks": list(task_ids)},
        )

    def forget_unchanged(self, project_id: int, states: Sequence[RemoteTaskState]) -> set[int]:
        """As `forget_tasks`, but only those that hold exactly the annotations read in `states`.

        Gives the ids of the tasks that are gone; what a rater submits meanwhile keeps its task.
        """
        holding = {
            str(state.remote_id): [
                [each.remote_id, each.updated_at.isoformat()] for each in state.annotations
            ]
            for state in states
        }
        found = self._ask(
            "/waver/admin/forget",
            doing=f"delete tasks of project {project_id}",
            body={"project": project_id, "tasks": list(map(int, holding)), "holding": holding},
        )
        return set(map(int, holding)) - set(found["kept"])

    def traces(self, words: Sequence[str]) -> list[str]:
        """Say where in Label Studio's tables and files any of these words still stands."""
        found = self._ask(
            "/waver/admin/traces", doing="search for what is left", body={"words": list(words)}
        )
        return [f"{each['where']} ({each['rows']})" for each in found["found"]]

    def inventory(self) -> Inventory:
        """Give all that Label Studio holds, of every project, without content."""
        found = self._ask("/waver/admin/inventory", doing="list all tasks")
        tasks = tuple(
            Held(int(pk), int(project), str(name)) for pk, project, name in found["tasks"]
        )
        return Inventory(tasks, int(found["exports"]))

    def _ask(
        self,
        path: str,
        *,
        doing: str,
        question: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """GET, or POST a body, at one of the guard's own addresses (waver_guard.service)."""
        import httpx

        with _errors(doing):
            answer = httpx.request(
                "GET" if body is None else "POST",
                f"{self.url}{path}",
                params=question,
                json=body,
                headers={"Authorization": f"Token {self._token}"},
                timeout=60,
            )
            answer.raise_for_status()
            return dict(answer.json())


def webhook_headers() -> dict[str, str]:
    """Give what Label Studio's call says besides what changed."""
    public = urlsplit(settings.WAVER_URL)
    return {
        WEBHOOK_HEADER: settings.LABEL_STUDIO_WEBHOOK_SECRET,
        # Waver answers to its public name only, also on its private address.
        "Host": public.netloc,
        "X-Forwarded-Proto": public.scheme,
        # It calls once on each connection: the web server need not wait for a second call there.
        "Connection": "close",
    }


def _import_request(task: NewTask) -> dict[str, Any]:
    request: dict[str, Any] = {
        "data": {"video": task.media_url, "assignment": task.assignment_id},
        "meta": {"assignment": task.assignment_id},
    }
    if task.transcript is not None:
        request["data"]["transcript"] = task.transcript
    if task.prediction is not None:
        request["predictions"] = [
            {"model_version": task.prediction_version, "result": task.prediction}
        ]
    return request


def _task_state(raw: Mapping[str, Any]) -> RemoteTaskState:
    return RemoteTaskState(
        remote_id=int(raw["id"]),
        assignment_id=str(raw["assignment"]),
        updated_at=datetime.fromisoformat(raw["updated_at"]),
        annotations=tuple(_annotation(each) for each in raw["annotations"]),
    )


def _annotation(raw: Mapping[str, Any]) -> RemoteAnnotation:
    return RemoteAnnotation(
        remote_id=int(raw["id"]),
        updated_at=datetime.fromisoformat(raw["updated_at"]),
        result=list(raw["result"]),
        lead_time=raw["lead_time"],
        was_cancelled=bool(raw["was_cancelled"]),
    )


def _api_error() -> Any:
    from label_studio_sdk.core.api_error import ApiError  # noqa: TID251

    return ApiError


@contextmanager
def _errors(doing: str) -> Iterator[None]:
    import httpx

    try:
        yield
    except httpx.HTTPStatusError as error:
        raise _translated(error.response.status_code, doing, error.response.text) from error
    except (httpx.HTTPError, OSError) as error:
        raise TemporaryProblem(
            f"Label Studio did not answer when Waver wanted to {doing} ({type(error).__name__}). "
            "It is tried again by itself; if this stays, look at Label Studio's log."
        ) from error
    except Exception as error:
        # The library's own error, recognised without importing the library for it.
        status = getattr(error, "status_code", None)
        if type(error).__module__.partition(".")[0] != "label_studio_sdk":
            raise
        raise _translated(status or 500, doing, str(getattr(error, "body", error))) from error


def _translated(status: int, doing: str, body: str) -> Exception:
    said = " ".join(body.split())[:300]
    if status >= 500 or status in (408, 429):
        return TemporaryProblem(
            f"Label Studio could not {doing} (it answered {status}: {said}). It is tried again by "
            "itself; if this stays, look at Label Studio's log."
        )
    if status == 404:
        return Missing(
            f"Label Studio has nothing to {doing} any more. Somebody deleted it there; publish "
            "the batch again."
        )
    return BadInput(
        f"Label Studio refused to {doing} (it answered {status}: {said}). An administrator must "
        "look at the token and at Label Studio's log."
    )
