"""A lake's curve as text: points with error bars on a time axis, and the reasons for missing seasons.

Drawn without a library: plotting libraries for terminals offer neither hollow points nor gaps in a series.
"""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich.text import Text

from monitor.drawing.text import one_line, visible
from monitor.report.curve.values import (
    Curve,
    area_ticks,
    by_reason,
    radar_words,
    trend_line,
    trend_words,
)

#: approximate number of rows of the drawing
ROWS = 15
#: smallest width at which seasons can be distinguished, columns
NARROWEST = 20
COLOURS = {"model": "blue", "inventory": "green", "index": "magenta"}


@dataclass(frozen=True)
class Signs:
    """The characters of a drawing; `full` and `hollow` by kind of survey."""

    full: dict[str, str]
    hollow: dict[str, str]
    bar: str
    cap_high: str
    cap_low: str
    edge: str
    edge_tick: str
    corner: str
    floor: str
    floor_tick: str
    trend: str


UNICODE = Signs(
    full={"model": "●", "inventory": "■", "index": "▲"},
    hollow={"model": "○", "inventory": "□", "index": "△"},
    bar="│",
    cap_high="┬",
    cap_low="┴",
    edge="│",
    edge_tick="┤",
    corner="└",
    floor="─",
    floor_tick="┬",
    trend="·",
)
ASCII = Signs(
    full={"model": "*", "inventory": "#", "index": "^"},
    hollow={"model": "o", "inventory": "u", "index": "v"},
    bar="|",
    cap_high="-",
    cap_low="-",
    edge="|",
    edge_tick="+",
    corner="+",
    floor="-",
    floor_tick="+",
    trend=".",
)


def draw_curve(curve: Curve, width: int, *, ascii_only: bool = False) -> Text:
    """The curve as lines of text, none wider than `width` columns."""
    signs = ASCII if ascii_only else UNICODE
    title = f"{curve.code}: area in {curve.unit[0]}{' (simulated scenes)' if curve.simulated else ''}"
    lines = [Text(line, style="bold") for line in _wrapped(title, width)]
    canvas = _canvas(curve, width)
    if canvas is not None:
        _draw_trend(canvas, curve, signs)
        _draw_points(canvas, curve, signs)
        lines += [*_field(canvas, signs), *_floor(canvas, curve, signs)]
        lines += _legend(curve, signs, width)
    lines += [Text(line) for note in _notes(curve, signs) for line in _wrapped(note, width)]
    return Text("\n").join(lines)


