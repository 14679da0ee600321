"""A region's seasons as a picture: lakes coloured by their change, and the areas of the largest changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monitor.archive.freeze import recall
from monitor.archive.profiles import CatalogProfile
from monitor.archive.scenes import SceneList
from monitor.drawing.maps import (
    Place,
    draw_outlines,
    graticule,
    label_places,
    mark_simulated,
    north_arrow,
    scale_bar,
)
from monitor.drawing.palette import GREY, VERDICTS
from monitor.drawing.pictures import plain_text, save_picture
from monitor.drawing.text import one_line
from monitor.grid import WGS84, continuous, reproject, zone_at
from monitor.history.changes import changes_between
from monitor.lakes.change import Verdict
from monitor.settings import Region
from monitor.workspace import Workspace, open_system
from storage.policy import OPTICAL

if TYPE_CHECKING:
    import geopandas
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

#: metres per pixel of the background
COARSE = 20
#: lakes whose areas are drawn, those with the largest changes
CURVES = 6
#: other lakes with a label, the largest ones that have room for it
LABELS = 8
#: dashes of the outlines of lakes that were not observed, in widths of the line
DASHES = (0, (1.2, 0.8))
#: of lakes that were last seen by radar without optics
DOTS = (0, (3.0, 0.8, 0.8, 0.8))
#: of the curves; two lakes with the same verdict have the same colour
MARKERS = "osD^vP"


def draw_region(workspace: Workspace, name: str, years: list[int], path: Path) -> None:
    """Write a PNG of region `name`: a map of the last season with its lakes, and the largest changes.

    Args:
        years: the seasons compared; the map shows the changes from the first to the last.
    """
    from storage import ledger
    from storage.codes import TRUSTED, SurveyKind
    from storage.history import history, last_outlines

    region = workspace.region(name)
    with open_system(workspace) as system:
        with system.database.connect() as conn:
            kind = system.workspace.survey_kind
            scenes = recall(system.workspace.profile, *ledger.frozen(conn, name, years[-1], kind))
            changes = changes_between(conn, name, years[0], years[-1])
            kinds = (kind,) if kind == SurveyKind.INDEX else TRUSTED
            outlines = last_outlines(conn, name, kinds)
            order = changes.change_m2.abs().sort_values(ascending=False).index[:CURVES]
            curves = {lake: history(conn, lake, kinds) for lake in order}
        background, extent, epsg = _background(scenes, system.workspace.profile, region)
    outlines = outlines.set_index("lake_id").to_crs(epsg)
    title = f"{name}: glacial lakes, change {years[0]} to {years[-1]}, over scenes of {years[-1]}"
    simulated = any(scene.simulated for scene in scenes.scenes)
    figure = region_figure(title, (background, extent, epsg), outlines, changes, curves, simulated=simulated)
    save_picture(figure, path, dpi=100)


@plain_text()
def region_figure(
    title: str,
    background: tuple[NDArray[np.float32], list[float], int],
    outlines: geopandas.GeoDataFrame,
    changes: pd.DataFrame,
    curves: dict[Any, pd.DataFrame],
    *,
    simulated: bool,
) -> Figure:
    """The map on the left, area curves on the right.

    Args:
        background: colours (rows, columns, 3) from 0 to 1, extent (left, right, bottom, top) and EPSG code.
        outlines: last outline of each lake in that CRS with `code` and `sensors`, indexed by lake_id.
        changes: as from `monitor.lakes.change.compare`, with each lake's code.
        curves: lake_id to the rows of `storage.history.history`.
        simulated: mark the figure as one of simulated scenes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    image, extent, epsg = background
    figure = Figure(figsize=(15, 9.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
    left.imshow(image, extent=extent)
    graticule(left, epsg)
    _outlines(left, outlines, changes)
    scale_bar(left, epsg)
    north_arrow(left, epsg)
    left.set_title(one_line(title, 120), fontsize=11)
    _curves(right, curves, changes)
    figure.suptitle(" ", fontsize=9)  # keeps the line of the mark free
    if simulated:
        mark_simulated(figure)
    label_places(left, _labels(outlines, changes, curves), _places(outlines, changes, outlines.index))
    return figure


def _background(
    scenes: SceneList, profile: CatalogProfile, region: Region
) -> tuple[NDArray[np.float32], list[float], int]:
    """True colours of the dates that most cells use first, with their extent and the zone's EPSG code."""
    from odc.geo.geobox import GeoBox

    from monitor.archive.load import load_optical

    west, south, east, north = continuous(region.outline).bounds
    epsg = zone_at((west + east) / 2, (south + north) / 2)
    outline = reproject(region.outline, WGS84, epsg)
    geobox = GeoBox.from_bbox(outline.bounds, crs=f"EPSG:{epsg}", resolution=COARSE)
    colours = np.full((*geobox.shape, 3), np.nan, np.float32)
    used = Counter(choice.optical[0] for choice in scenes.choices if choice.optical)
    by_id = {scene.id: scene for scene in scenes.optical}
    for scene in (by_id[scene_id] for scene_id, _ in used.most_common()):
        bands = load_optical(scene, profile, geobox, ("B04", "B03", "B02"))
        np.copyto(colours, np.moveaxis(bands.to_array().to_numpy(), 0, -1), where=np.isnan(colours))
    box = geobox.boundingbox
    shown = np.clip(np.nan_to_num(colours, nan=3000) / 3000, 0, 1) ** 0.8
    return shown.astype(np.float32), [box.left, box.right, box.bottom, box.top], epsg


def _verdicts(outlines: geopandas.GeoDataFrame, changes: pd.DataFrame) -> pd.Series:
    """Verdict of each outline's lake; a lake that neither season has is not observed."""
    return changes.verdict.reindex(outlines.index).fillna(Verdict.NOT_OBSERVED)


def _outlines(axes: Axes, outlines: geopandas.GeoDataFrame, changes: pd.DataFrame) -> None:
    """Outlines in the colour of their verdict, and the legend."""
    from matplotlib.lines import Line2D

    verdicts = _verdicts(outlines, changes)
    unseen = verdicts == Verdict.NOT_OBSERVED
    by_radar = outlines.sensors.notna() & ~outlines.sensors.astype(str).str.startswith(OPTICAL) & ~unseen
    handles = []
    for verdict, colour in VERDICTS.items():
        some = outlines[verdicts == verdict]
        if some.empty:
            continue
        dashes: Any = DASHES if verdict == Verdict.NOT_OBSERVED else "-"
        here = by_radar[some.index]
        draw_outlines(axes, some.geometry[~here], colour, dashes=dashes)
        if here.any():
            draw_outlines(axes, some.geometry[here], colour, dashes=DOTS)
        name = f"{verdict} ({len(some)})"
        handles.append(Line2D([], [], color=colour, linewidth=3, linestyle=dashes, label=name))
    if by_radar.any():
        name = f"last seen by radar without optics ({by_radar.sum()})"
        handles.append(Line2D([], [], color=GREY, linewidth=2, linestyle=DOTS, label=name))
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.035),
        ncols=4,
        frameon=False,
        fontsize=9,
        title=f"last outline of each lake by its change; {len(outlines)} lakes",
        title_fontsize=9,
    )


