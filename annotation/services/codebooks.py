"""A study's codebook, installed from its file; a new version supersedes, nothing is overwritten."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet

from annotation.codebooks import (
    Codebook,
    CodebookError,
    Comparison,
    Migration,
    Orphan,
    compare,
    load,
    migration_between,
    migration_block,
)
from annotation.models import ClipLabel, CodebookVersion, Segment, SegmentCue
from waver.core import audit
from waver.core.errors import BadInput, Missing
from waver.studies.models import Study


@transaction.atomic
def install_codebook(study: Study, text: str, actor: str) -> CodebookVersion:
    """Install a codebook file for a study and give its row.

    Installing the same content again gives the row that is there. Raises BadInput for a file that
    is no codebook (every problem with its line), for changed content under an old number, and for
    a change that would orphan labels without saying under `migration` what becomes of them: the
    sentence lists each with the rows of work that carry it. The earlier version stays as it was.
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
    changes = _checked_change(newest, codebook) if newest is not None else ()
    made = CodebookVersion.objects.create(
        study=study,
        code=codebook.id,
        version=codebook.version,
        text=text,
        sha256=codebook.sha256,
        supersedes=newest,
        migration=migration_block(text),
    )
    audit.record(
        actor=actor,
        verb="codebook.installed",
        object_kind="codebook_version",
        object_id=made.pk,
        detail={
            "code": made.code,
            "version": made.version,
            "sha256": made.sha256,
            "changes": list(changes),
        },
    )
    return made


def _checked_change(newest: CodebookVersion, codebook: Codebook) -> tuple[str, ...]:
    """Give what changed, in sentences. Raises BadInput for what would orphan work."""
    found = compare(parsed(newest), codebook)
    problems = list(found.problems)
    problems += [
        f"{_capital(str(orphan))} is no longer there, and nothing under 'migration' says what "
        f"becomes of it: {_rows(rows_of_work(newest, orphan))}."
        for orphan in found.orphans
    ]
    if problems:
        listed = "\n".join(problems)
        raise BadInput(
            f"Version {codebook.version} of the codebook “{codebook.id}” would orphan work done "
            f"with version {newest.version}, which stays in use. Say under 'migration' what is "
            f"renamed, merged, split or dropped and why (docs/codebooks.md shows how):\n{listed}"
        )
    return found.changes


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _rows(count: int) -> str:
    if count == 0:
        return "no row of work carries it so far"
    return "1 row of work carries it" if count == 1 else f"{count} rows of work carry it"


def rows_of_work(version: CodebookVersion, orphan: Orphan) -> int:
    """Count the raters' rows that carry a label or answer, over all versions of this codebook."""
    work = {
        "annotation__codebook__study": version.study_id,
        "annotation__codebook__code": version.code,
        "annotation__assignment__batch__pass_id": orphan.pass_id,
    }
    segments = Segment.objects.filter(**work)
    labels = ClipLabel.objects.filter(**work)
    cues = SegmentCue.objects.filter(**{f"segment__{name}": each for name, each in work.items()})
    if orphan.label:
        return segments.filter(label=orphan.label).count()
    if not orphan.question:
        return segments.count() + labels.count()
    named = {"scale": orphan.question}, {"modality": orphan.question}
    if orphan.value:
        named[0]["value"] = named[1]["cue"] = orphan.value
    return (
        labels.filter(**named[0]).count()
        + cues.filter(**named[1]).count()
        + _certainties(segments, labels, version, orphan)
    )


def _certainties(
    segments: QuerySet[Segment],
    labels: QuerySet[ClipLabel],
    version: CodebookVersion,
    orphan: Orphan,
) -> int:
    """Count the rows whose certainty is the answer; a certainty stands on what it is about."""
    part = parsed(version).pass_(orphan.pass_id)
    if part.question(orphan.question).role != "certainty":
        return 0
    level = {"{}": int(orphan.value)} if orphan.value else {"{}__isnull": False}
    if part.unit == "segment":
        return segments.filter(**{k.format("certainty"): v for k, v in level.items()}).count()
    about = part.question(orphan.question).about
    asked = labels.filter(scale=about) if about else labels
    return asked.filter(**{k.format("confidence"): v for k, v in level.items()}).count()


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


def migration_to(version: CodebookVersion) -> Migration | None:
    """Give the way from the version before this one; None for a codebook's first version."""
    if version.supersedes is None:
        return None
    return migration_between(parsed(version.supersedes), parsed(version))


def way_between(old: CodebookVersion, new: CodebookVersion) -> tuple[Migration, ...]:
    """Give the migrations that lead from one version to a later one, oldest first.

    Empty for one and the same version. Raises BadInput when `new` does not come after `old`.
    """
    steps: list[Migration] = []
    version: CodebookVersion | None = new
    while version is not None and version.pk != old.pk:
        step = migration_to(version)
        if step is not None:
            steps.append(step)
        version = version.supersedes
    if version is None:
        raise BadInput(
            f"{new} does not come after {old}, so work done with the one cannot be carried over "
            "to the other. Choose two versions of one codebook of one study."
        )
    return tuple(reversed(steps))


@dataclass(frozen=True)
class History:
    """One version of a study's codebook and what it changed; `changes` is empty for the first."""

    version: CodebookVersion
    changes: tuple[str, ...]
    annotations: int


def history(study: Study) -> list[History]:
    """Give a study's codebook versions, newest first, with what each changed."""
    rows = study.codebooks.select_related("supersedes").order_by("-created_at", "-version")
    return [History(row, _what_changed(row), row.annotation_set.count()) for row in rows]


def _what_changed(version: CodebookVersion) -> tuple[str, ...]:
    before = version.supersedes
    return compare(parsed(before), parsed(version)).changes if before is not None else ()


def compare_versions(old: CodebookVersion, new: CodebookVersion) -> Comparison:
    """Compare any two stored versions of one codebook."""
    return compare(parsed(old), parsed(new))
