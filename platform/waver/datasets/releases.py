"""Building a release, whole or not at all.

1. Decide what goes in (`content.gather`): the gate's verdict, consent for every asset.
2. Write everything into a folder named for this attempt, hashing on the way.
3. In one transaction: ask consent for every asset again, holding the answers; write the rows;
   rename the folder to the release's name.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from waver.consent.models import Participant, Purpose
from waver.core import audit, jobs
from waver.core.errors import BadInput, Conflict, IntegrityProblem, TemporaryProblem
from waver.core.ids import new_id
from waver.core.models import Job
from waver.datasets import documents, gate, previews, snapshots
from waver.datasets.content import Content, covered, gather, still_allowed
from waver.datasets.draft import Draft
from waver.datasets.exporters import EXPORTERS
from waver.datasets.jobs import RELEASE
from waver.datasets.manifest import File, Manifest, compose
from waver.datasets.models import Container, GateRun, Leaf, Release
from waver.datasets.verify import MANIFEST, canonical, root_of
from waver.studies.models import Study

Progress = Callable[[float, str], None]
PURPOSES = (Purpose.RESEARCH, Purpose.CHALLENGE)
_VERSION = re.compile(r"\d{1,4}(\.\d{1,4}){0,2}")
_BATCH = 2000
FORGOTTEN_SECONDS = 86_400
"""After so long without a change, what an attempt wrote belongs to one that died."""


class ConsentChanged(TemporaryProblem):
    """Somebody withdrew while the release was being built; the next attempt leaves them out."""


def request(
    *, gate_run: GateRun, version: str, purpose: str, actor: str, with_previews: bool = False
) -> Job:
    """Ask for a release to be built in the background.

    Raises what `check` raises, so that a wrong request is refused before it waits in a queue, and
    Conflict for masked previews that are not made yet: they are asked for then.
    """
    wanted = check(gate_run=gate_run, version=version, purpose=purpose)
    if with_previews:
        previews.require(covered(gate_run=gate_run, purpose=wanted, actor=actor), actor=actor)
    return jobs.enqueue(
        RELEASE,
        subject_kind="gate_run",
        subject_id=gate_run.pk,
        payload={
            "version": version,
            "purpose": purpose,
            "actor": actor,
            "with_previews": with_previews,
        },
        key=f"release:{gate_run.snapshot.study_id}:{version}:{purpose}",
    )


def check(*, gate_run: GateRun, version: str, purpose: str) -> Purpose:
    """Make sure that this release may be built at all.

    Raises BadInput for an odd version or purpose, Conflict when the gate let nothing out, when
    participants withdrew since, when a later codebook version reopened it, or when the version
    exists with other contents.
    """
    if purpose not in PURPOSES:
        raise BadInput(
            f"“{purpose}” is no purpose of a release. Choose {' or '.join(PURPOSES)}: participants "
            "agree to each separately."
        )
    if not _VERSION.fullmatch(version):
        raise BadInput(f"“{version}” is no version. Write one such as 1.0 or 2.1.3.")
    other = _rows(gate_run, version, purpose).exclude(gate_run=gate_run).first()
    if other is not None:
        raise Conflict(
            f"Version {version} for “{Purpose(purpose).label}” exists already and never changes. "
            "Choose the next version."
        )
    if not _rows(gate_run, version, purpose).exists():
        gate.require_newest(gate_run.snapshot)
    whole = gate.standing_of_run(gate_run)
    if whole not in gate.RELEASABLE:
        raise Conflict(f"The gate lets nothing out: {gate_run.sentence}")
    return Purpose(purpose)


def existing(*, gate_run: GateRun, version: str, purpose: str) -> Release | None:
    """Give the release if it was built before from this gate run.

    Raises IntegrityProblem when its folder is gone.
    """
    row = _rows(gate_run, version, purpose).filter(gate_run=gate_run).first()
    if row is not None and not (path_of(row) / MANIFEST).is_file():
        raise IntegrityProblem(
            f"The folder {row.folder} of a published release is gone. Restore it from a backup; "
            "until then build the next version."
        )
    return row


def path_of(release: Release) -> Path:
    """Give the release's folder."""
    return Path(settings.WAVER_RELEASES).resolve() / release.folder


def build(
    *,
    gate_run: GateRun,
    version: str,
    purpose: str,
    actor: str,
    with_previews: bool = False,
    on_progress: Progress | None = None,
    commit: Callable[[], AbstractContextManager[None]] = transaction.atomic,
) -> Release:
    """Build a release, or give the one that is already there.

    `commit` opens the transaction that seals it; a job gives its own, so that it ends in it.
    Raises what `check` and `content.gather` raise, and ConsentChanged when somebody withdrew in
    the meantime: try again.
    """
    check(gate_run=gate_run, version=version, purpose=purpose)
    done = existing(gate_run=gate_run, version=version, purpose=purpose)
    if done is not None:
        with commit():
            return done
    snapshots.require_whole(gate_run.snapshot)
    content = gather(
        gate_run=gate_run,
        version=version,
        purpose=Purpose(purpose),
        actor=actor,
        with_previews=with_previews,
    )
    draft = Draft(_attempt_folder(content.name))
    try:
        manifest = _write(content, draft, on_progress or (lambda fraction, note: None))
        return _seal(content, draft, manifest, actor, commit)
    finally:
        shutil.rmtree(draft.root, ignore_errors=True)


