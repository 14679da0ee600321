"""A lake's curve as a picture: PNG, or SVG with text as text."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monitor.drawing.maps import mark_simulated
from monitor.drawing.palette import ORANGE, SURVEYS
from monitor.drawing.pictures import PLAIN_TEXT, check_picture, save_picture
from monitor.drawing.text import one_line
from monitor.report.curve.terminal import place
from monitor.report.curve.values import (
    Curve,
    Point,
    area_ticks,
    by_reason,
    radar_words,
    trend_line,
    trend_words,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: inches; an SVG is shown at 100 dots per inch, 900 x 520
SIZE = (9.0, 5.2)
DPI = 200
MARKERS = {"model": "o", "inventory": "s", "index": "^"}
GREY = "#767676"
RED = "#b03030"
#: characters of the small text that fit in one line above the axes
LINE = 112
#: largest number of seasons with events whose labels name the other lakes
MANY_EVENTS = 5
#: distance of two surveys of one season, as a share of the time axis
APART = 0.012
STYLE: dict[Any, Any] = PLAIN_TEXT | {
    "svg.fonttype": "none",
    "svg.hashsalt": "lake",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.axisbelow": True,
}


def write_curve(curve: Curve, path: Path) -> None:
    """Write the curve to `path`, PNG or SVG; the same curve gives the same bytes.

    Raises:
        RefusedError: the suffix is neither .png nor .svg, or the folder is missing.
        MonitorError: the file cannot be written.
    """
    check_picture(path, "--picture")
    bare = {"Date": None} if path.suffix.lower() == ".svg" else {"Software": None}
    with _style():
        save_picture(curve_figure(curve), path, dpi=DPI, metadata=bare)


def curve_figure(curve: Curve) -> Figure:
    """Areas with their 95 % intervals over the seasons, the trend, gaps with their reasons, and events."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with _style():
        figure = Figure(figsize=SIZE, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _axes(axes, curve)
        _trend(axes, curve)
        _points(axes, curve)
        _gaps(axes, curve)
        _titles(axes, curve, above=_events(axes, curve))
        if curve.seen:
            figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=9)
        if curve.simulated:
            mark_simulated(figure)
    return figure


def _style() -> AbstractContextManager[None]:
    from matplotlib import rc_context

    return rc_context(STYLE)


def _axes(axes: Axes, curve: Curve) -> None:
    """Limits, ticks and labels of both axes."""
    from matplotlib.ticker import MaxNLocator

    unit, _ = curve.unit
    marks = area_ticks(curve)
    seasons = [p.season for p in curve.points]
    span = max(max(seasons) - min(seasons), 2)
    axes.set_xlim(min(seasons) - 0.06 * span, max(seasons) + 0.06 * span)
    axes.set_ylim(marks[0], marks[-1])
    axes.set_yticks(marks)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
    axes.set_ylabel(f"area, {unit.replace('2', '²')}")
    axes.set_xlabel("season (late summer)", color=GREY, fontsize=9)
    if not curve.seen:
        axes.set(yticks=[], ylabel="")
        axes.text(0.5, 0.5, "not observed in any season", transform=axes.transAxes, ha="center", color=GREY)


def _trend(axes: Axes, curve: Curve) -> None:
    """The line from the first to the last season that counts, and the 95 % interval of its slope, above 0."""
    trend = curve.trend
    if trend is None:
        return
    scale = curve.unit[1]
    significant = curve.trend_significant
    low, high = trend.slope_low_m2_per_year, trend.slope_high_m2_per_year
    if low is not None and high is not None:
        years = np.linspace(trend.first_season, trend.last_season, 101)
        ends = np.array([[trend.area_m2(year, slope) for year in years] for slope in (low, high)]) / scale
        axes.fill_between(
            years,
            ends.min(axis=0).clip(0),
            ends.max(axis=0).clip(0),
            color=ORANGE,
            alpha=0.2 if significant else 0.1,
            linewidth=0,
            label="95 % interval of the slope",
        )
    ends_of_line = trend_line(trend)
    axes.plot(
        [season for season, _ in ends_of_line],
        [area / scale for _, area in ends_of_line],
        color=ORANGE,
        linewidth=1.6,
        linestyle="-" if significant else "--",
        label="trend (Theil-Sen)",
    )


