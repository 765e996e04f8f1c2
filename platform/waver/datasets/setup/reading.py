"""Read a study file, and the files that it names; every problem is a sentence with its line."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from annotation.codebooks import Codebook, CodebookError, load
from annotation.codebooks import shipped as shipped_codebooks
from annotation.written import Unreadable, Where, line_of, parse, shape_problems
from waver.consent import forms
from waver.core.errors import BadInput
from waver.core.tables import read_moment
from waver.datasets import policies
from waver.datasets.labels import named_labels
from waver.recordings.quality.limits import problems
from waver.studies.designs import Choices
from waver.studies.models import Study
from waver.studies.services import PromptText

_LANGUAGE = "name a language by its code, in quotes where it is “no”: en, fr, en-CA"
_HINTS = {
    "code": "use 1 to 40 small letters, digits, dashes or underscores, such as hesitation-2026",
    "languages": _LANGUAGE,
    "text": _LANGUAGE,
    "consent": _LANGUAGE,
    "expires_on": "write a day like 2028-01-31",
    "quality": "write a figure like {at_least: 0.8}; docs/researcher.md has them",
    "members": "give each one role, or a list: lead, consent_manager, researcher, annotator",
}
_OWN_FILE = (".yaml", ".yml")
_ENCODING = "utf-8-sig"  # editors on Windows write a byte order mark


class StudyFileProblem(BadInput):
    """The study file must be changed. `problems` holds (line, sentence) pairs, in line order."""

    def __init__(self, problems: list[tuple[int, str]]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(f"Line {line}: {text}" for line, text in self.problems))


@dataclass(frozen=True)
class Document:
    """A consent document that the file names: its text, who approved it, from when it is used."""

    text: forms.DocumentText
    approved_by: str
    effective_from: datetime


@dataclass(frozen=True)
class Member:
    """A role that the file gives to a person."""

    username: str
    role: str


@dataclass(frozen=True)
class StudyFile:
    """A study as its file describes it, checked as far as that goes without the database.

    `lines` gives the line of each place in the file, see `line`.
    """

    study: Mapping[str, Any]  # what `studies.services.create_study` takes
    codebook: Codebook
    codebook_text: str
    policy_text: str
    design: Choices
    quality: Mapping[str, Mapping[str, float]] | None  # None: the file says nothing of it
    prompts: tuple[PromptText, ...]
    documents: tuple[Document, ...]
    members: tuple[Member, ...]
    lines: Mapping[Where, int]

    @property
    def code(self) -> str:
        """The study's code."""
        return str(self.study["code"])

    def line(self, *where: str | int) -> int:
        """Give the line of a place, such as `line("design", "passes")`."""
        return line_of(self.lines, where)


def read_study_file(path: Path) -> StudyFile:
    """Read and check a study file and the codebook, policy and documents that it names.

    Those are what ships with Waver, by name, or files, found from the study file's folder.
    Raises StudyFileProblem with every problem, BadInput for a file that cannot be read at all.
    """
    try:
        data, lines = parse(_text_of(path), expected="a study")
    except Unreadable as error:
        raise StudyFileProblem(list(error.problems)) from error
    shape = shape_problems(data, _validator(), whole="The study", hints=_HINTS)
    problems = [(line_of(lines, where), sentence) for where, sentence in shape]
    if problems:
        raise StudyFileProblem(problems)
    return _Reader(data, lines, path.parent).read()


@functools.cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    schema = Path(__file__).with_name("schema.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(schema))


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding=_ENCODING)
    except FileNotFoundError as error:
        raise BadInput(f"There is no file {path}. Correct the name.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read as UTF-8 text: {error}.") from error


