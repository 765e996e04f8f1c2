"""A study's codebook, installed from its file; a new version supersedes, nothing is overwritten."""

from __future__ import annotations

from django.db import transaction

from annotation.codebooks import Codebook, CodebookError, load
from annotation.models import CodebookVersion
from waver.core import audit
from waver.core.errors import BadInput, Missing
from waver.studies.models import Study


@transaction.atomic
def install_codebook(study: Study, text: str, actor: str) -> CodebookVersion:
    """Install a codebook file for a study and give its row.

    Installing the same content again gives the row that is there. Raises BadInput for a file that
    is no codebook (every problem with its line), and for changed content under an old number.
    """
    try:
        codebook = load(text)
    except CodebookError as error:
        raise BadInput(f"The codebook cannot be used until this is corrected:\n{error}") from error
    Study.objects.select_for_update().get(pk=study.pk)
    newest = study.codebooks.filter(code=codebook.id).order_by("-version").first()
    if newest is not None and newest.sha256 == codebook.sha256:
        return newest
    if newest is not None and codebook.version <= newest.version:
        raise BadInput(
            f"The codebook “{codebook.id}” was changed but still calls itself version "
            f"{codebook.version}, and version {newest.version} is installed. Give it number "
            f"{newest.version + 1}: labels name the version that they were made with."
        )
    made = CodebookVersion.objects.create(
        study=study,
        code=codebook.id,
        version=codebook.version,
        text=text,
        sha256=codebook.sha256,
        supersedes=newest,
    )
    audit.record(
        actor=actor,
        verb="codebook.installed",
        object_kind="codebook_version",
        object_id=made.pk,
        detail={"code": made.code, "version": made.version, "sha256": made.sha256},
    )
    return made


def current(study: Study) -> CodebookVersion:
    """Give the codebook version that a study works with now: the one installed last.

    Raises Missing when it has none.
    """
    found = study.codebooks.order_by("-created_at", "-version").first()
    if found is None:
        raise Missing(
            f"The study “{study.title}” has no codebook. Install one before assigning recordings."
        )
    return found


def parsed(version: CodebookVersion) -> Codebook:
    """Give a stored version's content."""
    return load(version.text)
