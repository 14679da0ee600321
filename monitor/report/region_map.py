"""A region's seasons as one picture: outlines by what happened to each lake, and areas with error bars."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monitor.archive.freeze import recall
from monitor.archive.profiles import CatalogProfile
from monitor.archive.scenes import SceneList
from monitor.grid import WGS84, reproject, zone_at
from monitor.history.changes import changes_between
from monitor.lakes.change import Verdict
from monitor.settings import Region
from monitor.workspace import Workspace, open_system

if TYPE_CHECKING:
    import geopandas
    import pandas as pd
    from numpy.typing import NDArray

COLOURS = {
    Verdict.GROWN: "#1f78ff",
    Verdict.SHRUNK: "#ff9f1c",
    Verdict.NEW: "#00e5ff",
    Verdict.DRAINED: "#ff2d55",
    Verdict.SPLIT: "#b388ff",
    Verdict.MERGED: "#b388ff",
    Verdict.SAME: "#ffffff",
    Verdict.NOT_OBSERVED: "#9e9e9e",
}
#: metres a pixel of the background
COARSE = 20
CURVES = 6


def draw_region(workspace: Workspace, name: str, years: list[int], path: Path) -> None:
    """Write a PNG of region `name`: the last season in colours with its lakes, and the largest changes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    from storage import ledger
    from storage.codes import TRUSTED, SurveyKind
    from storage.history import history, last_outlines

    region = workspace.region(name)
    with open_system(workspace) as system:
        with system.database.connect() as conn:
            kind = system.workspace.survey_kind
            scenes = recall(system.workspace.profile, *ledger.frozen(conn, name, years[-1], kind))
            changes = changes_between(conn, name, years[0], years[-1])
            heard = (kind,) if kind == SurveyKind.INDEX else TRUSTED
            outlines = last_outlines(conn, name, heard)
            order = changes.change_m2.abs().sort_values(ascending=False).index[:CURVES]
            curves = {str(changes.code[lake]): history(conn, lake, heard) for lake in order}
        background, extent, epsg = _background(scenes, system.workspace.profile, region)
    outlines = outlines.set_index("lake_id").to_crs(epsg)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(15, 8.6), width_ratios=[1.35, 1], layout="constrained"
    )
    left.imshow(background, extent=extent)
    _outlines(left, outlines, changes)
    left.set_title(f"{name}: lakes {years[0]} to {years[-1]} on the season {years[-1]}")
    left.set(xticks=[], yticks=[], xlabel="", ylabel="")
    _curves(right, curves)
    figure.suptitle("simulated scenes" if _simulated(scenes.optical) else "", fontsize=9, x=0.99, ha="right")
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _background(
    scenes: SceneList, profile: CatalogProfile, region: Region
) -> tuple[NDArray[np.float32], list[float], str]:
    """Colours of the dates that most cells use first, coarse, with their extent in UTM."""
    from odc.geo.geobox import GeoBox

    from monitor.archive.load import load_optical

    west, south, east, north = region.outline.bounds
    epsg = f"EPSG:{zone_at((west + east) / 2, (south + north) / 2)}"
    outline = reproject(region.outline, WGS84, int(epsg.rpartition(":")[2]))
    geobox = GeoBox.from_bbox(outline.bounds, crs=epsg, resolution=COARSE)
    colours = np.full((*geobox.shape, 3), np.nan, np.float32)
    used = Counter(choice.optical[0] for choice in scenes.choices if choice.optical)
    by_id = {scene.id: scene for scene in scenes.optical}
    for scene in (by_id[scene_id] for scene_id, _ in used.most_common()):
        bands = load_optical(scene, profile, geobox, ("B04", "B03", "B02"))
        np.copyto(colours, np.moveaxis(bands.to_array().to_numpy(), 0, -1), where=np.isnan(colours))
    box = geobox.boundingbox
    shown = np.clip(np.nan_to_num(colours, nan=3000) / 3000, 0, 1) ** 0.8
    return shown.astype(np.float32), [box.left, box.right, box.bottom, box.top], epsg


def _outlines(axis: Any, outlines: geopandas.GeoDataFrame, changes: pd.DataFrame) -> None:
    from matplotlib.lines import Line2D

    verdicts = changes.verdict.reindex(outlines.index).fillna(Verdict.NOT_OBSERVED)
    extent = axis.axis()
    handles = []
    for verdict, colour in COLOURS.items():
        some = outlines[verdicts == verdict]
        if some.empty:
            continue
        some.boundary.plot(ax=axis, color=colour, linewidth=1.8)
        handles.append(Line2D([], [], color=colour, linewidth=3, label=f"{verdict} ({len(some)})"))
    axis.axis(extent)
    axis.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.01),
        ncols=4,
        facecolor="#606060",
        labelcolor="white",
        fontsize=9,
    )


def _curves(axis: Any, curves: dict[str, pd.DataFrame]) -> None:
    for code, rows in curves.items():
        seen = rows[rows.outcome.isin(["water", "dry"])]
        area = seen.area_m2.astype(float).fillna(0) / 1e4
        low, high = ((seen[f"area_{end}_m2"].astype(float) / 1e4).fillna(area) for end in ("low", "high"))
        axis.errorbar(seen.season, area, yerr=[area - low, high - area], marker="o", capsize=3, label=code)
    axis.set_title("largest changes, hectares with 95 % interval")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


def _simulated(scenes: Any) -> bool:
    return any(scene.item["properties"].get("simulated") for scene in scenes)
