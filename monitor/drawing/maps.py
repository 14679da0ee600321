"""Elements of a map drawn with matplotlib: graticule, scale bar, north arrow, labels of places.

Axes are in UTM metres, or in degrees of longitude and latitude (EPSG:4326).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from monitor.drawing.text import one_line
from monitor.grid import WGS84

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox
    from numpy.typing import NDArray
    from pyproj import Transformer
    from shapely.geometry.base import BaseGeometry

#: degrees between lines of a graticule
STEPS = tuple(digit * 10.0**power for power in range(-4, 2) for digit in (1, 2, 5))
#: distances of a label from its place, points, nearest first
DISTANCES = (7, 16, 28, 44)
#: directions from a place to its label, degrees from east, the most legible first
DIRECTIONS = (0, 180, 35, -35, 145, -145, 90, -90)
FRAME = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "boxstyle": "round,pad=0.25"}
SIMULATED = "simulated scenes"
#: characters of the label of a place
LABEL = 40


@dataclass(frozen=True)
class Place:
    """A named extent in the axes' coordinates: west, south, east, north."""

    name: str
    bounds: tuple[float, float, float, float]
    colour: str = "black"
    needed: bool = True
    """Draw the label even where it hides something; else leave it out."""


def mark_simulated(figure: Figure) -> None:
    """Write at the figure's upper right corner that the scenes are simulated."""
    figure.text(
        0.995, 0.992, SIMULATED, ha="right", va="top", fontsize=10, fontweight="bold", color="#b03030"
    )  # fmt: skip


def graticule(axes: Axes, epsg: int, lines: int = 5) -> None:
    """Draw meridians and parallels, at most `lines` of each, and label them on the lower and left edge."""
    (left, right), (bottom, top) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    to_degrees, to_map = _transformer(epsg, WGS84), _transformer(WGS84, epsg)
    edge = np.linspace(0, 1, 21)
    xs = np.concatenate([left + (right - left) * edge] * 2 + [np.full(21, left), np.full(21, right)])
    ys = np.concatenate([np.full(21, bottom), np.full(21, top)] + [bottom + (top - bottom) * edge] * 2)
    longitudes, latitudes = (np.asarray(values) for values in to_degrees.transform(xs, ys))
    # beyond the edges, so that a slanted line still reaches them
    west, east = _widened(longitudes)
    south, north = _widened(latitudes)
    ticks: dict[str, tuple[list[float], list[str]]] = {"x": ([], []), "y": ([], [])}
    style: dict[str, Any] = {"color": "white", "linewidth": 0.6, "alpha": 0.55, "zorder": 1.5}
    for longitude, name in _degrees(float(longitudes.min()), float(longitudes.max()), lines, "EW"):
        line = to_map.transform(np.full(64, longitude), np.linspace(south, north, 64))
        axes.plot(*line, **style)
        _add_tick(ticks["x"], float(np.interp(bottom, line[1], line[0])), (left, right), name)
    for latitude, name in _degrees(float(latitudes.min()), float(latitudes.max()), lines, "NS"):
        line = to_map.transform(np.linspace(west, east, 64), np.full(64, latitude))
        axes.plot(*line, **style)
        _add_tick(ticks["y"], float(np.interp(left, line[0], line[1])), (bottom, top), name)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set(xlabel="", ylabel="")
    axes.set_xticks(ticks["x"][0], labels=ticks["x"][1], fontsize=8)
    axes.set_yticks(ticks["y"][0], labels=ticks["y"][1], fontsize=8, rotation=90, va="center")


def scale_bar(axes: Axes, epsg: int, corner: str = "lower left") -> None:
    """Draw a bar of a round length, at most a fifth of the axes' width."""
    from matplotlib.font_manager import FontProperties
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

    left, right = axes.get_xlim()
    metres = _metres_per_unit(axes, epsg)
    most = abs(right - left) * metres / 5
    power = 10.0 ** math.floor(math.log10(most))
    length = max(digit * power for digit in (1, 2, 5) if digit * power <= most)
    name = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    bar = AnchoredSizeBar(
        axes.transData,
        length / metres,
        name,
        corner,
        pad=0.35,
        borderpad=0.5,
        sep=3,
        frameon=True,
        size_vertical=abs(right - left) / 180,
        color="black",
        fontproperties=FontProperties(size=8),
    )
    bar.patch.set(alpha=FRAME["alpha"], edgecolor="none")
    bar.set_gid("scale bar")
    bar.set_zorder(6)
    axes.add_artist(bar)


def north_arrow(axes: Axes, epsg: int, corner: str = "upper right") -> None:
    """Draw an arrow to true north at the middle of the axes."""
    from matplotlib.offsetbox import AnchoredOffsetbox, DrawingArea
    from matplotlib.patches import Polygon
    from matplotlib.text import Text

    angle = north_angle(axes, epsg)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    size = np.array([11.0, 17.0])  # points
    area = DrawingArea(*(2 * size))
    shape = np.array([(0, 8), (6, -13), (0, -8.5), (-6, -13)])
    area.add_artist(Polygon(shape @ turn + size, closed=True, facecolor="black", edgecolor="none"))
    x, y = np.array([0, 12]) @ turn + size
    area.add_artist(Text(x, y, "N", ha="center", va="center", fontsize=9, fontweight="bold"))
    box = AnchoredOffsetbox(corner, child=area, pad=0.2, borderpad=0.5, frameon=True)
    box.patch.set(alpha=FRAME["alpha"], edgecolor="none")
    box.set_gid("north arrow")
    box.set_zorder(6)
    axes.add_artist(box)


