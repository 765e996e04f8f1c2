"""Taking somebody out of a published release: tombstones in the tree, everything else rebuilt."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from waver.consent import policy as consent
from waver.consent.models import Participant, Purpose
from waver.core import audit, jobs
from waver.core.errors import TemporaryProblem
from waver.core.ids import new_id
from waver.core.models import Job
from waver.datasets import documents, releases, verify
from waver.datasets.consensus import Terms
from waver.datasets.content import gather
from waver.datasets.draft import Draft
from waver.datasets.jobs import REDACT
from waver.datasets.manifest import Manifest, bury
from waver.datasets.models import Leaf, Release
from waver.recordings.subjects import subject_of


class _Overtaken(TemporaryProblem):
    """Somebody else was taken out of the release while this revision was being built."""


def redact(*, release: Release, participant: Participant, actor: str) -> bool:
    """Take a participant out of a release: files removed, salts destroyed, leaves' hashes kept.

    Containers are built again from the same snapshot without that person. The root stays and
    still verifies. Gives False when the participant is not in the release (any more).
    """
    mend(release)
    while release.leaves.filter(participant=participant, tombstone_at__isnull=True).exists():
        revision = _revision(release)
        try:
            _redact_once(release, participant, revision, actor)
        except (_Overtaken, OSError):  # OSError: the folder was replaced while it was read
            if _revision(release) == revision:
                raise
        else:
            return True
    return False


def mend(release: Release) -> None:
    """Finish or undo what a killed redaction left half done beside the release's folder."""
    folder = releases.path_of(release)
    with transaction.atomic():
        Release.objects.select_for_update().get(pk=release.pk)  # no redaction is just ending
        replaced = list(folder.parent.glob(f".{folder.name}.replaced-*"))
        if replaced and not folder.exists():
            os.replace(replaced.pop(), folder)
        for old in replaced:
            shutil.rmtree(old, ignore_errors=True)
        for draft in folder.parent.glob(f".{folder.name}.redaction-*"):
            if time.time() - draft.stat().st_mtime > releases.FORGOTTEN_SECONDS:
                shutil.rmtree(draft, ignore_errors=True)


def _redact_once(
    release: Release, participant: Participant, revision: int | None, actor: str
) -> None:
    live = release.leaves.filter(participant=participant, tombstone_at__isnull=True)
    folder = releases.path_of(release)
    before = json.loads((folder / verify.MANIFEST).read_bytes())
    gone = set(live.values_list("hash", flat=True))
    codes = {
        leaf["participant"]
        for leaf in before["leaves"]
        if leaf["hash"] in gone and "tombstone" not in leaf
    }
    left = releases.recordings_of(release) - set(live.values_list("recording", flat=True))
    now = timezone.now()
    draft = Draft(folder.with_name(f".{folder.name}.redaction-{new_id()}"))
    draft.root.mkdir()
    try:
        _keep_files(before, gone, folder, draft.root)
        figures = _rebuild(release, left, draft, actor)
        manifest = _buried(before, codes, draft, now)
        manifest.write(draft.root)
        _commit(release, participant, manifest, figures, draft, folder, revision, actor)
    finally:
        shutil.rmtree(draft.root, ignore_errors=True)


def _revision(release: Release) -> int | None:
    row = Release.objects.get(pk=release.pk)
    found: int | None = row.figures.get("revision")
    return found


def refused_participants(
    release: Release, *, among: Collection[UUID] | None = None
) -> list[Participant]:
    """List the participants in a release whose consent does not cover it any longer.

    `among` asks about these participants only.
    """
    chosen = Leaf.objects.filter(release=release, tombstone_at__isnull=True)
    if among is not None:
        chosen = chosen.filter(participant__in=among)
    rows = (
        chosen.select_related("participant", "recording__take")
        .order_by("participant", "recording")
        .distinct("participant", "recording")
    )
    found: dict[UUID, Participant] = {}
    for leaf in rows:
        if leaf.participant is not None and leaf.recording is not None:
            subject = subject_of(leaf.recording)
            if not consent.decide(release.purpose, subject).allowed:
                found[leaf.participant.pk] = leaf.participant
    return list(found.values())


