"""Truth of an archive: lakes of every season, events between seasons, glaciers and the region."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.features import shapes
from shapely.geometry import mapping, shape

from simulator.archive import Plan
from simulator.coverage import cover
from simulator.lakes import Lake
from simulator.light import horizon_excess
from simulator.plan import BORDER_GRID, ZONE
from simulator.settings import NORTH_M, PAD, Settings
from simulator.world import World


def write_truth(world: World, plan: Plan, out: Path) -> dict[str, int]:
    """Write truth/, glaciers.parquet and region.geojson; return the number of rows of each kind."""
    folder = out / "truth"
    folder.mkdir(parents=True, exist_ok=True)
    glaciers = glacier_outlines(world)
    lakes = lake_table(world, plan, glaciers)
    events = pd.DataFrame(
        [
            (e.kind, e.from_season, e.to_season, ",".join(e.parents), ",".join(e.children))
            for e in world.events
        ],
        columns=["kind", "from_season", "to_season", "parents", "children"],
    ).astype({"kind": str, "from_season": int, "to_season": int, "parents": str, "children": str})
    lakes.to_parquet(folder / "lakes.parquet")
    events.to_parquet(folder / "events.parquet")
    glaciers.to_crs(4326).to_parquet(out / "glaciers.parquet")
    _write_region(world.settings, out / "region.geojson")
    (folder / "README.md").write_text(_readme(world, lakes, events))
    return {
        "lakes": lakes["lake"].nunique(),
        "rows": len(lakes),
        "events": len(events),
        "glaciers": len(glaciers),
    }


def lake_table(world: World, plan: Plan, glaciers: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """One row per lake and season, in the UTM zone of the ground."""
    ice = glaciers.union_all()
    shaded = _shaded(world, plan)
    zones = {lake.name: _zone(lake, ice) for lake in world.lakes}
    tags = {lake.name: ",".join(_cases(world, shaded, lake)) for lake in world.lakes}
    rows = []
    for k, season in enumerate(world.settings.seasons):
        clear = plan.clear(season)
        for lake in world.lakes:
            outline, state = lake.outlines[k], lake.states[k]
            ice = lake.ice[k] if lake.ice else None
            seen = 0.0
            if outline is not None and state == "water":
                open_water = outline if ice is None else outline.difference(ice)
                seen = _share(open_water, clear, world.settings) * open_water.area / outline.area
            area = outline.area if outline is not None else 0.0
            named = (lake.name, season, state, tags[lake.name], zones[lake.name], lake.kind)
            rows.append((*named, area, seen, outline, ice))
    columns = ["lake", "season", "state", "cases", "zone", "kind", "area_m2", "seen_share", "geometry", "ice"]
    table = gpd.GeoDataFrame(
        pd.DataFrame(rows, columns=columns), geometry="geometry", crs=world.settings.epsg
    )
    return table.assign(ice=gpd.GeoSeries(table["ice"], crs=world.settings.epsg))


def _zone(lake: Lake, ice: object) -> str:
    """Zone of a lake: "glacier" if it is within `ZONE` of a glacier in every season, else "valley"."""
    there = [o for o in lake.outlines if o is not None]
    return "glacier" if max(o.distance(ice) for o in there) <= ZONE else "valley"


def _share(outline: object, mask: NDArray[np.bool_], settings: Settings) -> float:
    patch = cover(outline, settings)
    if patch is None:
        return 0.0
    return float((patch.share * mask[patch.rows, patch.cols]).sum() / max(patch.share.sum(), 1e-9))


def _cases(world: World, shaded: NDArray[np.bool_], lake: Lake) -> list[str]:
    """Cases of the lake: the planned ones, except that border and shadow are measured."""
    cases = [c for c in lake.cases if c not in ("border", "shadow")]
    for outline in lake.outlines:
        if outline is None:
            continue
        west, south, east, north = outline.bounds
        columns = west // BORDER_GRID, east // BORDER_GRID
        rows = (NORTH_M - south) // BORDER_GRID, (NORTH_M - north) // BORDER_GRID
        if columns[0] != columns[1] or rows[0] != rows[1]:
            cases.append("border")
            break
    whole = next(o for o in lake.outlines if o is not None)
    if lake.kind == "lake" and _share(whole, shaded, world.settings) > 0.3:
        cases.append("shadow")
    return cases


def _shaded(world: World, plan: Plan) -> NDArray[np.bool_]:
    """Mask of terrain shadow on the date with the lowest sun."""
    azimuth, elevation = min((p.sun for p in plan.optical), key=lambda sun: sun[1])
    inner = slice(PAD, PAD + world.settings.size)
    return (horizon_excess(world.height, azimuth, elevation) > 0)[inner, inner]


def glacier_outlines(world: World) -> gpd.GeoDataFrame:
    """Glaciers as smooth polygons, with some columns of the Randolph Glacier Inventory."""
    settings = world.settings
    mask = world.terrain.glacier.astype(np.uint8)
    move = settings.transform @ settings.transform.translation(-PAD, -PAD)
    found = [shape(g) for g, value in shapes(mask, mask=mask > 0, transform=move) if value]
    smooth = [g.buffer(15).buffer(-15).simplify(6) for g in found if g.area > 2e4]
    lon, lat = Transformer.from_crs(settings.epsg, 4326, always_xy=True).transform(
        [g.centroid.x for g in smooth], [g.centroid.y for g in smooth]
    )
    ids = [f"SIM-{settings.seed:05d}-{i + 1:05d}" for i in range(len(smooth))]
    return gpd.GeoDataFrame(
        {"rgi_id": ids, "cenlon": np.round(lon, 6), "cenlat": np.round(lat, 6),
         "area_km2": [round(g.area / 1e6, 6) for g in smooth]},
        geometry=smooth, crs=settings.epsg,
    )  # fmt: skip


def _write_region(settings: Settings, path: Path) -> None:
    """Write the square, 30 m smaller on each side, so that its tiles are exactly those of the ground."""
    inside = settings.square.buffer(-30, join_style="mitre").segmentize(500)
    to_degrees = Transformer.from_crs(settings.epsg, 4326, always_xy=True)
    feature = {
        "type": "Feature",
        "properties": {"name": "demo"},
        "geometry": mapping(shapely.transform(inside, to_degrees.transform, interleaved=False)),
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))


def _readme(world: World, lakes: gpd.GeoDataFrame, events: pd.DataFrame) -> str:
    s = world.settings
    kinds = ", ".join(f"{k} {n}" for k, n in sorted(events["kind"].value_counts().items())) or "none"
    cases = sorted({c for row in lakes["cases"] for c in row.split(",")})
    relief = f"from {s.dem.name}" if s.dem else "simulated"
    return f"""# Truth of a simulated mountain range

