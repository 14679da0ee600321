"""Which lake is which: found outlines against the lakes already known, from any other season.

Pure: values in, values out. An identity is minted once, from the place and season where a lake was first
seen, and never changes; splits, merges and disappearances are lineage beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from storage.codes import LineageKind, Outcome, Reason

NAMESPACE = UUID("5a0f2c1e-9d4b-4c57-8f0e-6f1b2f0d7a11")
#: cylindrical equal area (EASE-Grid 2.0), so that overlaps are areas
EQUAL_AREA = 6933
#: share of the smaller outline that must be common for two outlines to be the same water
OVERLAP = 0.2
#: share of a footprint that must have been seen for "dry" to be an answer
SEEN_ENOUGH = 0.5
#: share of a footprint still under water that makes it smaller than mapped rather than dry
STILL_WET = 0.1


@dataclass(frozen=True)
class Lineage:
    """What happened to an identity; see `storage.codes.LineageKind` for who is `lake` and who `other`."""

    kind: LineageKind
    lake: UUID
    other: UUID | None = None


@dataclass(frozen=True)
class Matching:
    """The answer of `match`."""

    #: identity of every found outline, in the order of the frame
    lake_ids: tuple[UUID, ...]
    #: those of them that were minted now
    minted: frozenset[UUID]
    #: known lakes, not ended, that no outline was found for
    missing: tuple[UUID, ...]
    #: splits and merges
    lineage: tuple[Lineage, ...]


def references(known: pd.DataFrame, lineage: pd.DataFrame, season: int) -> geopandas.GeoDataFrame:
    """Each known lake as it was seen nearest in time to `season`.

    Args:
        known: observations of all surveys, superseded ones too, with lake_id, season, outcome, current,
            geometry (EPSG:4326).
        lineage: lineage rows with season, kind, lake_id.

    Returns:
        GeoDataFrame (EPSG:4326) indexed by lake_id: geometry; ended (bool, merged into another lake before);
        last_outcome (of the latest current answer before `season`, water or dry, else None).
    """
    water = known[known.outcome == Outcome.WATER].copy()
    # the season itself first (an earlier survey of it), then the nearest, the earlier of two equally near
    water["distance"] = (water.season - season).abs() * 2 + (water.season > season)
    water = water.sort_values(["distance", "current"], ascending=[True, False], kind="stable")
    frame = water.drop_duplicates("lake_id").set_index("lake_id")[["geometry"]]
    merged = lineage[(lineage.kind == LineageKind.MERGED) & (lineage.season < season)]
    returned = known[(known.outcome == Outcome.WATER) & known.current & (known.season < season)]
    last_water = returned.groupby("lake_id").season.max()
    ended = {
        lake for lake, when in merged.groupby("lake_id").season.max().items() if last_water.get(lake, -1) <= when
    }
    frame["ended"] = [lake in ended for lake in frame.index]
    answers = known[known.current & (known.season < season) & known.outcome.isin([Outcome.WATER, Outcome.DRY])]
    last = answers.sort_values("season").drop_duplicates("lake_id", keep="last").set_index("lake_id").outcome
    frame["last_outcome"] = [last.get(lake) for lake in frame.index]
    return geopandas.GeoDataFrame(frame.sort_index(), geometry="geometry", crs=4326)


def match(
    reference: geopandas.GeoDataFrame, found: geopandas.GeoSeries, region: str, season: int
) -> Matching:
    """Give every found outline (EPSG:4326) an identity.

    The pair with the largest common area is the same lake; what remains of an outline's overlaps is a split
    (a second outline on a known lake) or a merge (a second known lake under one outline). A lake that had
    merged into another and stands alone again gets its own identity back.
    """
    pairs = _overlaps(reference, found)
    ended = reference.ended.to_numpy(bool)
    lake_of: dict[int, UUID] = {}
    taken: set[UUID] = set()
    for alive in (True, False):
        for pair in pairs[pairs.ended != alive].itertuples():
            if pair.lake not in taken and pair.found not in lake_of:
                lake_of[pair.found] = pair.lake
                taken.add(pair.lake)
    lineage: list[Lineage] = []
    minted = {}
    for position in range(len(found)):
        if position not in lake_of:
            lake_of[position] = minted[position] = mint(found.iloc[position], region, season)
        parents = pairs[(pairs.found == position) & ~pairs.ended & (pairs.lake != lake_of[position])]
        restored = lake_of[position] in reference.index and reference.ended[lake_of[position]]
        if len(parents) and (position in minted or restored):
            lineage.append(Lineage(LineageKind.SPLIT, lake_of[position], parents.lake.iloc[0]))
    for lake in reference.index[~ended]:
        mine = pairs[pairs.lake == lake]
        if lake not in taken and len(mine):
            lineage.append(Lineage(LineageKind.MERGED, lake, lake_of[mine.found.iloc[0]]))
    over = {entry.lake for entry in lineage if entry.kind == LineageKind.MERGED}
    missing = [lake for lake in reference.index[~ended] if lake not in taken and lake not in over]
    return Matching(
        tuple(lake_of[position] for position in range(len(found))),
        frozenset(minted.values()),
        tuple(missing),
        tuple(lineage),
    )


def _overlaps(reference: geopandas.GeoDataFrame, found: geopandas.GeoSeries) -> pd.DataFrame:
    """Pairs that are the same water, largest common area first: lake, found, common, ended."""
    old = reference.geometry.to_crs(EQUAL_AREA).make_valid().to_numpy()
    new = found.to_crs(EQUAL_AREA).make_valid().to_numpy()
    a, b = shapely.STRtree(new).query(old, predicate="intersects")
    common = shapely.area(shapely.intersection(old[a], new[b]))
    smaller = np.minimum(shapely.area(old)[a], shapely.area(new)[b])
    keep = common >= OVERLAP * smaller
    frame = pd.DataFrame(
        {
            "lake": reference.index.to_numpy(object)[a[keep]],
            "found": b[keep],
            "common": common[keep],
            "ended": reference.ended.to_numpy(bool)[a[keep]],
        }
    )
    return frame.sort_values(["common", "found"], ascending=[False, True], kind="stable", ignore_index=True)


def mint(outline: shapely.Geometry, region: str, season: int) -> UUID:
    """An identity from where and when a lake was first found, so that a repeated run mints the same."""
    point = outline.representative_point()
    return uuid5(NAMESPACE, f"{region}|{season}|{point.x:.6f}|{point.y:.6f}")


def code_of(outline: shapely.Geometry) -> str:
    """The inventories' label, `GL086900E27725N`: centroid in thousandths of a degree; not unique."""
    middle = outline.centroid
    east, north = round(abs(middle.x) * 1000), round(abs(middle.y) * 1000)
    return f"GL{east:06d}{'E' if middle.x >= 0 else 'W'}{north:05d}{'N' if middle.y >= 0 else 'S'}"