def is_held(release: Release) -> bool:
    """Tell whether a withdrawal still has to be carried out, so that nobody may download it."""
    return (
        release.state != Release.State.PUBLISHED
        or Leaf.objects.filter(release=release, tombstone_at__isnull=True)
        .exclude(participant__state=Participant.State.ACTIVE)
        .exists()
    )


def write_containers(content: Content, draft: Draft, *, root: str) -> None:
    """Write everything that mixes participants."""
    for exporter in EXPORTERS:
        if exporter.applies(content):
            exporter.write_containers(content, draft)
    documents.write(content, draft, root=root)


def about(content: Content) -> dict[str, object]:
    """Give the manifest's part about the release as a whole."""
    return {
        "study": content.study.code,
        "title": content.study.title,
        "version": content.version,
        "purpose": content.purpose.value,
        "synthetic": content.is_synthetic,
        "demonstration": content.is_demonstration,
        "stamps": documents.stamps(content),
        "snapshot": content.gate_run.snapshot.sha256,
    }


def create_containers(release: Release, draft: Draft) -> None:
    """Write the rows of the containers."""
    Container.objects.bulk_create(
        (
            Container(
                release=release,
                path=file.path,
                builder=file.builder,
                sha256=file.sha256,
                size=file.size,
            )
            for file in draft.containers
        ),
        batch_size=_BATCH,
    )


def _rows(gate_run: GateRun, version: str, purpose: str) -> QuerySet[Release]:
    return Release.objects.filter(study=gate_run.snapshot.study, version=version, purpose=purpose)


def _attempt_folder(name: str) -> Path:
    """An empty folder named for this attempt; folders of attempts that died are removed."""
    home = Path(settings.WAVER_RELEASES)
    home.mkdir(parents=True, exist_ok=True)
    for old in home.glob(f".{name}.*"):
        if time.time() - old.stat().st_mtime > FORGOTTEN_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    folder = home / f".{name}.{new_id()}"
    folder.mkdir()
    return folder


def _write(content: Content, draft: Draft, on_progress: Progress) -> Manifest:
    used = [exporter for exporter in EXPORTERS if exporter.applies(content)]
    expected = max(1, 4 * len(content.clips))  # video, crops, transcript and frame map

    def report() -> None:
        share = 0.9 * min(1.0, len(draft.owned) / expected)
        on_progress(share, f"{len(draft.owned)} of about {expected} parts written")

    draft.on_share = report
    for exporter in used:
        exporter.write_shares(content, draft)
    draft.owned.sort(key=lambda owned: (owned.share.participant, owned.share.logical_object))
    root = root_of(owned.share.hash for owned in draft.owned)
    on_progress(0.9, "Writing tables and labels")
    write_containers(content, draft, root=root)
    manifest = compose(
        dataset=about(content),
        shares=[owned.share for owned in draft.owned],
        containers=draft.containers,
    )
    manifest.write(draft.root)
    return manifest


def _seal(
    content: Content,
    draft: Draft,
    manifest: Manifest,
    actor: str,
    commit: Callable[[], AbstractContextManager[None]],
) -> Release:
    target = Path(settings.WAVER_RELEASES) / content.name
    with commit():
        Study.objects.select_for_update().get(pk=content.study.pk)
        if _rows(content.gate_run, content.version, content.purpose).exists():
            raise Conflict(f"{content.name} was built by somebody else in the meantime.")
        if not still_allowed(content, actor):
            raise ConsentChanged(
                "A participant's consent changed while the release was being built, so it was "
                "thrown away. Build it again: the new one leaves that person out."
            )
        release = Release.objects.create(
            study=content.study,
            gate_run=content.gate_run,
            version=content.version,
            purpose=content.purpose,
            state=Release.State.PUBLISHED,
            root=manifest.root,
            folder=content.name,
            figures=documents.figures(content) | {"seal": manifest.seal, "revision": 1},
            published_at=timezone.now(),
        )
        _create_leaves(release, content, draft)
        create_containers(release, draft)
        audit.record(
            actor=actor,
            verb="release.published",
            object_kind="release",
            object_id=release.pk,
            detail={"name": content.name, "root": manifest.root, "leaves": len(draft.owned)},
        )
        # Last, so that a folder without a row can be left behind by a crash, never the opposite.
        if target.exists():
            shutil.rmtree(target)
        os.replace(draft.root, target)
    return release


def _create_leaves(release: Release, content: Content, draft: Draft) -> None:
    owner = {clip.recording.pk: clip.recording.take.participant_id for clip in content.clips}
    Leaf.objects.bulk_create(
        (
            Leaf(
                release=release,
                index=index,
                participant_id=owner[owned.recording],
                recording_id=owned.recording,
                logical_object=owned.share.logical_object,
                content_sha256=_content_hash(owned.share.files),
                salt=owned.share.salt,
                hash=owned.share.hash,
            )
            for index, owned in enumerate(draft.owned)
        ),
        batch_size=_BATCH,
    )


def _content_hash(files: Iterable[File]) -> str:
    return hashlib.sha256(canonical([file.entry() for file in files])).hexdigest()


def recordings_of(release: Release) -> frozenset[UUID]:
    """Give the recordings that are still in a release."""
    rows = release.leaves.filter(tombstone_at__isnull=True, recording__isnull=False)
    return frozenset(rows.values_list("recording", flat=True))
