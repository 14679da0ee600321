"""Flags for review: chips in which index and model disagree, and lakes that lost water or appeared."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import geopandas
import numpy as np
import pandas as pd
import shapely
from scipy import ndimage
from shapely.geometry.base import BaseGeometry

from monitor.compute.layers import TileLayers
from monitor.grid import PIXEL, Tile, continuous
from monitor.lakes.suspect import Suspicion
from monitor.stack.index import EXPLAINED
from storage.codes import NO_ANSWER, Index, Reason

#: edge of a review chip, px; tiles are whole numbers of them
CHIP = 256
#: smallest patch of disagreement that is flagged, pixels: 0.5 ha
WORTH_A_LOOK = 50
#: disagreement thinner than this window is taken for a shoreline, not for a lake
CORE = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Flag:
    """One entry of the review queue; higher scores first."""

    kind: str
    #: whether a gate of the index (snow, shadow, radar, turbid water) explains the disagreement
    explained: bool
    #: area concerned, hectares
    score: float
    #: footprint of the place to look at, EPSG:4326
    footprint: BaseGeometry
    tile: str | None = None
    lake: UUID | None = None
    detail: dict[str, Any] = field(default_factory=dict)


def disagreements(layers: TileLayers) -> list[Flag]:
    """Chips of a tile in which a lake-sized patch is water to one of model and index and dry to the other.

    A disagreement that the index's own gates explain (`Index.SNOW` and the like) is flagged as explained.
    """
    mask, index_layer = layers["mask"], layers["index"]
    judged = (layers["reason"] != Reason.OUTSIDE) & (index_layer != Index.NODATA) & (mask != NO_ANSWER)
    model, index = mask == 1, index_layer == Index.WATER
    doubt = np.isin(index_layer, EXPLAINED)
    flags = []
    for name, where, gated in (
        ("model water, index dry", judged & model & ~index, doubt),
        ("index water, model dry", judged & ~model & (index | doubt), doubt),
    ):
        flags += _patches(layers.tile, name, where, gated, index_layer)
    return flags


def _patches(tile: Tile, kind: str, where: Any, gated: Any, index: Any) -> list[Flag]:
    """Flags of the chips that hold patches thicker than a shoreline and large enough."""
    thick = ndimage.binary_opening(where, CORE)
    labels, count = ndimage.label(thick, structure=CORE)
    if count == 0:
        return []
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    patches: dict[tuple[int, int, bool], list[tuple[int, int]]] = {}
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if sizes[number] < WORTH_A_LOOK:
            continue
        inside = labels[window] == number
        explained = bool(gated[window][inside].mean() > 0.5)
        chip = (window[0].start // CHIP, window[1].start // CHIP, explained)
        common = int(np.bincount(index[window][inside], minlength=256).argmax())
        patches.setdefault(chip, []).append((int(sizes[number]), common))
    return [
        Flag(
            kind=kind,
            explained=explained,
            score=sum(size for size, _ in found) * PIXEL**2 / 1e4,
            footprint=_chip_footprint(tile, row, col),
            tile=tile.name,
            detail={
                "patches": len(found),
                "largest_ha": max(size for size, _ in found) * PIXEL**2 / 1e4,
                "index_says": Index(max(found)[1]).name.lower(),
            },
        )
        for (row, col, explained), found in sorted(patches.items())
    ]


def _chip_footprint(tile: Tile, row: int, col: int) -> BaseGeometry:
    chip = Tile(tile.epsg, CHIP, tile.row + row * CHIP, tile.col + col * CHIP)
    return continuous(chip.footprint())


def losses(
    changes: pd.DataFrame,
    drained: Collection[UUID],
    before: pd.DataFrame,
    after: pd.DataFrame,
    reference: geopandas.GeoDataFrame,
) -> list[Flag]:
    """Lakes that drained or lost water since their last observation.

    Args:
        changes: those of `change.compare` that are losses (`change.is_loss`).
        drained: lakes with the event "drained", of which some may have no comparable area before.
        before: the earlier observations, as from `change.last_observations`.
        after: observations of the season, indexed by lake_id.
        reference: as from `match.references`: the last known outline and area of each lake.
    """
    known, outlines = reference.area_m2.to_dict(), reference.geometry.to_dict()
    areas = {lake: (known[lake], 0.0) for lake in drained}
    areas |= dict(
        zip(changes.index, zip(changes.area_before_m2, changes.area_after_m2, strict=True), strict=True)
    )
    return [
        Flag(
            kind="drained" if now == 0 else "lost water",
            explained=False,
            score=(area - now) / 1e4,
            footprint=_around(outlines[lake]),
            lake=lake,
            detail=_detail(lake, area, now, before, after),
        )
        for lake, (area, now) in sorted(areas.items(), key=lambda item: item[0].int)
    ]


def appearances(lakes: Sequence[UUID], before: pd.DataFrame, after: geopandas.GeoDataFrame) -> list[Flag]:
    """Lakes that are new, or have reappeared, on ground that was dry.

    Args:
        before: the earlier observations, as from `change.last_observations`.
        after: observations of the season, indexed by lake_id, with area_m2 (EPSG:4326).
    """
    areas, outlines = after.area_m2.to_dict(), after.geometry.to_dict()
    return [
        Flag(
            kind="reappeared" if lake in before.index else "new",
            explained=False,
            score=areas[lake] / 1e4,
            footprint=_around(outlines[lake]),
            lake=lake,
            detail=_detail(lake, 0.0, areas[lake], before, after),
        )
        for lake in lakes
    ]


def water_to_radar_alone(found: geopandas.GeoDataFrame, known: Collection[UUID]) -> list[Flag]:
    """Outlines of water to radar alone on ground that was dry to optics, which are not recorded as lakes.

    Args:
        found: as from `vectorise.vectorise`, with lake_id.
        known: lakes of earlier surveys; another one has no identity.
    """
    return [
        Flag(
            kind="new water to radar alone",
            explained=False,
            score=area / 1e4,
            footprint=_around(outline),
            lake=lake if lake in known else None,
            detail={"area_after_ha": round(float(area) / 1e4, 2)},
        )
        for lake, area, outline in zip(found.lake_id, found.area_m2, found.geometry, strict=True)
    ]


def _detail(lake: UUID, area: float, now: float, before: pd.DataFrame, after: pd.DataFrame) -> dict[str, Any]:
    """Season and days of the observations, null where unknown, and both areas in hectares."""
    last, first = before.last_day.get(lake), after.first_day.get(lake)
    since = before.season.get(lake)
    return {
        "since": None if since is None else int(np.ceil(since)),
        "day_before": None if pd.isna(last) else str(last),
        "day_after": None if pd.isna(first) else str(first),
        "area_before_ha": round(float(area) / 1e4, 2),
        "area_after_ha": round(float(now) / 1e4, 2),
    }


def _around(outline: BaseGeometry) -> BaseGeometry:
    return _box_around(shapely.buffer(continuous(outline), 0.002))


def _box_around(area: BaseGeometry) -> BaseGeometry:
    """Box around an area (EPSG:4326); its longitudes exceed 180 where the area lies on both sides of it."""
    return shapely.box(*continuous(area).bounds)


def season_flag(region: BaseGeometry, suspicion: Suspicion) -> Flag:
    """One flag for a suspect season instead of one for each of its lakes."""
    return Flag(
        kind="suspect season",
        explained=False,
        score=suspicion.area_m2 / 1e4,
        footprint=_box_around(region),
        detail={"why": suspicion.why},
    )
