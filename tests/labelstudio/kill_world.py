"""What tests/labelstudio/test_kills.py does beside its stack, in processes of the stack.

`make` prints a batch that is ready to be labelled; `compare` prints how Waver and Label Studio
differ.
"""

from __future__ import annotations

import json
import sys
from typing import Any

RECORDINGS = 100


def main() -> None:
    """Do what the command line names and print the answer as JSON."""
    doors = {"make": make, "is_open": is_open, "compare": compare}
    sys.stdout.write(json.dumps(doors[sys.argv[1]](*sys.argv[2:])) + "\n")


def make() -> dict[str, Any]:
    """Plan a batch of 100 recordings for two raters and have the worker send it."""
    from annotation.codebooks import shipped
    from annotation.services import assign, care, codebooks, publish
    from tests import factories

    study = factories.StudyFactory(design={"raters_per_recording": 2, "seed": 3})
    text = shipped()["bah"].read_text(encoding="utf-8")
    codebooks.install_codebook(study, text, "tests")
    raters = [factories.MembershipFactory(study=study, role="annotator").user for _ in range(2)]
    for _ in range(RECORDINGS):
        participant = factories.consented_participant(study)
        factories.RecordingFactory(participant=participant, duration_us=6_000_000)
    batch = assign.plan_batch(study, "segments", raters, "tests")
    for rater in raters:
        care.read_present_notice(rater, study)
    publish.start(batch, "tests")
    return {"batch": str(batch.pk), "raters": [rater.username for rater in raters]}


def is_open(batch: str) -> bool:
    """Tell whether the worker has sent the batch."""
    from annotation.models import Batch

    return Batch.objects.get(pk=batch).state == Batch.State.OPEN


def compare(batch: str) -> dict[str, Any]:
    """Say what differs, by every id and by content; and how much there is.

    For each task: the annotation that Label Studio holds against the newest version that Waver
    holds; nothing against nothing or against the row that says it was deleted. `stored` are the
    versions that came in, `distinct` those of different annotation or content.
    """
    from annotation.labelstudio.client import Client
    from annotation.models import Annotation, Batch
    from annotation.services.accept import digest_of

    client, differences, held = Client(), [], 0
    rows = Annotation.objects.filter(assignment__batch_id=batch).order_by("version")
    ours = {str(row.assignment_id): row for row in rows}
    there = set()
    for project in Batch.objects.get(pk=batch).projects.all():
        known = dict(project.tasks.values_list("remote_id", "assignment_id"))
        for task in client.tasks(project.remote_id):
            there.add(task.assignment_id)
            row = ours.get(task.assignment_id)
            if str(known.get(task.remote_id)) != task.assignment_id:
                differences.append(f"task {task.remote_id} is not known as its assignment's")
            if len(task.annotations) > 1:
                differences.append(f"task {task.remote_id} has {len(task.annotations)} annotations")
            if not task.annotations:
                if row is not None and row.verdict != "deleted":
                    differences.append(f"task {task.remote_id}: Waver holds what is not there")
                continue
            held += 1
            (one,) = task.annotations[-1:]
            if (
                row is None
                or row.verdict != "accepted"
                or row.remote_id != one.remote_id
                or row.raw != {"result": one.result}
            ):
                differences.append(f"task {task.remote_id}: annotation {one.remote_id} differs")
    if there != set(map(str, Batch.objects.get(pk=batch).assignments.values_list("pk", flat=True))):
        differences.append("tasks and assignments are not the same")
    came = [row for row in rows if row.verdict != "deleted"]
    distinct = {(row.remote_id, digest_of(row.raw["result"])) for row in came}
    return {
        "differences": differences,
        "held": held,
        "stored": len(came),
        "distinct": len(distinct),
    }