def _labels(outlines: geopandas.GeoDataFrame, changes: pd.DataFrame, curves: Iterable[Any]) -> list[Place]:
    """Labels of the lakes with a curve, then of the largest others that leave room."""
    drawn = [lake for lake in curves if lake in outlines.index]
    rest = outlines.index.difference(drawn)
    largest = outlines.loc[rest].area.sort_values(ascending=False).index[:LABELS]
    return [
        *_places(outlines, changes, drawn, needed=True),
        *_places(outlines, changes, largest),
    ]


def _places(
    outlines: geopandas.GeoDataFrame, changes: pd.DataFrame, lakes: Iterable[Any], *, needed: bool = False
) -> list[Place]:
    verdicts = _verdicts(outlines, changes)
    codes, shapes = outlines.code, outlines.geometry
    return [Place(codes[lake], shapes[lake].bounds, VERDICTS[verdicts[lake]], needed) for lake in lakes]


def _curves(axes: Axes, curves: dict[Any, pd.DataFrame], changes: pd.DataFrame) -> None:
    """Areas by season with their 95 % intervals; colour by verdict as on the map, a marker for each lake."""
    from matplotlib.ticker import MaxNLocator

    seasons = sorted({int(season) for rows in curves.values() for season in rows.season})
    # lakes side by side within a season, so that no interval hides another
    apart = 0.012 * max(seasons[-1] - seasons[0], 1) if seasons else 0.0
    for number, (lake, rows) in enumerate(curves.items()):
        seen = rows[rows.outcome.isin(["water", "dry"])]
        area = seen.area_m2.astype(float).fillna(0) / 1e4
        low, high = ((seen[f"area_{end}_m2"].astype(float) / 1e4).fillna(area) for end in ("low", "high"))
        verdict = Verdict(changes.verdict[lake])
        axes.errorbar(
            seen.season + apart * (number - (len(curves) - 1) / 2),
            area,
            yerr=[area - low, high - area],
            color=VERDICTS[verdict],
            marker=MARKERS[number % len(MARKERS)],
            markersize=7,
            markeredgecolor="white",
            linewidth=1.4,
            capsize=3,
            clip_on=False,
            label=f"{changes.code[lake]} ({verdict})",
        )
    axes.set_title(f"the {len(curves)} largest changes: area with its 95 % interval", fontsize=11)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.set(xlabel="season (late summer)", ylabel="area, ha")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.075), ncols=2, frameon=False, fontsize=9)