@dataclass(frozen=True)
class Absence:
    """Why a known lake has no outline in a season."""

    outcome: Outcome
    reason: str
    seen_share: float


#: what a person calls the reason
WORDS = {
    Reason.NODATA: "no image",
    Reason.CLOUD: "cloud",
    Reason.SNOW: "snow, ice or frozen",
    Reason.SHADOW: "terrain shadow",
    Reason.OUTSIDE: "outside the region",
}


def explain_absence(counts: NDArray[np.int64]) -> Absence:
    """What the pixels of a known lake's footprint, counted by reason (7,), say of its absence."""
    total = int(counts.sum())
    seen = int(counts[Reason.WATER] + counts[Reason.DRY])
    share = seen / total if total else 0.0
    if share < SEEN_ENOUGH:
        hidden = counts.copy()
        hidden[[Reason.WATER, Reason.DRY]] = 0
        reason = Reason(int(np.argmax(hidden))) if total else Reason.NODATA
        return Absence(Outcome.NOT_OBSERVED, WORDS[reason], share)
    if counts[Reason.WATER] >= STILL_WET * total:
        return Absence(Outcome.NOT_OBSERVED, "smaller than the smallest mapped lake", share)
    return Absence(Outcome.DRY, "seen dry", share)


def seen_shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each footprint (N, 7 counts by reason) that was seen, as water or dry."""
    seen = counts[:, Reason.WATER] + counts[:, Reason.DRY]
    return seen / np.maximum(counts.sum(axis=1), 1)


def turning_points(
    reference: geopandas.GeoDataFrame, matching: Matching, dry: Sequence[UUID], dry_before: Sequence[UUID]
) -> tuple[Lineage, ...]:
    """Lakes that drained, came back, or are new where dry ground was seen before.

    Args:
        reference: as from `references`.
        matching: as from `match`.
        dry: lakes whose absence was explained as dry.
        dry_before: minted lakes on whose place the season before saw dry ground.
    """
    last = reference.last_outcome
    drained = [Lineage(LineageKind.DRAINED, lake) for lake in dry if last[lake] == Outcome.WATER]
    back = [
        Lineage(LineageKind.REAPPEARED, lake)
        for lake in matching.lake_ids
        if lake not in matching.minted and last[lake] == Outcome.DRY
    ]
    children = {entry.lake for entry in matching.lineage if entry.kind == LineageKind.SPLIT}
    new = [Lineage(LineageKind.NEW, lake) for lake in dry_before if lake not in children]
    return (*drained, *back, *new)
