"""The region map: its elements, its colours, and the mark of simulated scenes."""

from __future__ import annotations

from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from monitor.drawing.maps import SIMULATED
from monitor.drawing.palette import VERDICTS
from monitor.lakes.change import Verdict
from monitor.report.region_map import region_figure

EPSG, EAST, NORTH = 32643, 660_000.0, 4_700_000.0
EXTENT = [EAST, EAST + 10_000, NORTH, NORTH + 10_000]


def figure_of(*verdicts: Verdict, simulated: bool = False, sensors: str | None = None) -> Figure:
    """A lake of 300 m for each verdict, the first two with a curve; the first was seen by `sensors`."""
    lakes = [f"lake {n}" for n in range(len(verdicts))]
    codes = [f"GL07700{n}E42500N" for n in range(len(verdicts))]
    corners = [(EAST + 1_000 + 4_500 * (n % 2), NORTH + 1_200 + 2_100 * (n // 2)) for n in range(len(lakes))]
    shapes = [shapely.box(x, y, x + 300, y + 300) for x, y in corners]
    seen_by = [sensors, *["S2L2A+S1+DEM"] * (len(lakes) - 1)]
    outlines = geopandas.GeoDataFrame(
        {"code": codes, "sensors": seen_by}, index=lakes, geometry=shapes, crs=EPSG
    )
    changes = pd.DataFrame({"code": codes, "verdict": [verdict.value for verdict in verdicts]}, index=lakes)
    rows = pd.DataFrame(
        {
            "season": [2021, 2022, 2023],
            "outcome": ["water", "not observed", "dry"],
            "area_m2": [9e4, np.nan, np.nan],
            "area_low_m2": [8e4, np.nan, np.nan],
            "area_high_m2": [1e5, np.nan, np.nan],
        }
    )
    image = np.full((50, 50, 3), 1.0, np.float32)
    curves: dict[Any, pd.DataFrame] = dict.fromkeys(lakes[:2], rows)
    return region_figure("a title", (image, EXTENT, EPSG), outlines, changes, curves, simulated=simulated)


def legend(figure: Figure, axes: int) -> dict[str, Any]:
    found = figure.axes[axes].get_legend()
    assert found is not None
    return {
        text.get_text(): handle for text, handle in zip(found.get_texts(), found.legend_handles, strict=True)
    }


def test_a_map_has_its_elements() -> None:
    figure = figure_of(*Verdict)
    left = figure.axes[0]
    assert {artist.get_gid() for artist in left.artists} >= {"scale bar", "north arrow"}
    assert any(label.get_text().endswith("° E") for label in left.get_xticklabels())
    assert any(label.get_text().endswith("° N") for label in left.get_yticklabels())
    labels = {text.get_text() for text in left.texts}
    assert {"GL077000E42500N", "GL077001E42500N"} <= labels and len(labels) > 4
    assert left.get_xlim() == tuple(EXTENT[:2]) and left.get_ylim() == tuple(EXTENT[2:])


def test_every_verdict_is_in_the_legend_and_drawn_in_its_colour() -> None:
    figure = figure_of(*Verdict)
    entries = {name.rpartition(" (")[0]: handle for name, handle in legend(figure, 0).items()}
    drawn = {to_hex(colour) for item in figure.axes[0].collections for colour in item.get_edgecolor()}
    assert list(entries) == [verdict.value for verdict in VERDICTS]
    for verdict, colour in VERDICTS.items():
        assert to_hex(entries[verdict.value].get_color()) == colour
        assert colour in drawn
    # on the white image of this test an outline must not be white
    assert "#ffffff" not in drawn


def test_a_lake_seen_by_radar_alone_has_a_line_of_its_own() -> None:
    words = "last seen by radar without optics (1)"
    styles = {}
    for sensors in (None, "S2L2A+DEM", "S1+DEM"):
        figure = figure_of(Verdict.GROWN, Verdict.GROWN, sensors=sensors)
        assert (words in legend(figure, 0)) == (sensors == "S1+DEM")
        lines = [
            item for item in figure.axes[0].collections if len(item.get_paths()) and item.get_zorder() == 3
        ]
        styles[sensors] = [item.get_linestyle() for item in lines]
    assert len(styles["S1+DEM"]) == len(styles[None]) + 1 and styles[None] == styles["S2L2A+DEM"]
    hidden = figure_of(Verdict.NOT_OBSERVED, Verdict.SAME, sensors="S1+DEM")
    assert words not in legend(hidden, 0), "not observed in this season: dashed"


def test_curves_have_the_colours_of_the_map_and_start_at_zero() -> None:
    figure = figure_of(Verdict.DRAINED, Verdict.SPLIT)
    right = figure.axes[1]
    entries = legend(figure, 1)
    assert list(entries) == ["GL077000E42500N (drained)", "GL077001E42500N (split off)"]
    colours = [to_hex(container.lines[0].get_color()) for container in right.containers]
    assert colours == [VERDICTS[Verdict.DRAINED], VERDICTS[Verdict.SPLIT]]
    first = right.containers[0].lines[0]
    assert list(first.get_ydata()) == [9.0, 0.0], "hectares, dry is 0, not observed is left out"
    assert right.get_ylim()[0] == 0


@pytest.mark.parametrize("simulated", [True, False])
def test_only_pictures_of_simulated_scenes_say_so(simulated: bool) -> None:
    figure = figure_of(Verdict.SAME, simulated=simulated)
    assert (SIMULATED in [text.get_text() for text in figure.texts]) == simulated