def north_angle(axes: Axes, epsg: int) -> float:
    """Angle from the axes' upward direction to true north at their middle, radians clockwise."""
    x, y = sum(axes.get_xlim()) / 2, sum(axes.get_ylim()) / 2
    longitude, latitude = _transformer(epsg, WGS84).transform(x, y)
    there = _transformer(WGS84, epsg).transform(longitude, latitude + 1e-3)
    return math.atan2(there[0] - x, there[1] - y)


def draw_outlines(
    axes: Axes, shapes: Iterable[BaseGeometry], colour: str, width: float = 1.8, dashes: Any = "-"
) -> None:
    """Draw outlines of polygons, in the axes' coordinates, on a white line that sets them off dark ground."""
    import shapely
    from matplotlib.collections import LineCollection
    from matplotlib.patheffects import Normal, Stroke

    rings = [
        shapely.get_coordinates(ring)
        for shape in shapes
        for part in shapely.get_parts(shape)
        for ring in shapely.get_rings(part)
    ]
    casing = [Stroke(linewidth=2 * width, foreground="white"), Normal()]
    axes.add_collection(
        LineCollection(
            rings, colors=colour, linewidths=width, linestyles=dashes, path_effects=casing, zorder=3
        ),
        autolim=False,
    )


def label_places(axes: Axes, places: Sequence[Place], kept_free: Sequence[Place] = ()) -> list[Annotation]:
    """Write the places' names beside them, without overlap where there is room; returns what was written.

    Call it when everything else is drawn: positions depend on the final layout.

    Args:
        kept_free: extents that labels do not cover unless they have to.
    """
    figure: Any = axes.get_figure()
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    frame = axes.get_window_extent(renderer)
    furniture = [
        artist.get_window_extent(renderer)
        for artist in axes.artists
        if artist.get_gid() in ("scale bar", "north arrow")
    ]
    others = [_extent(axes, place).padded(2) for place in (*places, *kept_free)]
    written: list[Annotation] = []
    taken = list(furniture)
    for place in places:
        best: tuple[float, Annotation] | None = None
        for label in _candidates(axes, place):
            box = _text_box(label, renderer)
            inside = frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1)
            cost = sum(map(box.overlaps, others)) + 100 * sum(map(box.overlaps, taken)) + 1000 * (not inside)
            if best is None or cost < best[0]:
                if best is not None:
                    best[1].remove()
                best = cost, label
            else:
                label.remove()
            if cost == 0:
                break
        if best is None:
            continue
        if best[0] > 0 and not place.needed:
            best[1].remove()
            continue
        taken.append(_text_box(best[1], renderer))
        written.append(best[1])
    return written


def _candidates(axes: Axes, place: Place) -> Iterator[Annotation]:
    """The label at every position that may be tried."""
    west, south, east, north = place.bounds
    for distance in DISTANCES:
        for direction in DIRECTIONS:
            right, up = math.cos(math.radians(direction)), math.sin(math.radians(direction))
            start = (west + east + right * (east - west)) / 2, (south + north + up * (north - south)) / 2
            yield axes.annotate(
                one_line(place.name, LABEL),
                start,
                xytext=(distance * right, distance * up),
                textcoords="offset points",
                ha="left" if right > 0.1 else "right" if right < -0.1 else "center",
                va="bottom" if up > 0.9 else "top" if up < -0.9 else "center",
                fontsize=7.5,
                color="black",
                bbox={**FRAME, "edgecolor": place.colour, "linewidth": 1.0, "alpha": 0.9},
                arrowprops={"arrowstyle": "-", "color": place.colour, "shrinkA": 0, "shrinkB": 0},
                annotation_clip=True,
                zorder=5,
            )  # fmt: skip


def _text_box(label: Annotation, renderer: Any) -> Bbox:
    """Extent of the label's text with its frame, without the line that leads to it; pixels of the figure."""
    from matplotlib.text import Text

    label.update_positions(renderer)
    return Text.get_window_extent(label, renderer).padded(4)


def _extent(axes: Axes, place: Place) -> Bbox:
    """The place's extent in pixels of the figure."""
    from matplotlib.transforms import Bbox

    corners = np.reshape(place.bounds, (2, 2))
    return Bbox(axes.transData.transform(corners))


def _degrees(low: float, high: float, most: int, sides: str) -> Iterator[tuple[float, str]]:
    """Round degrees from `low` to `high` with their labels; `sides` are the letters of the signs."""
    step = next((step for step in STEPS if (high - low) / step <= most), STEPS[-1])
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        value = number * step
        yield value, f"{abs(value):.{decimals}f}° {sides[value < 0]}"


def _add_tick(ticks: tuple[list[float], list[str]], at: float, span: tuple[float, float], name: str) -> None:
    if span[0] <= at <= span[1]:
        ticks[0].append(at)
        ticks[1].append(name)


def _widened(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return low - (high - low) / 10, high + (high - low) / 10


def _metres_per_unit(axes: Axes, epsg: int) -> float:
    """Length on the ground of one unit of the x axis, at the middle of the axes."""
    if epsg != WGS84:
        return 1.0
    from pyproj import Geod

    x, y = sum(axes.get_xlim()) / 2, sum(axes.get_ylim()) / 2
    return float(Geod(ellps="WGS84").inv(x - 0.005, y, x + 0.005, y)[2]) / 0.01


def _transformer(source: int, target: int) -> Transformer:
    from pyproj import Transformer

    return Transformer.from_crs(source, target, always_xy=True)
