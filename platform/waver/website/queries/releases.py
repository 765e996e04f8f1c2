"""What the release pages show, and what stands between a release and its download."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from waver.core.errors import Missing
from waver.datasets.models import Release, SplitAssignment
from waver.studies.models import Study
from waver.website.queries.agreement import titles_of

FOLD_WORDS = {"train": "Training", "val": "Validation", "test": "Test"}
FORMAT_WORDS = {
    "bah": "Layout of the BAH dataset: videos, face crops, split files, annotations",
    "tables": "Tables as Parquet and CSV, and the frame maps",
    "": "Manifest, dataset card, evidence and the verifier",
}


@dataclass(frozen=True)
class Part:
    """The files of one format: how many and how large."""

    name: str
    words: str
    files: int
    size: int


@dataclass(frozen=True)
class Fold:
    """One fold of the splits: its participants, and its share of all, 0 to 1."""

    code: str
    word: str
    participants: int
    share: float


@dataclass(frozen=True)
class LabelVerdict:
    """A label in the release, or kept out and why; `consensus` says what became of its answers."""

    title: str
    key: str
    verdict: str
    sentence: str
    consensus: str = ""


@dataclass(frozen=True)
class ReleasePage:
    """Everything on a release's page."""

    release: Release
    labels: list[LabelVerdict]
    blocked: list[LabelVerdict]
    folds: list[Fold]
    parts: list[Part]
    left_out: list[dict[str, Any]]
    stamps: list[str]
    participants_withdrawn: int
    has_folder: bool

    @property
    def size(self) -> int:
        """Give the size of all files in bytes."""
        return sum(part.size for part in self.parts)


def releases(study: Study) -> QuerySet[Release]:
    """List a study's releases, newest first."""
    return study.releases.select_related("gate_run__snapshot__codebook", "study").order_by(
        "-created_at"
    )


def find(study: Study, release_id: UUID) -> Release:
    """Give a release of this study. Raises Missing for any other."""
    row = releases(study).filter(pk=release_id).first()
    if row is None:
        raise Missing("This study has no such release. The releases page lists them all.")
    return row


def page(release: Release) -> ReleasePage:
    """Read a release's page."""
    figures = release.figures
    titles = titles_of(release.gate_run.snapshot.codebook)
    receipt = release.gate_run.receipt.get("labels", {})
    folder = folder_of(release)

    def verdicts(found: dict[str, str]) -> list[LabelVerdict]:
        reasons = figures.get("reasons", {})
        return [
            LabelVerdict(
                title=titles.get(key, key),
                key=key,
                verdict=verdict,
                sentence=reasons.get(key) or receipt.get(key, {}).get("sentence", ""),
                consensus=_consensus(figures.get("consensus", {}).get("labels", {}).get(key, {})),
            )
            for key, verdict in found.items()
        ]

    revision = f"{figures.get('revision', 1)} {figures.get('seal', '')}"
    return ReleasePage(
        release=release,
        labels=verdicts(figures.get("labels", {})),
        blocked=verdicts(figures.get("blocked", {})),
        folds=_folds(figures.get("splits", {})),
        parts=list(_parts(folder, revision)) if folder.is_dir() else [],
        left_out=figures.get("left_out", []),
        stamps=_stamps(figures),
        participants_withdrawn=release.leaves.filter(tombstone_at__isnull=False)
        .values("participant")
        .distinct()
        .count(),
        has_folder=folder.is_dir(),
    )


def _consensus(counts: dict[str, int]) -> str:
    """Say how many answers a person decided, how many nobody could, and what is flagged."""
    words = {
        "adjudicated": "decided by adjudication",
        "undecided": "undecided",
        "flagged": "flagged by the model of raters' errors",
        "prelabelled": "recordings with pre-labels in sight",
    }
    return ", ".join(f"{counts[key]} {said}" for key, said in words.items() if counts.get(key))


def folder_of(release: Release) -> Path:
    """Give the release's folder."""
    # Here, because it loads numpy, and most web processes never show this page.
    from waver.datasets.releases import path_of

    return path_of(release)


def _folds(splits: dict[str, int]) -> list[Fold]:
    total = sum(splits.values())
    return [
        Fold(
            code=code,
            word=FOLD_WORDS[code],
            participants=splits.get(code, 0),
            share=splits.get(code, 0) / total if total else 0.0,
        )
        for code in SplitAssignment.Fold.values
    ]


@lru_cache(maxsize=32)
def _parts(folder: Path, revision: str) -> tuple[Part, ...]:
    """Count a release's files by format. A release never changes but by its revision."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for place, _, files in os.walk(folder):
        top = Path(place).relative_to(folder).parts[:1]
        found = counts[top[0] if top else ""]
        for name in files:
            found[0] += 1
            found[1] += (Path(place) / name).stat().st_size
    return tuple(
        Part(name=name, words=FORMAT_WORDS.get(name, name), files=files, size=size)
        for name, (files, size) in sorted(counts.items(), key=lambda item: item[0] == "")
    )


def _stamps(figures: dict[str, Any]) -> list[str]:
    found = []
    if figures.get("is_demonstration"):
        found.append(
            "Demonstration: the gate's policy asked for fewer participants than an honest claim "
            "needs. Nothing here is evidence that a label is reliable."
        )
    verdicts = figures.get("labels", {})
    votes = [key for key, verdict in verdicts.items() if verdict == "tentative"]
    waived = [key for key, verdict in verdicts.items() if verdict == "waived"]
    if votes:
        found.append(
            f"Tentative: {', '.join(votes)} came close and did not pass. Of it, only the raters' "
            "votes are here."
        )
    if waived:
        found.append(f"Waived: {', '.join(waived)} did not pass; its sentence says who let it out.")
    if figures.get("is_synthetic"):
        found.append(
            "Synthetic: some recordings, participants or raters are computer-made; the tables mark "
            "each of them."
        )
    return found


def files_of(release: Release) -> Iterator[tuple[Path, str]]:
    """Yield each file of a release with its name in the archive, in order.

    Raises Missing when the folder is gone.
    """
    folder = folder_of(release)
    if not folder.is_dir():
        raise Missing(
            f"The folder {release.folder} of this release is gone. An administrator can restore it "
            "from a backup."
        )
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return ((path, f"{release.folder}/{path.relative_to(folder)}") for path in paths)
