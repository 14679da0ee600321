"""Elements of a map: coordinates, scale bar, arrow to true north, labels that do not cover one another."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from pyproj import Geod, Transformer

from monitor.drawing.maps import (
    SIMULATED,
    Place,
    graticule,
    label_places,
    mark_simulated,
    north_angle,
    north_arrow,
    scale_bar,
)
from monitor.grid import WGS84

#: two degrees east of the middle of its zone, 42.5 N
ZONE, EAST, NORTH = 32643, 664_000.0, 4_707_000.0


def axes_of(epsg: int, side_m: float = 20_000) -> Axes:
    """A square of that size on the ground, in UTM or in degrees."""
    figure = Figure(figsize=(6, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    corners = np.array([(EAST, NORTH), (EAST + side_m, NORTH + side_m)])
    if epsg == WGS84:
        corners = np.column_stack(degrees(ZONE).transform(*corners.T))
    axes.set(xlim=corners[:, 0], ylim=corners[:, 1])
    return axes


def degrees(epsg: int) -> Transformer:
    return Transformer.from_crs(epsg, WGS84, always_xy=True)


def number(label: str) -> float:
    return float(label.partition("°")[0]) * (-1 if label[-1] in "WS" else 1)


@pytest.mark.parametrize("epsg", [ZONE, WGS84])
@pytest.mark.parametrize("side", [2_500, 20_000, 150_000])
def test_labels_of_the_graticule_are_the_coordinates_of_their_ticks(epsg: int, side: int) -> None:
    axes = axes_of(epsg, side)
    limits = axes.axis()
    graticule(axes, epsg)
    assert axes.axis() == limits
    bottom, left = axes.get_ylim()[0], axes.get_xlim()[0]
    meridians = list(zip(axes.get_xticks(), axes.get_xticklabels(), strict=True))
    parallels = list(zip(axes.get_yticks(), axes.get_yticklabels(), strict=True))
    assert 1 <= len(meridians) <= 6 and 1 <= len(parallels) <= 6
    for x, label in meridians:
        assert label.get_text().endswith("° E")
        longitude, _ = degrees(epsg).transform(x, bottom)
        assert longitude == pytest.approx(number(label.get_text()), abs=2e-5)
    for y, label in parallels:
        assert label.get_text().endswith("° N")
        _, latitude = degrees(epsg).transform(left, y)
        assert latitude == pytest.approx(number(label.get_text()), abs=2e-5)


def test_west_and_south_have_their_letters() -> None:
    axes = axes_of(WGS84)
    axes.set(xlim=(-71.3, -70.9), ylim=(-33.2, -32.8))
    graticule(axes, WGS84)
    texts = [label.get_text() for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    assert "71.0° W" in texts and "33.0° S" in texts


def element(axes: Axes, gid: str) -> Any:
    (found,) = [artist for artist in axes.artists if artist.get_gid() == gid]
    return found


@pytest.mark.parametrize("epsg", [ZONE, WGS84])
@pytest.mark.parametrize(("side", "name"), [(2_560, "500 m"), (20_000, "2 km"), (150_000, "20 km")])
def test_scale_bar_is_as_long_on_the_ground_as_it_says(epsg: int, side: int, name: str) -> None:
    axes = axes_of(epsg, side)
    scale_bar(axes, epsg)
    bar = element(axes, "scale bar")
    assert bar.txt_label.get_text() == name
    value, unit = name.split()
    metres = float(value) * (1000 if unit == "km" else 1)
    length = bar.size_bar.get_children()[0].get_width()
    middle = sum(axes.get_ylim()) / 2
    if epsg == WGS84:
        x = axes.get_xlim()[0]
        length = Geod(ellps="WGS84").inv(x, middle, x + length, middle)[2]
    assert length == pytest.approx(metres, rel=1e-3)


def test_the_arrow_points_to_true_north() -> None:
    """East of the middle of its zone true north is left of the grid's, by about dlon x sin(lat)."""
    axes = axes_of(ZONE)
    longitude, latitude = degrees(ZONE).transform(EAST + 10_000, NORTH + 10_000)
    expected = -math.radians(longitude - 75) * math.sin(math.radians(latitude))
    assert north_angle(axes, ZONE) == pytest.approx(expected, rel=0.01) and expected < -0.02
    assert north_angle(axes_of(WGS84), WGS84) == 0
    north_arrow(axes, ZONE)
    box = element(axes, "north arrow")
    assert [text.get_text() for text in box.findobj(Text)] == ["N"]
    (arrow,) = [artist for artist in box.get_child().get_children() if not isinstance(artist, Text)]
    tip, _, base, _ = arrow.get_xy()[:4]
    x, y = tip - base
    assert math.atan2(x, y) == pytest.approx(expected, rel=0.01)


def boxes(axes: Axes, labels: list[Any]) -> list[Any]:
    axes.figure.draw_without_rendering()
    return [label.get_bbox_patch().get_window_extent() for label in labels]


def test_labels_cover_neither_one_another_nor_the_scale_bar() -> None:
    """25 lakes in rows, some at the edge of the map."""
    axes = axes_of(ZONE)
    scale_bar(axes, ZONE)
    corners = [(EAST + 4_900 * col, NORTH + 3_900 * row) for row in range(5) for col in range(5)]
    places = [
        Place(f"GL07700{n:02d}", (x, y, x + 300, y + 300), needed=False) for n, (x, y) in enumerate(corners)
    ]
    written = label_places(axes, places)
    assert len(written) >= 15
    drawn = boxes(axes, written)
    for one, other in combinations(drawn, 2):
        assert not one.overlaps(other)
    bar = element(axes, "scale bar").get_window_extent()
    frame = axes.get_window_extent()
    for box in drawn:
        assert not box.overlaps(bar)
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1


def test_a_label_without_room_is_left_out_unless_it_is_needed() -> None:
    axes = axes_of(ZONE)
    everywhere = (EAST, NORTH, EAST + 20_000, NORTH + 20_000)
    assert label_places(axes, [Place("GL1", everywhere, needed=False)]) == []
    assert [label.get_text() for label in label_places(axes, [Place("GL1", everywhere)])] == ["GL1"]
    assert len(axes.texts) == 1, "positions that were tried are removed"


def test_the_mark_of_simulated_scenes() -> None:
    figure = axes_of(ZONE).figure
    assert isinstance(figure, Figure)
    mark_simulated(figure)
    assert [text.get_text() for text in figure.texts] == [SIMULATED] and "simulated" in SIMULATED
