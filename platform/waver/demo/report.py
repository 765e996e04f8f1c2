"""What the demonstration says while it works: one line per step, progress bars, sentences."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class Report:
    """The demonstration's voice on the terminal."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.began = time.monotonic()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Head the lines of one step and say how long it took."""
        began = time.monotonic()
        self.console.print(f"[bold]{title}[/bold]")
        yield
        self.console.print(f"  [dim]{time.monotonic() - began:.1f} s[/dim]")

    def say(self, sentence: str) -> None:
        """Print one sentence under the current step."""
        self.console.print(f"  {sentence}", markup=False)

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Progress]:
        """Show a progress bar; update task 0 with `completed` and `description`."""
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console, refresh_per_second=2) as progress:
            progress.add_task(what, total=total)
            yield progress

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began
