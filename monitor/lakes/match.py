"""Identities: the outlines of a survey matched with the lakes of the surveys prior to it.

Pure: values in, values out. Surveys have one order (`storage.prior`), so that identities depend on the
images and not on when they were processed. An identity is minted once, from the place and season where a lake
was first seen; splits, merges and disappearances are recorded beside it, as lineage.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from monitor.grid import WGS84
from monitor.lakes.identity import code_of, unused
from storage.codes import LineageKind, Outcome

#: share of the smaller outline that must be common for two outlines to have anything to do with one another
OVERLAP = 0.2


def _nothing(outlines: geopandas.GeoSeries) -> geopandas.GeoDataFrame:
    """No older outline of anything."""
    columns: dict[str, list[object]] = {"lake_id": [], "season": []}
    return geopandas.GeoDataFrame(columns, geometry=[], crs=outlines.crs)


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
    #: those that no earlier season saw under water: minted ones, and those that a replayed survey finds again
    young: frozenset[UUID]
    #: known lakes, not ended, that no outline was found for
    missing: tuple[UUID, ...]
    #: splits and merges
    lineage: tuple[Lineage, ...]


def references(observations: pd.DataFrame, lineage: pd.DataFrame, season: int) -> geopandas.GeoDataFrame:
    """The latest state of each lake before a survey of `season`.

    Args:
        observations: in any order, as `storage.prior.PriorSurveys.observations`.
        lineage: lineage rows with season, kind, lake_id.

    Returns:
        GeoDataFrame (EPSG:4326) indexed by lake_id: geometry, the latest reliable outline, else the
        latest, which decides identities; before (that of earlier seasons, or None), which decides lineage;
        ended (bool, merged into another lake before); last_outcome (of the latest answer before `season`,
        water or dry, else None).
    """
    # of one season water before dry, the model's own word first, the larger part where regions share a lake
    ranked = observations.assign(
        dry=observations.outcome == Outcome.DRY,
        area=observations.area_m2.astype(float),
        survey=observations.survey_id.astype(str),
    ).sort_values(["season", "dry", "kind", "area", "survey"], ascending=[False, True, False, False, True])
    water = ranked[ranked.outcome == Outcome.WATER].sort_values("reliable", ascending=False, kind="stable")
    frame = _first(water)[["geometry"]]
    earlier = ranked[ranked.earlier.astype(bool)]
    wet = water[water.earlier.astype(bool)]
    before = _first(wet).reindex(frame.index)
    answers = _first(earlier[earlier.outcome.isin([Outcome.WATER, Outcome.DRY])])
    merged = lineage[(lineage.kind == LineageKind.MERGED) & (lineage.season < season)]
    merged_in = merged.groupby("lake_id", sort=False).season.max()
    frame["area_m2"] = before.area_m2.astype(float)
    frame["before"] = before.geometry.astype(object).where(before.geometry.notna(), None)
    last_seen = wet.groupby("lake_id", sort=False).season.max().reindex(frame.index).fillna(-1)
    frame["ended"] = (last_seen <= merged_in.reindex(frame.index).fillna(-2)).to_numpy(bool)
    frame["last_outcome"] = (
        answers.outcome.reindex(frame.index).astype(object).where(lambda o: o.notna(), None)
    )
    ordered = frame.loc[sorted(frame.index, key=lambda lake: lake.int)]
    return geopandas.GeoDataFrame(ordered, geometry="geometry", crs=WGS84)


def _first(rows: pd.DataFrame) -> pd.DataFrame:
    """The first row of each lake."""
    first: pd.DataFrame = rows.drop_duplicates("lake_id").set_index("lake_id")
    return first


def match(
    reference: geopandas.GeoDataFrame,
    found: geopandas.GeoSeries,
    region: str,
    season: int,
    *,
    older: Callable[[geopandas.GeoSeries], geopandas.GeoDataFrame] = _nothing,
    superseded: geopandas.GeoDataFrame | None = None,
) -> Matching:
    """Give every found outline (EPSG:4326) an identity.

    The two outlines that are most alike are the same lake. Lakes and outlines that are left are compared
    again over older seasons, the latest first: a lake that was last seen in part comes back as itself. What
    happened is then decided from earlier seasons: a lake that none of them has, on the place of one that goes
    on, has split from it; a lake left without an outline, under one of another identity, has merged into it.
    A lake that had merged and stands alone again gets its own identity back, as a split of the one it had
    merged into.

    Args:
        reference: as from `references`.
        older: as `storage.prior.PriorSurveys.older`.
        superseded: as `storage.prior.PriorSurveys.superseded`.
    """
    ended = set(reference.index[reference.ended])
    pairs = overlaps(reference.geometry, found)
    lake_of = _identify(pairs, ended)
    lake_of |= _come_back(lake_of, reference.index[~reference.ended], found, older)
    taken = set(lake_of.values())
    if superseded is not None and len(superseded):
        lake_of |= _named_before(lake_of, reference, found, superseded, season)
    minted = set()
    used = set(reference.index) | set(lake_of.values())
    for position in range(len(found)):
        if position not in lake_of:
            lake_of[position] = unused(found.iloc[position], region, season, used)
            used.add(lake_of[position])
            minted.add(lake_of[position])
    ids = tuple(lake_of[position] for position in range(len(found)))
    before = reference[reference.before.notna() & ~reference.ended]
    since = _overlaps_since(before, found, pairs, len(reference))
    young = set(ids) - ended - set(before.index)
    return Matching(
        ids,
        minted=frozenset(minted),
        young=frozenset(young),
        missing=_missing(reference, taken, set(pairs.lake) | set(since.lake)),
        lineage=_what_happened(before, since, ids, taken, young | (ended & taken)),
    )


def _overlaps_since(
    before: geopandas.GeoDataFrame, found: geopandas.GeoSeries, pairs: pd.DataFrame, known: int
) -> pd.DataFrame:
    """`overlaps` with the outlines of earlier seasons; `pairs`, of the latest outlines of all `known` lakes,
    has them where those are the same."""
    same = np.array([was is now for was, now in zip(before.before, before.geometry, strict=True)], bool)
    if same.all() and len(before) == known:
        return pairs
    rest = before[~same].before
    others = overlaps(geopandas.GeoSeries(rest, index=rest.index, crs=WGS84), found)
    latest = pairs[pairs.lake.isin(before.index[same])]
    return _most_alike_first(pd.concat([latest, others], ignore_index=True) if len(others) else latest)


def _what_happened(
    before: geopandas.GeoDataFrame,
    since: pd.DataFrame,
    ids: tuple[UUID, ...],
    taken: set[UUID],
    parted: set[UUID],
) -> tuple[Lineage, ...]:
    """Splits of those that may have `parted`, and merges of known lakes that were not `taken`."""
    largest = since.sort_values("common", ascending=False, kind="stable")
    found = largest.assign(now=[ids[position] for position in largest.found])
    parents = found[found.now.isin(list(parted)) & (found.lake != found.now) & found.lake.isin(list(taken))]
    parent_of = dict(zip(parents.now[::-1], parents.lake[::-1], strict=True))
    left = set(before.index[before.last_outcome == Outcome.WATER]) - taken
    heirs = found[found.lake.isin(list(left))]
    heir_of = dict(zip(heirs.lake[::-1], heirs.now[::-1], strict=True))
    splits = [Lineage(LineageKind.SPLIT, lake, parent_of[lake]) for lake in ids if lake in parent_of]
    merges = [Lineage(LineageKind.MERGED, lake, heir_of[lake]) for lake in before.index if lake in heir_of]
    return (*splits, *merges)


def _come_back(
    lake_of: dict[int, UUID],
    living: pd.Index,
    found: geopandas.GeoSeries,
    older: Callable[[geopandas.GeoSeries], geopandas.GeoDataFrame],
) -> dict[int, UUID]:
    """Left outlines that are left lakes as an older season drew them; the latest such season decides."""
    positions = np.flatnonzero([position not in lake_of for position in range(len(found))])
    if len(positions) == 0:
        return {}
    left = found.iloc[positions]
    known = older(left)
    free = set(living) - set(lake_of.values())
    known = known[known.lake_id.isin(free)]
    back: dict[int, UUID] = {}
    for season in sorted(known.season.unique(), reverse=True):
        drawn = known[(known.season == season) & ~known.lake_id.isin(list(back.values()))]
        outlines = drawn.drop_duplicates("lake_id").set_index("lake_id").geometry.sort_index()
        pairs = overlaps(outlines, left)
        pairs["found"] = positions[pairs.found]
        back |= _identify(pairs[~pairs.found.isin(list(back))], set())
    return back


def _named_before(
    lake_of: dict[int, UUID],
    reference: geopandas.GeoDataFrame,
    found: geopandas.GeoSeries,
    superseded: geopandas.GeoDataFrame,
    season: int,
) -> dict[int, UUID]:
    """Names for left outlines from superseded drawings: of this season, or of ground without a lake since."""
    ours = superseded.season == season
    again = overlaps(superseded[ours].set_index("lake_id").geometry, found)
    # an outline that became a known lake leaves no name to its neighbour
    again = again.drop_duplicates("lake")
    past = superseded[~ours].set_index("lake_id").geometry
    borne = overlaps(past, reference.geometry).lake
    back = overlaps(past[~past.index.isin(list(borne))], found)
    pairs = pd.concat([again, back], ignore_index=True)
    return _identify(pairs[~pairs.found.isin(list(lake_of))], set())


def _identify(pairs: pd.DataFrame, ended: set[UUID]) -> dict[int, UUID]:
    """Position of a found outline to the known lake that it is; most alike first, each lake once."""
    candidates = pairs
    if ended:
        past = pairs.lake.isin(ended)
        living = pairs[~past]
        # a living lake with one outline keeps it, even if only the part of one that merged into it is left
        kept = living.found[~living.lake.duplicated(keep=False)]
        candidates = pairs[~(past & pairs.found.isin(kept))]
    lake_of: dict[int, UUID] = {}
    taken: set[UUID] = set()
    for lake, position in zip(candidates.lake, candidates.found, strict=True):
        if lake not in taken and position not in lake_of:
            lake_of[position] = lake
            taken.add(lake)
    return lake_of


def _missing(reference: geopandas.GeoDataFrame, taken: set[UUID], covered: set[UUID]) -> tuple[UUID, ...]:
    """Lakes that are neither found, nor ended, nor lie under an outline of another identity."""
    left = reference.index[~reference.ended]
    return tuple(lake for lake in left if lake not in taken and lake not in covered)


def overlaps(known: geopandas.GeoSeries, found: geopandas.GeoSeries) -> pd.DataFrame:
    """Pairs that are the same water, most alike first.

    Args:
        known: outlines by lake_id.
        found: outlines by position.

    Returns:
        lake, found (position), common (area, to be compared in one place only), alike (common area over the
        area of both together).
    """
    if known.empty or found.empty:
        return pd.DataFrame({"lake": [], "found": np.array([], int), "common": [], "alike": []})
    old, new = _valid(known), _valid(found)
    a, b = shapely.STRtree(new).query(old)
    with ThreadPoolExecutor() as threads:
        pieces = (np.array_split(side, os.cpu_count() or 1) for side in (old[a], new[b]))
        common = np.concatenate([*threads.map(_common, *pieces)])
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
    return _most_alike_first(pairs)


def _most_alike_first(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs.sort_values(["alike", "found"], ascending=[False, True], kind="stable", ignore_index=True)


def _common(first: NDArray[np.object_], second: NDArray[np.object_]) -> NDArray[np.float64]:
    """Area that each pair of outlines shares; GEOS works outside Python's lock."""
    shared: NDArray[np.float64] = shapely.area(shapely.intersection(first, second))
    return shared


def _valid(outlines: geopandas.GeoSeries) -> NDArray[np.object_]:
    """Outlines that can be laid on one another, in degrees: in one place all areas shrink alike."""
    shapes = outlines.to_numpy()
    crooked = ~shapely.is_valid(shapes)
    if crooked.any():
        shapes = shapes.copy()
        shapes[crooked] = shapely.make_valid(shapes[crooked])
    return np.asarray(shapes, object)


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