class _Reader:
    """Turns content of the right shape into a StudyFile, and gathers what is wrong beyond that."""

    def __init__(self, data: dict[str, Any], lines: Mapping[Where, int], folder: Path) -> None:
        self.data, self.lines, self.folder = data, lines, folder
        self.problems: list[tuple[int, str]] = []

    def read(self) -> StudyFile:
        """Read everything. Raises StudyFileProblem when anything was wrong."""
        codebook, codebook_text = self._codebook()
        policy_text = self._policy(codebook)
        design = Choices(**{**self.data["design"], "passes": tuple(self.data["design"]["passes"])})
        for where, sentence in (
            *self._text_problems(),
            *self._pass_problems(codebook),
            *self._design_problems(design),
            *self._quality_problems(),
        ):
            self._refuse(sentence, *where)
        study = self._study()
        documents = tuple(self._documents())
        if self.problems or codebook is None:
            raise StudyFileProblem(self.problems)
        return StudyFile(
            study=study,
            codebook=codebook,
            codebook_text=codebook_text,
            policy_text=policy_text,
            design=design,
            quality=self.data.get("quality"),
            prompts=tuple(
                PromptText(prompt["text"], prompt.get("expected_response", ""), order)
                for order, prompt in enumerate(self.data["prompts"], start=1)
            ),
            documents=documents,
            members=tuple(
                Member(str(username), role)
                for username, roles in self.data["members"].items()
                for role in ([roles] if isinstance(roles, str) else roles)
            ),
            lines=self.lines,
        )

    def _refuse(self, sentence: str, *where: str | int) -> None:
        self.problems.append((line_of(self.lines, where), sentence))

    def _study(self) -> dict[str, Any]:
        data, exemption = self.data, self.data.get("exemption", {})
        return {
            "code": data["code"],
            "title": data["title"],
            "setting": data["setting"],
            "jurisdictions": data.get("jurisdictions", []),
            "languages": data["languages"],
            "ethics_approval": data["ethics"]["approval"],
            "ethics_expires_on": self._day("ethics", "expires_on"),
            "intended_use": data["intended_use"].strip(),
            "exemption": exemption.get("kind", Study.Exemption.NONE.value),
            "exemption_reviewed_by": exemption.get("reviewed_by", ""),
        }

    def _day(self, *where: str) -> date | None:
        text = self.data[where[0]].get(where[1])
        try:
            return date.fromisoformat(text) if text else None
        except ValueError:
            self._refuse(
                f"{text!r} is no day of the calendar; write a day like 2028-01-31.", *where
            )
            return None

    def _codebook(self) -> tuple[Codebook | None, str]:
        named = self.data["codebook"]
        try:
            if named.endswith(_OWN_FILE):
                text = _text_of(self.folder / named)
            elif named in shipped_codebooks():
                text = _text_of(shipped_codebooks()[named])
            else:
                raise BadInput(
                    f"There is no codebook {named!r} in Waver. It has "
                    f"{' and '.join(shipped_codebooks())}; a file of your own ends in .yaml."
                )
            return load(text), text
        except CodebookError as error:
            self._refuse(f"The codebook {named} must be corrected:\n{_indented(error)}", "codebook")
        except BadInput as error:
            self._refuse(str(error), "codebook")
        return None, ""

    def _policy(self, codebook: Codebook | None) -> str:
        named, text = self.data["policy"], ""
        try:
            own = named.endswith(_OWN_FILE)
            text = _text_of(self.folder / named) if own else policies.shipped(named)
            rules = policies.read(text)
            if codebook is not None:
                named_labels(codebook, rules)
        except policies.PolicyProblem as error:
            self._refuse(f"The policy {named} must be corrected:\n{_indented(error)}", "policy")
        except BadInput as error:
            self._refuse(str(error), "policy")
        return text

    def _text_problems(self) -> Iterator[tuple[Where, str]]:
        """Every prompt stands in each of the study's languages, and in no other."""
        languages = self.data["languages"]
        for index, prompt in enumerate(self.data["prompts"]):
            missing = [language for language in languages if language not in prompt["text"]]
            if missing:
                yield (
                    ("prompts", index, "text"),
                    f"Prompt {index + 1} has no text in {', '.join(missing)}; write it.",
                )
            for language, text in prompt["text"].items():
                if language not in languages:
                    yield (
                        ("prompts", index, "text", language),
                        f"{language!r} is none of the study's languages, {', '.join(languages)}.",
                    )
                if not text.strip():
                    yield ("prompts", index, "text", language), "A prompt's text must not be empty."

    def _pass_problems(self, codebook: Codebook | None) -> Iterator[tuple[Where, str]]:
        for index, name in enumerate(self.data["design"]["passes"]):
            known = [part.id for part in codebook.passes] if codebook else [name]
            if name not in known:
                yield (
                    ("design", "passes", index),
                    f"The codebook has no pass {name!r}; it has {', '.join(known)}.",
                )

    def _design_problems(self, design: Choices) -> Iterator[tuple[Where, str]]:
        for name, sentence in design.problems():
            yield ("design", name), sentence
        given = self.data["design"]
        for name, without, why in (
            ("reliability_share", design.overlap == "full", "overlap: sample"),
            ("repeat_gap", not design.repeat_share, "a repeat_share"),
        ):
            if name in given and without:
                yield (
                    ("design", name),
                    f"{name!r} says nothing without {why}. Remove it, or add that.",
                )

    def _quality_problems(self) -> Iterator[tuple[Where, str]]:
        for figure, sentence in problems(self.data.get("quality", {})):
            yield ("quality", figure), sentence

    def _documents(self) -> Iterator[Document]:
        for language, entry in self.data["consent"].items():
            where = ("consent", language)
            if language not in self.data["languages"]:
                known = ", ".join(self.data["languages"])
                self._refuse(f"{language!r} is none of the study's languages, {known}.", *where)
            named = entry["document"]
            try:
                effective_from = read_moment(entry["effective_from"], called="The beginning")
            except BadInput as error:
                self._refuse(str(error), *where, "effective_from")
                continue
            try:
                own = named.endswith(_OWN_FILE)
                if not own and named != "default":
                    raise BadInput(
                        f"There is no consent document {named!r} in Waver. Write “default” for "
                        "the one that ships with it; a file of your own ends in .yaml."
                    )
                text = forms.read_file(self.folder / named if own else forms.shipped(language))
                if text.language != language:
                    raise BadInput(
                        f"{named} is written in {text.language!r}, but stands here as the document "
                        f"in {language!r}. Put it under its own language."
                    )
            except BadInput as error:
                self._refuse(str(error), *where, "document")
                continue
            yield Document(text, entry["approved_by"], effective_from)


def _indented(error: Exception) -> str:
    return "\n".join(f"  {line}" for line in str(error).splitlines())
