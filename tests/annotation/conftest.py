"""A study with its codebook, raters and recordings, and a Label Studio that only remembers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from annotation.codebooks import shipped
from annotation.labelstudio.client import (
    Held,
    Inventory,
    NewTask,
    RemoteAnnotation,
    RemoteTaskState,
)
from annotation.services import codebooks
from tests.factories import (
    MembershipFactory,
    RecordingFactory,
    StudyFactory,
    consented_participant,
)
from waver.accounts.models import User
from waver.core.errors import TemporaryProblem
from waver.recordings.models import Recording
from waver.studies.models import Membership, Study

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class Lab:
    """A study whose recordings are ready to be assigned."""

    study: Study
    raters: list[User]
    recordings: list[Recording]


@pytest.fixture
def lab(db, storage_folder) -> Lab:
    study = StudyFactory(design={"raters_per_recording": 2, "prelabel_share": 0.5, "seed": 7})
    codebooks.install_codebook(study, shipped()["bah"].read_text(encoding="utf-8"), "tests")
    raters = [MembershipFactory(study=study, role=Membership.Role.ANNOTATOR).user for _ in range(2)]
    recordings = [RecordingFactory(participant=consented_participant(study)) for _ in range(5)]
    return Lab(study, raters, recordings)


@dataclass
class Memory:
    """Stands in for Label Studio's client where the real one is tested elsewhere.

    Tasks are sent twice when they are asked to be, as the real one does. `fails_after` calls of
    `import_tasks` it stops answering.
    """

    projects: dict[str, int] = field(default_factory=dict)
    held: dict[int, list[RemoteTaskState]] = field(default_factory=dict)
    admitted: list[tuple[str, int]] = field(default_factory=list)
    sent: list[NewTask] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    fails_after: int | None = None
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def find_project(self, title: str) -> int | None:
        return self.projects.get(title)

    def create_project(self, *, title: str, **_: Any) -> int:
        self.projects[title] = next(self._ids)
        self.held[self.projects[title]] = []
        return self.projects[title]

    def ensure_webhook(self, project_id: int) -> None:
        assert project_id in self.held

    def admit_rater(self, *, rater_id: str, project_id: int) -> None:
        self.admitted.append((rater_id, project_id))

    def import_tasks(self, project_id: int, tasks: Iterable[NewTask]) -> None:
        if self.fails_after == 0:
            raise TemporaryProblem("Label Studio did not answer.")
        if self.fails_after is not None:
            self.fails_after -= 1
        for task in tasks:
            self.sent.append(task)
            self.held[project_id].append(RemoteTaskState(next(self._ids), task.assignment_id, NOON))

    def tasks(
        self, project_id: int, *, updated_since: datetime | None = None
    ) -> Iterator[RemoteTaskState]:
        for task in self.held[project_id]:
            if updated_since is None or task.updated_at >= updated_since:
                yield task

    def forget_tasks(self, project_id: int, task_ids: Sequence[int]) -> None:
        self.deleted += task_ids
        held = self.held[project_id]
        self.held[project_id] = [task for task in held if task.remote_id not in task_ids]

    def forget_unchanged(self, project_id: int, states: Sequence[RemoteTaskState]) -> set[int]:
        wanted = {state.remote_id: state.annotations for state in states}
        gone = {
            task.remote_id
            for task in self.held[project_id]
            if wanted.get(task.remote_id) == task.annotations
        }
        self.forget_tasks(project_id, sorted(gone))
        return gone

    def traces(self, words: Sequence[str]) -> list[str]:
        return [
            f"task {task.remote_id}"
            for task in self.inventory().tasks
            if task.assignment_id in words
        ]

    def inventory(self) -> Inventory:
        tasks = [
            Held(task.remote_id, project, task.assignment_id)
            for project, held in self.held.items()
            for task in held
        ]
        return Inventory(tuple(tasks), exports=0)

    def submit(
        self, assignment_id: object, result: list[dict[str, Any]], *, minutes: int, remote_id: int
    ) -> None:
        """Do as a rater would: submit, or change what was submitted under `remote_id`."""
        at = NOON + timedelta(minutes=minutes)
        made = RemoteAnnotation(remote_id, at, result, 3.5, was_cancelled=False)
        self._change(assignment_id, at, lambda old: (*_without(old, remote_id), made))

    def change(self, assignment_id: object, **fields: Any) -> None:
        """Change what Label Studio holds of all annotations of an assignment."""
        at = NOON + timedelta(minutes=1)
        self._change(assignment_id, at, lambda old: tuple(replace(e, **fields) for e in old))

    def remove(self, assignment_id: object, *, minutes: int, remote_id: int) -> None:
        """Do as a rater would: delete an annotation."""
        at = NOON + timedelta(minutes=minutes)
        self._change(assignment_id, at, lambda old: _without(old, remote_id))

    def _change(self, assignment_id: object, at: datetime, change: Any) -> None:
        for project, tasks in self.held.items():
            self.held[project] = [
                replace(task, updated_at=at, annotations=change(task.annotations))
                if task.assignment_id == str(assignment_id)
                else task
                for task in tasks
            ]


def _without(
    annotations: tuple[RemoteAnnotation, ...], remote_id: int
) -> tuple[RemoteAnnotation, ...]:
    return tuple(each for each in annotations if each.remote_id != remote_id)


@pytest.fixture
def memory() -> Memory:
    return Memory()
