"""Who works with recordings above this app: asked before one is taken back for a decision.

Annotation stands above and cannot be imported here; it registers its question when Django starts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from uuid import UUID

Question = Callable[[Collection[UUID]], set[UUID]]
"""Which of these recordings are in use?"""

_QUESTIONS: dict[str, Question] = {}


def register(name: str, question: Question) -> None:
    """Let `name` answer which recordings it uses. Raises ValueError for a second of one name."""
    if _QUESTIONS.setdefault(name, question) is not question:
        raise ValueError(f"{name} has registered already which recordings it uses.")


def in_use(recording_ids: Collection[UUID]) -> set[UUID]:
    """Give those of the recordings that anybody uses."""
    return {pk for question in _QUESTIONS.values() for pk in question(recording_ids)}
