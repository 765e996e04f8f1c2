"""Release formats: one small file each, and this list. A new format is a copy and a line here."""

from __future__ import annotations

from typing import Protocol

from waver.datasets.content import Content
from waver.datasets.draft import Draft
from waver.datasets.exporters import bah, previews, sensors, tables


class Exporter(Protocol):
    """What a format does. Functions of a module serve as well as methods."""

    NAME: str
    BUILDER: str  # name and version of what makes its containers
    TITLE: str
    ON_REQUEST: bool  # whether it is written only where somebody asked for it

    def applies(self, content: Content) -> bool:
        """Tell whether the format can hold this content."""

    def write_shares(self, content: Content, draft: Draft) -> None:
        """Write the files that belong to one participant each."""

    def write_containers(self, content: Content, draft: Draft) -> None:
        """Write the files that mix participants; called again after a withdrawal."""

    def describe(self, content: Content) -> list[str]:
        """Say in sentences what is where, and what is missing and why."""


EXPORTERS: tuple[Exporter, ...] = (tables, bah, previews, sensors)
"""In the order in which they are written. Explicit, never found by listing a folder."""
