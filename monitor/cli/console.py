"""Printing: progress and warnings go to the error stream, results to the output stream."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from monitor import progress
from monitor.drawing.text import one_line, visible
from storage.redaction import RedactingFormatter, redacted

#: columns that are not wrapped, because they are copied or read as one word
NEVER_WRAPPED = ("lake", "code", "flag", "verdict", "season", "last seen", "where")


class Screen(Console):
    """A console that shows strings as they are: no markup, no emoji codes, control characters as escapes.

    Names, sources and messages are written by others; styles are given by `styled`.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **(options | {"markup": False, "emoji": False}))


#: characters of a line of the log
LONGEST_RECORD = 2000

out = Screen()
err = Screen(stderr=True)


def styled(*parts: str | tuple[str, str]) -> Text:
    """Text of parts, some of them with a style: `styled(("error:", "bold red"), " no such region")`."""
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((visible(part), style) for part, style in pairs))


class ProgressBars:
    """Bars and spinners on a terminal. Implements `monitor.progress.Progress`."""

    def __init__(self, title: str, console: Console = err) -> None:
        self._title = title
        self._console = console

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        with self._console.status(styled(f"{self._title}: {name}")):
            yield

    @contextmanager
    def count(self, name: str, total: int) -> Iterator[Callable[[], None]]:
        if total == 0:
            yield lambda: None
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console) as bars:
            bar = bars.add_task(visible(f"{self._title}: {name}"), total=total)
            yield lambda: bars.advance(bar)

    def note(self, text: str) -> None:
        self._console.print(f"  {redacted(text)}", highlight=False)


class OneLine(RedactingFormatter):
    """A message as one line, as text of others must not add lines to a log; a traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return one_line(super().formatMessage(record), LONGEST_RECORD)


def progress_of(title: str) -> progress.Progress:
    """Progress bars on a terminal, else lines of a log, both on the error stream."""
    if err.is_terminal:
        return ProgressBars(title)
    log = logging.getLogger(progress.__name__)
    if not log.handlers:  # not the root's handler: Dask logs at this level, too
        lines = logging.StreamHandler()
        lines.setFormatter(OneLine("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        log.addHandler(lines)
        log.setLevel(logging.INFO)
        log.propagate = False
    return progress.LoggedProgress(title)


def print_json(value: Any) -> None:
    """`value` as JSON on the output stream, for scripts."""
    print(json.dumps(value, default=_plain, indent=2, allow_nan=False), flush=True)  # noqa: T201


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
        shown.add_row(*map(one_line, row))
    out.print(shown)


def say(text: str | Text) -> None:
    """A line on the output stream, not wrapped."""
    out.print(text, highlight=False, soft_wrap=True)


def hectares(area_m2: float | None) -> str:
    """An area in hectares; a dash where there is none."""
    return "-" if area_m2 is None else f"{area_m2 / 1e4:.2f}"


def season_name(season: int, kind: str | None) -> str:
    """A season, marked if its survey was made by an index."""
    return f"{season} (index)" if kind == "index" else str(season)
