"""Bringing transcripts in: one file to a recording, or a folder of them to a study."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from waver.core.errors import BadInput, WaverError
from waver.core.tables import read_table
from waver.recordings.manifest import VIDEO_SUFFIXES
from waver.recordings.models import Recording, Transcript
from waver.recordings.transcripts import versions
from waver.recordings.transcripts.formats import READERS
from waver.recordings.transcripts.reading import (
    MOST_BYTES,
    Options,
    Reader,
    check_size,
    fitted,
    language_code,
)
from waver.recordings.transcripts.said import Said
from waver.studies.models import Study

COLUMNS = ("file", "recording")
Readers = Mapping[str, tuple[str, Reader]]


class Result(StrEnum):
    """What became of a file."""

    IMPORTED = "imported"
    THERE_ALREADY = "there already"
    REFUSED = "refused"


@dataclass(frozen=True)
class Brought:
    """The version that a file became, and what was read in another way than it stands there."""

    kept: versions.Kept
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of one file of a folder; sentences say why it was refused, or what to check."""

    result: Result
    file: str
    sentences: tuple[str, ...] = ()
    transcript: Transcript | None = None


@dataclass(frozen=True)
class _Named:
    """A file, and the recording that the manifest or its own name says it is about."""

    file: str
    path: Path
    recording: str
    line: int | None = None


def bring_in(
    *,
    recording: Recording,
    name: str,
    data: bytes,
    actor: str,
    language: str = "",
    readers: Readers = READERS,
    options: Options | None = None,
    replace: bool = False,
) -> Brought:
    """Make a file the recording's next transcript; its name's ending says the format.

    `language` counts where the file names none; where neither does, the take's. Raises BadInput for
    what does not fit, and as `versions.store`.
    """
    known = readers.get(Path(name).suffix.lower())
    if known is None:
        raise BadInput(
            f"{name[:120]} is no transcript that can be read. It must end in one of: "
            f"{', '.join(readers)}."
        )
    format_name, read = known
    chosen = options or Options()
    check_size(data)
    duration_us = versions.length_of(recording)
    said, notes = fitted(read(data, chosen), duration_us=duration_us, shift_us=chosen.shift_us)
    code = said.language or language_code(language) or recording.take.language
    kept = versions.store(
        recording=recording,
        said=Said(said.segments, code),
        source=Transcript.Source.IMPORTED,
        made_from=format_name,
        made_by=actor,
        replace=replace,
    )
    return Brought(kept, notes)


def import_folder(
    *,
    study: Study,
    folder: Path,
    manifest: Path | None = None,
    actor: str,
    language: str = "",
    readers: Readers = READERS,
    options: Options | None = None,
    replace: bool = False,
    on_result: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Bring in every transcript of a folder, also in folders below it; give an outcome for each.

    The recording is the one whose original file had the same name but for its ending, or the one
    that the manifest names (a CSV file with the columns file and recording: the original's name or
    the recording's id). The same folder twice imports nothing twice; one bad file stops no other.
    Raises BadInput when the folder or the manifest as a whole cannot be used.
    """
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}. Check the path.")
    recordings = _Recordings(study)
    outcomes = []
    for named in _files(folder, manifest, readers):
        outcome = _import_one(
            named, recordings,
            folder=folder, actor=actor, language=language, readers=readers, options=options,
            replace=replace,
        )  # fmt: skip
        outcomes.append(outcome)
        if on_result is not None:
            on_result(outcome)
    return outcomes


class _Recordings:
    """A study's recordings by what a file may call them, looked up without going through all."""

    def __init__(self, study: Study) -> None:
        self._ids: dict[str, list[UUID]] = defaultdict(list)
        self._rows = Recording.objects.filter(study=study).select_related(
            "take__participant", "study"
        )
        for pk, name in self._rows.values_list("pk", "original_name").iterator():
            for called in {str(pk), name, Path(name).stem}:
                self._ids[called].append(pk)

    def called(self, name: str) -> list[Recording]:
        """Give those of this id, else with this original name, else with it but for the ending."""
        with suppress(ValueError):
            name = str(UUID(name))
        rows = list(self._rows.filter(pk__in=self._ids.get(name, [])))
        first = [row for row in rows if str(row.pk) == name]
        return first or [row for row in rows if row.original_name == name] or rows


def _import_one(
    named: _Named,
    recordings: _Recordings,
    *,
    folder: Path,
    actor: str,
    language: str,
    readers: Readers,
    options: Options | None,
    replace: bool,
) -> Outcome:
    where = f"Line {named.line}: {named.file}" if named.line else named.file
    try:
        if not named.path.resolve().is_relative_to(folder.resolve()):
            raise BadInput("it lies outside the folder. Put it inside, or name its own folder.")
        recording, spoken = _recording_of(named, recordings)
        made = bring_in(
            recording=recording,
            name=named.path.name,
            data=_bytes_of(named.path),
            actor=actor,
            language=language or spoken,
            readers=readers,
            options=options,
            replace=replace,
        )
    except WaverError as error:
        return Outcome(Result.REFUSED, named.file, (f"{where}: {error.sentence}",))
    except OSError as error:
        sentence = f"{where} cannot be read ({error.strerror or error}). Check the file's rights."
        return Outcome(Result.REFUSED, named.file, (sentence,))
    result = Result.IMPORTED if made.kept.is_new else Result.THERE_ALREADY
    notes = tuple(f"{where}: {note}" for note in made.notes)
    return Outcome(result, named.file, notes, made.kept.transcript)


def _files(folder: Path, manifest: Path | None, readers: Readers) -> Iterator[_Named]:
    if manifest is None:
        found = [
            path
            for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in readers and path.is_file()
        ]
        if not found:
            raise BadInput(
                f"The folder {folder} holds no transcript: no file that ends in one of "
                f"{', '.join(readers)}."
            )
        for path in found:
            yield _Named(str(path.relative_to(folder)), path, "")
        return
    table = read_table(manifest, columns=COLUMNS, called="manifest", one="transcript")
    for line in table.lines:
        file = line.values["file"]
        yield _Named(file, folder / file, line.values["recording"], line.number)


def _bytes_of(path: Path) -> bytes:
    with path.open("rb") as data:
        return data.read(MOST_BYTES + 1)


def _recording_of(named: _Named, recordings: _Recordings) -> tuple[Recording, str]:
    """The recording that a file is about, and the language that its name tells (x.fr.vtt)."""
    if named.recording:
        return _only(named.recording, recordings.called(named.recording)), ""
    stem = named.path.stem
    found = recordings.called(stem)
    inner = Path(stem)
    if not found and inner.suffix:
        found = recordings.called(inner.stem)
        if inner.suffix.lower() not in VIDEO_SUFFIXES:
            return _only(stem, found), inner.suffix[1:]
    return _only(stem, found), ""


def _only(name: str, found: Sequence[Recording]) -> Recording:
    if len(found) == 1:
        return found[0]
    many = "no recording" if not found else f"{len(found)} recordings"
    raise BadInput(
        f"the study has {many} called “{name[:120]}”. Write a manifest with the columns "
        f"{' and '.join(COLUMNS)} that names the recording by its file or by its id."
    )
