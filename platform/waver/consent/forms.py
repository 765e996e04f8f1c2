"""Consent documents that come as files: read, checked, published."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from waver.consent.models import ConsentDocument
from waver.consent.services import ItemText, document_hash, publish_document
from waver.core.errors import BadInput
from waver.studies.models import Study

DOCUMENTS = Path(__file__).parent / "documents"


@dataclass(frozen=True)
class DocumentText:
    """A consent document as its file gives it, in one language."""

    language: str
    title: str
    body: str
    items: tuple[ItemText, ...]

    @property
    def sha256(self) -> str:
        """The hash under which it is stored once published."""
        return document_hash(title=self.title, body=self.body, items=self.items)


def read_file(path: Path) -> DocumentText:
    """Read the consent document in a YAML file: language, title, body, items.

    Raises BadInput for a file that cannot be read as such.
    """
    content = _read(path)
    try:
        items = tuple(
            ItemText(
                code=str(item["code"]),
                text=str(item["text"]),
                purpose=str(item["purpose"]),
                required=bool(item["required"]),
            )
            for item in content["items"]
        )
        language, title, body = (str(content[name]) for name in ("language", "title", "body"))
    except (KeyError, TypeError) as error:
        raise BadInput(
            f"The consent document {path.name} lacks {error}. It needs language, title, body and "
            "items, and each item a code, a text, a purpose and whether it is required."
        ) from error
    return DocumentText(language=language, title=title, body=body, items=items)


def shipped(language: str) -> Path:
    """Give the document that ships with Waver in a language. Raises BadInput for another."""
    path = DOCUMENTS / f"default.{language}.yaml"
    if not path.exists():
        there = ", ".join(sorted(file.suffixes[0][1:] for file in DOCUMENTS.glob("default.*.yaml")))
        raise BadInput(
            f"Waver has no consent document in the language “{language}”, only in: {there}. "
            "Write one as a YAML file and publish that."
        )
    return path


def publish(
    *,
    study: Study,
    text: DocumentText,
    approved_by: str,
    effective_from: datetime | None = None,
) -> ConsentDocument:
    """Publish a document that was read. Raises BadInput for what `publish_document` refuses."""
    return publish_document(
        study=study,
        language=text.language,
        title=text.title,
        body=text.body,
        items=text.items,
        approved_by=approved_by,
        effective_from=effective_from,
    )


def publish_file(
    *, study: Study, path: Path, approved_by: str, effective_from: datetime | None = None
) -> ConsentDocument:
    """Read a document from its file and publish it. Raises BadInput as these two do."""
    return publish(
        study=study, text=read_file(path), approved_by=approved_by, effective_from=effective_from
    )


def publish_default(
    *,
    study: Study,
    approved_by: str,
    language: str = "en",
    effective_from: datetime | None = None,
) -> ConsentDocument:
    """Publish the document that ships with Waver. Raises BadInput where there is none."""
    return publish_file(
        study=study,
        path=shipped(language),
        approved_by=approved_by,
        effective_from=effective_from,
    )


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"The consent document {path.name} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise BadInput(f"The consent document {path.name} is no YAML mapping. Start from ours.")
    return content