def redact_soon(release: Release) -> Job:
    """Queue what `redact_refused` does. A job that runs already may not have seen everybody."""
    return jobs.enqueue(
        REDACT, subject_kind="release", subject_id=release.pk, key=f"{REDACT.name}:{release.pk}"
    )


def redact_refused(*, release: Release, actor: str) -> int:
    """Take everybody out whose consent ended; gives how many. The release is then open again."""
    return sum(
        redact(release=release, participant=participant, actor=actor)
        for participant in refused_participants(release)
    )


def _keep_files(manifest: Mapping[str, Any], gone: set[str], old: Path, new: Path) -> None:
    """Link (or copy, where the file system cannot link) the files of everybody else."""
    for leaf in manifest["leaves"]:
        if "tombstone" not in leaf and leaf["hash"] not in gone:
            for path in _files_of(leaf, old):
                target = new / path
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(old / path, target)
                except OSError:
                    shutil.copyfile(old / path, target)


def _files_of(leaf: Mapping[str, Any], folder: Path) -> Iterator[str]:
    for file in leaf["files"]:
        yield file["path"]
        if file.get("lists"):
            with (folder / file["path"]).open(encoding="utf-8") as lines:
                for line in lines:
                    yield line.rstrip("\n").split("  ", 2)[2]


def _rebuild(
    release: Release, recordings: frozenset[UUID], draft: Draft, actor: str
) -> dict[str, Any]:
    """Build the containers from who is left, and give the new figures."""
    if not recordings:
        with draft.container("verify.py", documents.BUILDER) as path:
            shutil.copyfile(Path(verify.__file__), path)
        return {"participants": 0, "recordings": 0, "duration_us": 0, "frames": 0}
    content = gather(
        gate_run=release.gate_run,
        version=release.version,
        purpose=Purpose(release.purpose),
        actor=actor,
        recordings=recordings,
        published_at=release.published_at,
        terms=Terms.of(release.figures, published_at=release.published_at),
        with_previews="previews" in release.figures["formats"],
        with_sensors=frozenset(
            release.leaves.filter(
                recording__in=recordings, logical_object__contains="/sensors_"
            ).values_list("recording_id", flat=True)
        ),
    )
    releases.write_containers(content, draft, root=release.root)
    found = documents.figures(content)
    return {
        key: found[key] for key in ("participants", "recordings", "duration_us", "frames", "splits")
    }


def _buried(manifest: Mapping[str, Any], codes: set[str], draft: Draft, at: datetime) -> Manifest:
    """The next revision. One participant has one code; an older revision may have others."""
    # None has, when a killed attempt wrote its manifest but not its rows.
    code = next(iter(codes), "")
    return bury(manifest, participant=code, at=at, containers=draft.containers)


def _commit(
    release: Release,
    participant: Participant,
    manifest: Manifest,
    figures: dict[str, Any],
    draft: Draft,
    folder: Path,
    revision: int | None,
    actor: str,
) -> None:
    old = folder.with_name(f".{folder.name}.replaced-{manifest.body['revision']}")
    with transaction.atomic():
        row = Release.objects.select_for_update().get(pk=release.pk)
        if row.figures.get("revision") != revision:
            raise _Overtaken(
                f"Release {row.version} changed while somebody was taken out of it. Try again."
            )
        row.leaves.filter(participant=participant).update(
            salt="",
            content_sha256="",
            logical_object="",
            participant=None,
            recording=None,
            tombstone_at=timezone.now(),
        )
        row.containers.all().delete()
        releases.create_containers(row, draft)
        new = {**row.figures, **figures}
        new |= {"seal": manifest.seal, "revision": manifest.body["revision"]}
        waits = [other for other in refused_participants(row) if other.pk != participant.pk]
        state = Release.State.HELD if waits else Release.State.PUBLISHED
        Release.objects.filter(pk=row.pk).update(figures=new, state=state)
        audit.record(
            actor=actor,
            verb="release.redacted",
            object_kind="release",
            object_id=row.pk,
            detail={"revision": manifest.body["revision"], "root": manifest.root},
        )
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
        os.replace(draft.root, folder)
    shutil.rmtree(old, ignore_errors=True)
    release.refresh_from_db()
