"""Small scenes for tests of the pure steps: masks cut into tiles, and a lake history in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid5

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import Geod
from shapely.geometry.base import BaseGeometry

from monitor.compute.layers import TileLayers
from monitor.compute.season_layers import SeasonLayers
from monitor.grid import NORTHING_ORIGIN, PIXEL, WGS84, Tile, reproject
from monitor.history.draft import SurveyDraft
from monitor.lakes.match import Lineage
from monitor.settings import NAMESPACE, Region, RegionSettings
from storage.codes import Outcome, Reason, SurveyKind
from storage.policy import OPTICAL, SEEN_WHOLE
from storage.prior import PriorSurveys

EPSG = 32643
#: global pixel near the central meridian of zone 43 at 42.5 N
ROW, COL = 529_200, 50_400
EVERYWHERE = shapely.box(-180, -80, 180, 84)
GEOD = Geod(ellps="WGS84")


def picture(text: str) -> NDArray[np.bool_]:
    """Parse a mask drawn with `#`, one line of text per row."""
    lines = text.split()
    return np.array([[char == "#" for char in line] for line in lines])


def tile_layers(
    tile: Tile,
    water: NDArray[np.bool_],
    *,
    reason: NDArray[np.uint8] | None = None,
    probability: NDArray[np.float32] | None = None,
    day_of_year: NDArray[np.int16] | int = 230,
    index: NDArray[np.uint8] | None = None,
    uncertainty: NDArray[np.float32] | float = 0.0,
    elevation: NDArray[np.int16] | int = 4000,
    sources: NDArray[np.uint8] | int = 7,
) -> TileLayers:
    """Layers of a tile that was completely observed by all sensors, unless `reason` or `sources` is given."""
    if reason is None:
        reason = np.where(water, Reason.WATER, Reason.DRY).astype(np.uint8)
    hidden = ~np.isin(reason, (Reason.WATER, Reason.DRY, Reason.SNOW, Reason.SHADOW))
    if probability is None:
        probability = np.where(water, 0.9, 0.1).astype(np.float32)
    return TileLayers.of(
        tile,
        probability=np.where(hidden, np.nan, probability),
        mask=np.where(hidden, 255, water),
        reason=reason,
        day_of_year=np.broadcast_to(day_of_year, water.shape),
        index=water if index is None else index,
        uncertainty=np.where(hidden, np.nan, uncertainty),
        elevation=np.broadcast_to(elevation, water.shape),
        sources=np.where(hidden, 0, sources),
    )


def season_of(tiles: Sequence[TileLayers]) -> SeasonLayers:
    """A season whose tiles are in memory."""
    by_tile = {layers.tile: layers for layers in tiles}
    return SeasonLayers(list(by_tile), by_tile.__getitem__)


def cut(water: NDArray[np.bool_], size: int, *, epsg: int = EPSG, row: int = ROW, col: int = COL, **layers):
    """Cut a square mask, and layers of its shape, into tiles of `size` pixels."""
    return [
        tile_layers(
            Tile(epsg, size, row + top, col + left),
            water[top : top + size, left : left + size],
            **{
                name: layer[top : top + size, left : left + size] if np.ndim(layer) else layer
                for name, layer in layers.items()
            },
        )
        for top in range(0, water.shape[0], size)
        for left in range(0, water.shape[1], size)
    ]


def pixels(top: int, left: int, height: int, width: int) -> BaseGeometry:
    """Outline of a rectangle of pixels counted from (ROW, COL), in EPSG:4326."""
    west, north = (COL + left) * PIXEL, NORTHING_ORIGIN - (ROW + top) * PIXEL
    box = shapely.box(west, north - height * PIXEL, west + width * PIXEL, north)
    return reproject(box, EPSG, WGS84)


def region(zone: BaseGeometry = EVERYWHERE, name: str = "test") -> Region:
    return Region(name, RegionSettings(bounds=(70, 40, 80, 45)), zone, zone)


def area_of(outline: BaseGeometry) -> float:
    return abs(GEOD.geometry_area_perimeter(outline)[0])


@dataclass
class History:
    """A lake history in two frames. A survey supersedes an earlier one as in the database."""

    observations: list[dict] = field(default_factory=list)
    events: list[dict] = field(default_factory=list)
    current: dict[tuple[int, str], UUID] = field(default_factory=dict)
    surveys: int = 0

    def record(self, rows: SurveyDraft, season: int, kind: SurveyKind = SurveyKind.MODEL) -> None:
        self.surveys += 1
        survey = uuid5(NAMESPACE, f"survey {self.surveys}")
        self.current[season, kind] = survey
        for row in rows.observations.to_dict("records"):
            area = area_of(row["geometry"]) if row["outcome"] == Outcome.WATER else np.nan
            self.observations.append(
                {
                    **row,
                    "survey_id": survey,
                    "season": season,
                    "kind": kind,
                    "area_m2": area,
                    "suspect": rows.suspect,
                }
            )
        for event in rows.lineage.to_dict("records"):
            self.events.append({**event, "survey_id": survey, "season": season})

    def add(
        self,
        season: int,
        outlines: dict[UUID, BaseGeometry | None],
        events: tuple[Lineage, ...] = (),
        seen_share: float = 1.0,
        suspect: str | None = None,
    ) -> None:
        """Add a survey given by hand; None is a lake observed as dry."""
        frame = geopandas.GeoDataFrame(
            {
                "lake_id": list(outlines),
                "outcome": [
                    Outcome.WATER.value if o is not None else Outcome.DRY.value for o in outlines.values()
                ],
                "sigma_m2": 100.0,
                "seen_share": seen_share,
            },
            geometry=list(outlines.values()),
            crs=WGS84,
        )
        lineage = pd.DataFrame(
            [(e.kind.value, e.lake, e.other) for e in events], columns=["kind", "lake_id", "other_lake_id"]
        )
        self.record(SurveyDraft(frame, pd.DataFrame(), lineage, geopandas.GeoDataFrame(), suspect), season)

    def prior(self, season: int, kind: SurveyKind = SurveyKind.MODEL, *, counts: bool = True) -> PriorSurveys:
        """Return the prior surveys of `season` and this kind, as `storage.prior.prior_surveys` does."""
        columns = ["lake_id", "survey_id", "season", "kind", "outcome", "area_m2", "sigma_m2", "seen_share"]
        columns += ["first_day", "last_day", "suspect", "sensors", "geometry"]
        frame = pd.DataFrame(self.observations, columns=columns)
        current = frame.survey_id.isin(list(self.current.values())).astype(bool)
        before = frame[current & (frame.season < season) & (frame.kind == kind)]
        before = before.assign(
            counts=counts,
            earlier=counts,
            reliable=(before.seen_share.astype(float).fillna(1) >= SEEN_WHOLE) & before.suspect.isna(),
            suspect=before.suspect.notna(),
            confirmed=before.lake_id.isin(
                before.lake_id[
                    (before.outcome == Outcome.WATER)
                    & (before.sensors.isna() | before.sensors.astype(str).str.startswith(OPTICAL))
                ]
            ),
        )
        known = geopandas.GeoDataFrame(before, geometry="geometry", crs=WGS84)
        water = frame[(frame.outcome == Outcome.WATER) & (frame.kind == kind) & (frame.season <= season)]
        first = frame.groupby("lake_id").season.min()
        named = water[
            ((water.season == season) | ~current.reindex(water.index).astype(bool))
            & (water.season == first.reindex(water.lake_id).to_numpy())
            & ~water.lake_id.isin(known.lake_id)
        ].drop_duplicates("lake_id", keep="last")
        superseded = named[["lake_id", "season", "geometry"]]
        outlines = known[known.outcome == Outcome.WATER][["lake_id", "season", "geometry"]]
        return PriorSurveys(
            observations=known,
            lineage=self.lineage,
            superseded=geopandas.GeoDataFrame(superseded, geometry="geometry", crs=WGS84),
            older=lambda _: outlines,
        )

    @property
    def lineage(self) -> pd.DataFrame:
        frame = pd.DataFrame(self.events, columns=["season", "kind", "lake_id", "other_lake_id", "survey_id"])
        return frame[frame.survey_id.isin(list(self.current.values()))]
