"""Taking in a folder of recordings: one outcome per file, and one bad file stops no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from waver.core.errors import WaverError
from waver.recordings.corrections import correct
from waver.recordings.manifest import Manifest, Row, read_manifest
from waver.recordings.models import Recording, RefusedFile
from waver.recordings.services import Duplicate, receive
from waver.studies.models import Study


class Result(StrEnum):
    """What became of a file."""

    IMPORTED = "imported"
    THERE_ALREADY = "there already"
    CORRECTED = "corrected"
    REFUSED = "refused"


@dataclass(frozen=True)
class Outcome:
    """What became of one file; `sentence` says why it was refused, or what was corrected."""

    result: Result
    file: str
    line: int | None
    sentence: str = ""
    recording: Recording | None = None


def import_folder(
    *,
    study: Study,
    folder: Path,
    manifest: Path | Manifest | None = None,
    actor: str,
    on_result: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Import every recording that a manifest names; give one outcome per line and stray video.

    `manifest` is a CSV file (`manifest.csv` in the folder when None) or one that was read already.
    A recording that an earlier import took in for the same participant, prompt, time, take and view
    is “there already”, so that an import can be repeated; where the manifest now says otherwise
    about its offset, occlusion, condition or sensors, that is corrected. The webcam of a take comes
    before its other views, whose clock it is. A refused file stays on the study's page with its
    sentence until an import takes it in. Raises BadInput when the manifest as a whole cannot be
    used.
    """
    read = manifest if isinstance(manifest, Manifest) else read_manifest(folder, manifest)
    outcomes = []

    participants = {row.file: row.participant for row in read.rows}

    def tell(outcome: Outcome) -> None:
        outcomes.append(outcome)
        _remember(study, outcome, participants.get(outcome.file, ""))
        if on_result is not None:
            on_result(outcome)

    for problem in read.problems:
        tell(Outcome(Result.REFUSED, problem.file, problem.line, problem.sentence))
    for row in _webcams_first(read.rows):
        tell(_import_row(study, row, actor=actor))
    return outcomes


def _webcams_first(rows: Sequence[Row]) -> list[Row]:
    """Keep the rows' order, but bring each take together, its webcam first."""
    first: dict[tuple[str, str], int] = {}
    for row in rows:
        if row.placing.take:
            first.setdefault((row.participant, row.placing.take), row.line)

    def place(row: Row) -> tuple[int, bool, int]:
        together = first.get((row.participant, row.placing.take), row.line)
        return together, row.placing.view != Recording.View.WEBCAM, row.line

    return sorted(rows, key=place)


def _import_row(study: Study, row: Row, *, actor: str) -> Outcome:
    try:
        recording = receive(
            study=study,
            source=row.path,
            original_name=row.path.name,
            participant_code=row.participant,
            prompt_order=row.prompt,
            recorded_at=row.recorded_at,
            language=row.language,
            placing=row.placing,
            actor=actor,
        )
    except Duplicate as duplicate:
        if _is_the_same(duplicate.earlier, row):
            said = correct(recording=duplicate.earlier, placing=row.placing, actor=actor)
            result = Result.CORRECTED if said else Result.THERE_ALREADY
            return Outcome(result, row.file, row.line, said, duplicate.earlier)
        return Outcome(Result.REFUSED, row.file, row.line, f"Line {row.line}: {duplicate}")
    except WaverError as error:
        return Outcome(Result.REFUSED, row.file, row.line, f"Line {row.line}: {row.file}: {error}")
    except OSError as error:
        sentence = (
            f"Line {row.line}: {row.file} cannot be read ({error.strerror or error}). Check the "
            "file's rights and the disk."
        )
        return Outcome(Result.REFUSED, row.file, row.line, sentence)
    return Outcome(Result.IMPORTED, row.file, row.line, "", recording)


def _remember(study: Study, outcome: Outcome, participant_code: str) -> None:
    """Keep a refusal for the study's page, or forget the one of a file that has come in."""
    there = RefusedFile.objects.filter(study=study, file=outcome.file[:255])
    if outcome.result is not Result.REFUSED:
        there.delete()
        return
    participant = study.participants.filter(code=participant_code).first()
    RefusedFile.objects.update_or_create(
        study=study,
        file=outcome.file[:255],
        defaults={"sentence": outcome.sentence, "participant": participant},
    )


def _is_the_same(earlier: Recording, row: Row) -> bool:
    prompt = earlier.take.prompt
    return (
        earlier.participant.code == row.participant
        and (prompt.order if prompt else None) == row.prompt
        and earlier.take.recorded_at == row.recorded_at
        and earlier.take.name == row.placing.take
        and earlier.view == row.placing.view
    )
