"""What a person sees: progress on the error stream, results on the output stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from monitor.tiles import TileResult

#: columns that are read as one word, or copied
NEVER_WRAPPED = ("lake", "code", "flag", "verdict", "season", "last seen", "where")

out = Console()
err = Console(stderr=True)


class ProgressWatch:
    """Shows a run's steps and tiles; implements `monitor.watch.Watch`."""

    def __init__(self, title: str, console: Console = err) -> None:
        self._title = title
        self._console = console
        self._progress: Progress | None = None
        self._bar: TaskID | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        with self._console.status(f"{self._title}: {name}"):
            yield

    @contextmanager
    def count(self, name: str, total: int) -> Iterator[Callable[[], None]]:
        with progress_bar(self._console) as progress:
            bar = progress.add_task(f"{self._title}: {name}", total=total)
            yield lambda: progress.advance(bar)

    @contextmanager
    def tiles(self, total: int) -> Iterator[None]:
        if total == 0:
            yield
            return
        with progress_bar(self._console) as self._progress:
            self._bar = self._progress.add_task(f"{self._title}: tiles", total=total)
            yield
        self._progress = None

    def tile(self, result: TileResult) -> None:
        if self._progress is not None and self._bar is not None:
            self._progress.advance(self._bar)
        if result.reason:
            self._console.print(
                f"  {result.task.tile.name}: {result.state}: {result.reason}", highlight=False
            )


def progress_bar(console: Console = err) -> Progress:
    """The one look of progress bars."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def print_json(value: Any) -> None:
    """`value` as JSON on the output stream, for scripts."""
    print(json.dumps(value, default=_plain, indent=2, allow_nan=False))  # noqa: T201


def records(frame: Any) -> list[dict[str, Any]]:
    """A data frame's rows as plain values, NaN as null."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(k): v for k, v in row.items()} for row in plain.to_dict("records")]


def _plain(value: Any) -> Any:
    if isinstance(value, UUID | Path):
        return str(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def table(title: str, columns: str, rows: list[list[str]]) -> None:
    """A table on the output stream; `columns` are headings between bars, `>` before those of numbers."""
    shown = Table(title=title, title_justify="left", header_style="bold")
    for heading in columns.split("|"):
        name = heading.removeprefix(">")
        shown.add_column(
            name,
            justify="right" if heading != name else "left",
            no_wrap=name in NEVER_WRAPPED or name.endswith(" ha"),
        )
    for row in rows:
        shown.add_row(*row)
    out.print(shown)


def hectares(area_m2: float | None) -> str:
    """Area as a person reads it; a dash where there is none."""
    return "-" if area_m2 is None else f"{area_m2 / 1e4:.2f}"
