"""Consent documents that come as files: read, checked, published."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from waver.consent.models import ConsentDocument
from waver.consent.services import ItemText, publish_document
from waver.core.errors import BadInput
from waver.studies.models import Study

DOCUMENTS = Path(__file__).parent / "documents"


def publish_file(
    *, study: Study, path: Path, approved_by: str, effective_from: datetime | None = None
) -> ConsentDocument:
    """Publish the consent document in a YAML file: language, title, body, items.

    Raises BadInput for a file that cannot be read as such, and for what `publish_document` refuses.
    """
    content = _read(path)
    try:
        items = [
            ItemText(
                code=str(item["code"]),
                text=str(item["text"]),
                purpose=str(item["purpose"]),
                required=bool(item["required"]),
            )
            for item in content["items"]
        ]
        language, title, body = (str(content[name]) for name in ("language", "title", "body"))
    except (KeyError, TypeError) as error:
        raise BadInput(
            f"The consent document {path.name} lacks {error}. It needs language, title, body and "
            "items, and each item a code, a text, a purpose and whether it is required."
        ) from error
    return publish_document(
        study=study,
        language=language,
        title=title,
        body=body,
        items=items,
        approved_by=approved_by,
        effective_from=effective_from,
    )


def publish_default(
    *,
    study: Study,
    approved_by: str,
    language: str = "en",
    effective_from: datetime | None = None,
) -> ConsentDocument:
    """Publish the document that ships with Waver. Raises BadInput where there is none."""
    path = DOCUMENTS / f"default.{language}.yaml"
    if not path.exists():
        there = ", ".join(sorted(file.suffixes[0][1:] for file in DOCUMENTS.glob("default.*.yaml")))
        raise BadInput(
            f"Waver has no consent document in the language “{language}”, only in: {there}. "
            "Write one as a YAML file and publish that."
        )
    return publish_file(
        study=study, path=path, approved_by=approved_by, effective_from=effective_from
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
