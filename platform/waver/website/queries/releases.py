"""What the release pages show."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet

from waver.core.errors import Missing
from waver.datasets.models import Container, Release
from waver.studies.models import Study


def releases(study: Study) -> QuerySet[Release]:
    """List a study's releases, newest first."""
    return study.releases.select_related("gate_run__snapshot").order_by("-created_at")


def find(study: Study, release_id: UUID) -> Release:
    """Give a release of this study. Raises Missing for any other."""
    row = releases(study).filter(pk=release_id).first()
    if row is None:
        raise Missing("This study has no such release. The releases page lists them all.")
    return row


@dataclass(frozen=True)
class ReleasePage:
    """Everything on a release's page."""

    release: Release
    containers: list[Container]


def page(release: Release) -> ReleasePage:
    """Read a release's page."""
    return ReleasePage(release=release, containers=list(release.containers.order_by("path")))