No data here are measured: relief, lakes, images and clouds are generated from random numbers.

seed {s.seed}, {s.size} x {s.size} px of 10 m, seasons {s.seasons[0]}-{s.seasons[-1]}, EPSG:{s.epsg},
upper-left corner {s.origin[0]:.0f} E {s.origin[1]:.0f} N, relief {relief}.

- `lakes.parquet`: one row per lake and season. `state`: water, frozen (ice on all dates), drained (dry bed)
or
  absent (before the lake forms, or while it is part of another lake). `seen_share`: share of its area that is
  free of ice, and free of cloud on at least one date; 0 when frozen. `ice`: the part of a water surface that
  is under ice on all dates (a half-frozen lake), which belongs to `geometry` and `area_m2`.
  `zone`: glacier (within 3 km of a glacier) or valley.
  Outlines are finer than pixels.
- `events.parquet`: drained, new, split and merged, with the lakes before (parents) and after (children).
  A lake that splits or results from a merger and its parts have different names (L012, L012a, L012b).

{lakes["lake"].nunique()} lakes; events: {kinds}; cases: {", ".join(cases)}.

Simulated relief of at least 512 px with at least two seasons has at least one lake that drains, one new lake,
one split, one merger, and one lake under cloud on all dates of a season; also growing, shrinking, frozen and
turbid lakes. From 1024 px on there are a river and a reservoir, more than 3 km from any glacier. Smaller
ground and real relief have as many of these lakes as there are sites.
"""