def _points(axes: Axes, curve: Curve) -> None:
    """A series for each source; points that are not part of the trend are hollow."""
    seasons = [p.season for p in curve.points]
    apart = APART * (max(seasons) - min(seasons) + 2)
    series: dict[tuple[str, str, bool], list[tuple[float, Point]]] = {}
    beside: dict[int, int] = {}
    for point in reversed(curve.seen):
        place = point.season + apart * beside.setdefault(point.season, 0)
        beside[point.season] += 1
        series.setdefault((point.kind, point.source, point.doubt is not None), []).append((place, point))
    named = set()
    for (kind, source, doubtful), placed in sorted(series.items()):
        name = f"{kind}: {one_line(source, 44)}"
        _series(axes, placed, curve.unit[1], label="_" if name in named else name, hollow=doubtful)
        named.add(name)
    for point in curve.seen:
        if point.outcome == "dry":
            axes.annotate(
                "dry",
                (point.season, 0),
                xytext=(0, 8),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color=SURVEYS[point.kind],
            )
    if curve.doubts:
        why = by_reason(curve.doubts)
        label = "\n".join(textwrap.wrap(f"hollow: not part of the trend ({why})", 62))
        axes.plot([], [], "o", markersize=6, color=GREY, markerfacecolor="white", label=label)


def _series(axes: Axes, placed: list[tuple[float, Point]], scale: float, *, label: str, hollow: bool) -> None:
    kind = placed[0][1].kind
    areas = np.array([point.area_m2 for _, point in placed], float)
    ends = np.array([(p.low_m2, p.high_m2) for _, p in placed], float).T
    axes.errorbar(
        [place for place, _ in placed],
        areas / scale,
        yerr=np.nan_to_num(np.abs(ends - areas)) / scale,
        label=label,
        linestyle="none",
        color=SURVEYS[kind],
        marker=MARKERS[kind],
        markersize=6,
        capsize=3.5,
        elinewidth=1.2,
        markerfacecolor="white" if hollow else SURVEYS[kind],
        clip_on=False,
        zorder=3,
    )


def _gaps(axes: Axes, curve: Curve) -> None:
    """Seasons without an observation as grey ticks on the axis, each with its reason."""
    for season, reason in curve.gaps.items():
        axes.axvline(season, ymax=0.06, color=GREY, linewidth=1.4)
        axes.annotate(
            one_line(reason, 34),
            (season, 0.075),
            xycoords=("data", "axes fraction"),
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=8,
            color=GREY,
        )


def _events(axes: Axes, curve: Curve) -> int:
    """Label events above the axes, with a line down to the season; returns the number of lines of text."""
    words: dict[int, list[str]] = {}
    for event in curve.events:
        words.setdefault(event.season, []).append(event.text)
    for season in words:
        axes.axvline(season, color=RED, linewidth=0.9, linestyle=(0, (2, 3)), zorder=1)
    if len(words) > MANY_EVENTS:
        return _events_upright(axes, curve)
    left, right = axes.get_xlim()
    labels = [
        (round((season - left) / (right - left) * LINE), "; ".join(lines)) for season, lines in words.items()
    ]
    level = 0
    while labels:
        line, rest = place(labels, LINE)
        for label in (label for column, label in labels if (column, label) not in rest):
            start = line.index(label) / LINE
            axes.annotate(
                label,
                (start, 1.0),
                xycoords="axes fraction",
                xytext=(0, 3 + 12 * level),
                textcoords="offset points",
                fontsize=8.5,
                color=RED,
            )
        level += 1
        if len(rest) == len(labels):
            break
        labels = rest
    return level


def _events_upright(axes: Axes, curve: Curve) -> int:
    """Label many events: upright words without the codes of the other lakes; returns lines of text."""
    words: dict[int, list[str]] = {}
    for event in curve.events:
        word = event.words.removesuffix(" with")
        if word not in words.setdefault(event.season, []):
            words[event.season].append(word)
    for season, names in words.items():
        axes.annotate(
            ", ".join(names),
            (season, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=8,
            color=RED,
        )
    return round(max(len(", ".join(names)) for names in words.values()) * 4.6 / 12 + 0.5)


def _titles(axes: Axes, curve: Curve, above: int) -> None:
    """Code, identity and the trend in words, above `above` lines of events."""
    words = filter(None, [radar_words(curve), trend_words(curve).replace("km2", "km²")])
    lines = [f"lake {curve.lake_id}", *(line for text in words for line in textwrap.wrap(text, LINE))]
    foot = 6 + 12 * above
    axes.annotate(
        "\n".join(lines),
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, foot),
        textcoords="offset points",
        va="bottom",
        fontsize=9,
        linespacing=1.3,
        color="#404040",
    )
    axes.set_title(curve.code, loc="left", fontsize=14, fontweight="bold", pad=foot + 14 * len(lines) + 2)