@dataclass
class Canvas:
    """A field of characters over areas (rows) and seasons (columns); what is drawn later lies on top."""

    marks: list[float]
    """Areas of the labelled rows, from below, in the curve's unit."""
    labels: list[str]
    rows_per_step: int
    columns: int
    scale: float
    """Square metres of the unit."""
    seasons: list[int]
    cells: dict[tuple[int, int], tuple[str, str]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return (len(self.marks) - 1) * self.rows_per_step + 1

    @property
    def margin(self) -> int:
        """Columns left of the field: labels and the axis."""
        return max(map(len, self.labels)) + 2

    @property
    def per_year(self) -> float:
        """Columns per year, 0 if there is only one season."""
        years = self.seasons[-1] - self.seasons[0]
        return (self.columns - 7) / years if years else 0.0

    def row_of(self, area_m2: float) -> int:
        low, high = self.marks[0], self.marks[-1]
        return round((high - area_m2 / self.scale) / (high - low) * (self.rows - 1))

    def column_of(self, season: float) -> int:
        years = season - self.seasons[0]
        return round(3 + years * self.per_year) if self.per_year else self.columns // 2

    def put(self, row: int, column: int, sign: str, style: str) -> None:
        if 0 <= row < self.rows and 0 <= column < self.columns:
            self.cells[row, column] = sign, style

    def line(self, row: int) -> Text:
        """A row without trailing blanks."""
        last = max((at for number, at in self.cells if number == row), default=-1)
        return Text.assemble(*(self.cells.get((row, column), (" ", "")) for column in range(last + 1)))


def place(labels: Iterable[tuple[int, str]], columns: int) -> tuple[str, list[tuple[int, str]]]:
    """A line with each label centred on its column in the given order, and the labels without room."""
    line, left_over = " " * columns, []
    for column, label in labels:
        start = max(0, min(column - (len(label) - 1) // 2, columns - len(label)))
        end = start + len(label)
        if end <= columns and not line[max(0, start - 1) : end + 1].strip():
            line = line[:start] + label + line[end:]
        else:
            left_over.append((column, label))
    return line.rstrip(), left_over


def _canvas(curve: Curve, width: int) -> Canvas | None:
    """An empty canvas; None if the lake was never observed or the terminal is too narrow."""
    scale = curve.unit[1]
    marks = area_ticks(curve)
    labels = _numbers(marks)
    columns = width - max(map(len, labels)) - 2
    if not curve.seen or columns < NARROWEST:
        return None
    rows_per_step = max(2, round(ROWS / (len(marks) - 1)))
    return Canvas(marks, labels, rows_per_step, columns, scale, sorted({p.season for p in curve.points}))


def _numbers(values: Sequence[float]) -> list[str]:
    """Numbers with the same number of decimals, as many as needed."""
    decimals = next(n for n in range(13) if all(abs(round(v, n) - v) < 1e-9 for v in values))
    return [f"{value:.{decimals}f}" for value in values]


def _draw_trend(canvas: Canvas, curve: Curve, signs: Signs) -> None:
    trend = curve.trend
    if trend is None or not canvas.per_year:
        return
    first, last = trend_line(trend)
    for column in range(canvas.column_of(first[0]), canvas.column_of(last[0]) + 1):
        season = canvas.seasons[0] + (column - 3) / canvas.per_year
        canvas.put(canvas.row_of(max(trend.area_m2(season), 0.0)), column, signs.trend, "dim")


def _draw_points(canvas: Canvas, curve: Curve, signs: Signs) -> None:
    """Draw bars before points, and the season's value over the points beside it."""
    beside: dict[int, int] = defaultdict(int)
    apart = 2 if canvas.per_year >= 5 or not canvas.per_year else int(canvas.per_year >= 2)
    points = []
    for point in reversed(curve.seen):
        points.append((point, canvas.column_of(point.season) + apart * beside[point.season]))
        beside[point.season] += 1
    for point, column in reversed(points):
        if point.low_m2 is None or point.high_m2 is None:
            continue
        style = COLOURS[point.kind]
        high, low = canvas.row_of(point.high_m2), canvas.row_of(point.low_m2)
        for row in range(high, low + 1):
            sign = signs.cap_high if row == high else signs.cap_low if row == low else signs.bar
            canvas.put(row, column, sign, style)
    for point, column in reversed(points):
        sign = (signs.full if point.doubt is None else signs.hollow)[point.kind]
        canvas.put(canvas.row_of(point.area_m2 or 0.0), column, sign, f"bold {COLOURS[point.kind]}")


def _field(canvas: Canvas, signs: Signs) -> list[Text]:
    """The points with the axis of areas."""
    lines = []
    for row in range(canvas.rows):
        step, between = divmod(row, canvas.rows_per_step)
        label, edge = ("", signs.edge) if between else (canvas.labels[-1 - step], signs.edge_tick)
        lines.append(Text.assemble((f"{label:>{canvas.margin - 2}} {edge}", "dim"), canvas.line(row)))
    return lines


def _floor(canvas: Canvas, curve: Curve, signs: Signs) -> list[Text]:
    """The axis of seasons with its years, and the events."""
    blank = " " * canvas.margin
    axis = [signs.floor] * canvas.columns
    for season in canvas.seasons:
        axis[canvas.column_of(season)] = "?" if season in curve.gaps else signs.floor_tick
    lines = [Text(f"{blank[:-1]}{signs.corner}{''.join(axis)}", style="dim")]
    lines[0].highlight_regex(r"\?", "bold yellow")
    order = [*canvas.seasons[:1], *reversed(canvas.seasons[1:])]
    years, _ = place([(canvas.column_of(season), str(season)) for season in order], canvas.columns)
    lines.append(Text(f"{blank}{years}", style="dim"))
    words = [(canvas.column_of(event.season), one_line(event.text, canvas.columns)) for event in curve.events]
    while words:
        line, words = place(words, canvas.columns)
        lines.append(Text(f"{blank}{line}", style="italic"))
    return lines


def _legend(curve: Curve, signs: Signs, width: int) -> list[Text]:
    """The signs in use with their meaning; an entry is broken only if it is wider than the terminal."""
    parts = []
    for kind, sign in signs.full.items():
        sources = list(dict.fromkeys(one_line(p.source, width) for p in curve.seen if p.kind == kind))
        parts += [(f"{sign} {kind}: {', '.join(sources)}", COLOURS[kind])] if sources else []
    parts.append((f"{signs.bar} 95 % interval", ""))
    parts += [(f"{signs.trend * 2} trend", "dim")] if curve.trend is not None else []
    lines = [Text()]
    for part, style in parts:
        if lines[-1] and len(lines[-1]) + 3 + len(part) <= width:
            lines[-1].append("   ").append(part, style)
        else:
            lines += [Text(line, style=style) for line in _wrapped(part, width)]
    return lines[1:]


def _notes(curve: Curve, signs: Signs) -> list[str]:
    """Gaps and doubts with their reasons, seasons of radar alone, and the trend."""
    notes = []
    if curve.gaps:
        notes.append(f"? not observed: {by_reason(curve.gaps)}")
    if curve.doubts:
        hollow = "".join(signs.hollow[kind] for kind in signs.hollow if kind in curve.hollow_kinds)
        notes.append(f"{hollow} not part of the trend: {by_reason(curve.doubts)}")
    return [*notes, *filter(None, [radar_words(curve)]), trend_words(curve)]


def _wrapped(words: str, width: int) -> list[str]:
    return textwrap.wrap(visible(words), width, subsequent_indent="  ")
