"""Which lake is which: found outlines against the lakes already known, from any other season.

Pure: values in, values out. An identity is minted once, from the place and season where a lake was first
seen, and never changes; splits, merges and disappearances are lineage beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from uuid import UUID, uuid5

import geopandas
import numpy as np
import pandas as pd
import shapely

from monitor.grid import WGS84
from storage.codes import LineageKind, Outcome

NAMESPACE = UUID("5a0f2c1e-9d4b-4c57-8f0e-6f1b2f0d7a11")
#: cylindrical equal area (EASE-Grid 2.0), so that overlaps are areas
EQUAL_AREA = 6933
#: share of the smaller outline that must be common for two outlines to have anything to do with one another
OVERLAP = 0.2


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
    #: those that no earlier season saw under water: the minted ones, and what a rerun finds again
    young: frozenset[UUID]
    #: known lakes, not ended, that no outline was found for
    missing: tuple[UUID, ...]
    #: splits and merges
    lineage: tuple[Lineage, ...]


def references(known: pd.DataFrame, lineage: pd.DataFrame, season: int) -> geopandas.GeoDataFrame:
    """Each known lake as it was seen nearest in time to `season`.

    Args:
        known: observations of all surveys, superseded ones too, in any order, with lake_id, survey_id, kind,
            season, outcome, current, area_m2, geometry (EPSG:4326).
        lineage: lineage rows with season, kind, lake_id.

    Returns:
        GeoDataFrame (EPSG:4326) indexed by lake_id: geometry, which says who is who; before (its last current
        outline of an earlier season, or None), which says what happened since; ended (bool, merged into
        another lake before); last_outcome (of the latest current answer before `season`, water or dry, else
        None).
    """
    # the season itself first (an earlier survey of it), then the nearest, the earlier of two equally near;
    # in one season the current survey, the model's own, the larger part where two regions share a lake
    ranked = known.assign(
        distance=(known.season - season).abs() * 2 + (known.season > season),
        dry=known.outcome == Outcome.DRY,
        area=known.area_m2.astype(float),
        survey=known.survey_id.astype(str),
    ).sort_values(
        ["distance", "dry", "current", "kind", "area", "survey"],
        ascending=[True, True, False, False, False, True],
    )
    water = ranked[ranked.outcome == Outcome.WATER]
    frame = _first(water)[["geometry"]]
    earlier = ranked[ranked.current & (ranked.season < season)]
    seen = _first(earlier[earlier.outcome == Outcome.WATER])
    answers = _first(earlier[earlier.outcome.isin([Outcome.WATER, Outcome.DRY])])
    merged = lineage[(lineage.kind == LineageKind.MERGED) & (lineage.season < season)]
    merged_in = merged.groupby("lake_id").season.max()
    frame["before"] = [seen.geometry.get(lake) for lake in frame.index]
    frame["ended"] = [
        lake in merged_in.index and seen.season.get(lake, -1) <= merged_in[lake] for lake in frame.index
    ]
    frame["last_outcome"] = [answers.outcome.get(lake) for lake in frame.index]
    return geopandas.GeoDataFrame(frame.sort_index(), geometry="geometry", crs=WGS84)


def _first(rows: pd.DataFrame) -> pd.DataFrame:
    """The first row of each lake."""
    first: pd.DataFrame = rows.drop_duplicates("lake_id").set_index("lake_id")
    return first


def match(
    reference: geopandas.GeoDataFrame, found: geopandas.GeoSeries, region: str, season: int
) -> Matching:
    """Give every found outline (EPSG:4326) an identity.

    The two outlines that are most alike are the same lake. What happened is then told from earlier seasons: a
    lake that none of them knew, on the place of one that goes on, has split from it; a lake left without an
    outline, under one of another identity, has merged into it. A lake that had merged and stands alone again
    gets its own identity back, as a split of the one it had merged into.
    """
    ended = set(reference.index[reference.ended])
    lake_of = _identify(overlaps(reference.geometry, found), ended)
    taken = set(lake_of.values())
    used = set(reference.index)
    for position in range(len(found)):
        if position not in lake_of:
            lake_of[position] = _unused(found.iloc[position], region, season, used)
            used.add(lake_of[position])
    ids = tuple(lake_of[position] for position in range(len(found)))
    before = reference[reference.before.notna() & ~reference.ended]
    young = {lake for lake in ids if lake not in ended and lake not in before.index}

    outlines = geopandas.GeoSeries(before.before, index=before.index, crs=WGS84)
    since = overlaps(outlines, found).sort_values("common", ascending=False, kind="stable")
    lineage = []
    for position, lake in enumerate(ids):
        parents = since[(since.found == position) & (since.lake != lake) & since.lake.isin(taken)]
        if len(parents) and (lake in young or lake in ended):
            lineage.append(Lineage(LineageKind.SPLIT, lake, parents.lake.iloc[0]))
    for lake in before.index[~before.index.isin(list(taken))]:
        heirs = since[since.lake == lake]
        if len(heirs) and before.last_outcome[lake] == Outcome.WATER:
            lineage.append(Lineage(LineageKind.MERGED, lake, ids[heirs.found.iloc[0]]))
    return Matching(
        ids,
        minted=frozenset(ids) - taken,
        young=frozenset(young),
        missing=_missing(reference, found, taken),
        lineage=tuple(lineage),
    )


def _identify(pairs: pd.DataFrame, ended: set[UUID]) -> dict[int, UUID]:
    """Position of a found outline to the known lake that it is; most alike first, each lake once."""
    past = pairs.lake.isin(ended)
    living = pairs[~past]
    # a living lake with one outline keeps it, even if only the part of a lake that merged into it is left
    kept = living.found[~living.lake.duplicated(keep=False)]
    lake_of: dict[int, UUID] = {}
    taken: set[UUID] = set()
    candidates = pairs[~(past & pairs.found.isin(kept))]
    for lake, position in zip(candidates.lake, candidates.found, strict=True):
        if lake not in taken and position not in lake_of:
            lake_of[position] = lake
            taken.add(lake)
    return lake_of


def _missing(
    reference: geopandas.GeoDataFrame, found: geopandas.GeoSeries, taken: set[UUID]
) -> tuple[UUID, ...]:
    """Lakes that are neither found, nor ended, nor lie under an outline of another identity."""
    left = reference[~reference.ended & ~reference.index.isin(list(taken))]
    covered = set(overlaps(left.geometry, found).lake)
    before = left[left.before.notna()]
    covered |= set(overlaps(geopandas.GeoSeries(before.before, index=before.index, crs=WGS84), found).lake)
    return tuple(lake for lake in left.index if lake not in covered)


def overlaps(known: geopandas.GeoSeries, found: geopandas.GeoSeries) -> pd.DataFrame:
    """Pairs that are the same water, most alike first.

    Args:
        known: outlines by lake_id.
        found: outlines by position.

    Returns:
        lake, found (position), common (m2), alike (common area over the area of both together).
    """
    old = known.to_crs(EQUAL_AREA).make_valid().to_numpy()
    new = found.to_crs(EQUAL_AREA).make_valid().to_numpy()
    a, b = shapely.STRtree(new).query(old, predicate="intersects")
    common = shapely.area(shapely.intersection(old[a], new[b]))
    first, second = shapely.area(old)[a], shapely.area(new)[b]
    keep = common >= OVERLAP * np.minimum(first, second)
    pairs = pd.DataFrame(
        {
            "lake": known.index.to_numpy(object)[a[keep]],
            "found": b[keep],
            "common": common[keep],
            "alike": (common / (first + second - common))[keep],
        }
    )
    return pairs.sort_values(["alike", "found"], ascending=[False, True], kind="stable", ignore_index=True)


def mint(outline: shapely.Geometry, region: str, season: int, turn: int = 0) -> UUID:
    """An identity from where and when a lake was first found, so that a repeated run mints the same."""
    point = outline.representative_point()
    again = f"|{turn}" if turn else ""
    return uuid5(NAMESPACE, f"{region}|{season}|{point.x:.6f}|{point.y:.6f}{again}")


def _unused(outline: shapely.Geometry, region: str, season: int, used: set[UUID]) -> UUID:
    """A minted identity that is not in `used`, even where inventories draw one lake twice."""
    return next(lake for turn in count() if (lake := mint(outline, region, season, turn)) not in used)


def minted_frame(matching: Matching, outlines: geopandas.GeoSeries) -> pd.DataFrame:
    """The lakes minted by a matching, as the lake history takes them: id, code."""
    rows = [
        (lake, code_of(outline))
        for lake, outline in zip(matching.lake_ids, outlines, strict=True)
        if lake in matching.minted
    ]
    return pd.DataFrame(rows, columns=["id", "code"])


def lineage_frame(events: Iterable[Lineage]) -> pd.DataFrame:
    """Lineage as the lake history takes it: kind, lake_id, other_lake_id."""
    rows = [(event.kind.value, event.lake, event.other) for event in events]
    return pd.DataFrame(rows, columns=["kind", "lake_id", "other_lake_id"], dtype=object)


def code_of(outline: shapely.Geometry) -> str:
    """The inventories' label, `GL086900E27725N`: centroid in thousandths of a degree; not unique."""
    middle = outline.centroid
    east, north = round(abs(middle.x) * 1000), round(abs(middle.y) * 1000)
    return f"GL{east:06d}{'E' if middle.x >= 0 else 'W'}{north:05d}{'N' if middle.y >= 0 else 'S'}"


def turning_points(
    reference: geopandas.GeoDataFrame, matching: Matching, dry: Sequence[UUID], dry_before: Sequence[UUID]
) -> tuple[Lineage, ...]:
    """Lakes that drained, came back, or are new where dry ground was seen before.

    Args:
        reference: as from `references`.
        matching: as from `match`.
        dry: lakes whose absence was explained as dry.
        dry_before: young lakes on whose place the season before saw dry ground.
    """
    last = reference.last_outcome
    drained = [Lineage(LineageKind.DRAINED, lake) for lake in dry if last[lake] == Outcome.WATER]
    back = [
        Lineage(LineageKind.REAPPEARED, lake)
        for lake in matching.lake_ids
        if lake not in matching.young and last[lake] == Outcome.DRY
    ]
    children = {entry.lake for entry in matching.lineage if entry.kind == LineageKind.SPLIT}
    new = [Lineage(LineageKind.NEW, lake) for lake in dry_before if lake not in children]
    return (*drained, *back, *new)
