"""Flags for review: chips in which index and model disagree, and lakes that lost water."""

from __future__ import annotations

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
from monitor.lakes.change import Verdict
from monitor.lakes.suspect import Suspicion
from monitor.stack.index import EXPLAINED
from storage.codes import NO_ANSWER, Index, Reason
from storage.policy import DRAINAGE_LOSS

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


def losses(changes: pd.DataFrame, outlines: geopandas.GeoSeries, since: int) -> list[Flag]:
    """Lakes that drained or lost more than 30 % beyond the error since season `since`.

    Args:
        changes: as from `change.compare`.
        outlines: last known outline of each lake (EPSG:4326), indexed by lake_id.
    """
    lost = (changes.verdict == Verdict.DRAINED) | (
        (changes.verdict == Verdict.SHRUNK) & (changes.change_percent <= -100 * DRAINAGE_LOSS)
    )
    worth: pd.DataFrame = changes[lost & (-changes.change_m2 > changes.detection_limit_m2)]
    return [
        Flag(
            kind="drained" if row.verdict == Verdict.DRAINED else "lost water",
            explained=False,
            score=-row.change_m2 / 1e4,
            footprint=_box_around(shapely.buffer(continuous(outlines[UUID(str(lake))]), 0.002)),
            lake=UUID(str(lake)),
            detail={
                "since": since,
                "area_before_ha": round(row.area_before_m2 / 1e4, 2),
                "area_after_ha": round(row.area_after_m2 / 1e4, 2),
            },
        )
        for lake, row in worth.iterrows()
    ]


def _box_around(area: BaseGeometry) -> BaseGeometry:
    """Box around an area (EPSG:4326); its longitudes exceed 180 where the area lies on both sides of it."""
    return shapely.box(*continuous(area).bounds)


def season_flag(region: BaseGeometry, suspicion: Suspicion) -> Flag:
    """One flag for a suspect season instead of one for each of its lakes."""
    return Flag(
        kind="suspect season",
        explained=False,
        score=suspicion.lost_m2 / 1e4,
        footprint=_box_around(region),
        detail={"why": suspicion.why},
    )
