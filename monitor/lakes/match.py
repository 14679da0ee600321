"""Identities: the outlines of a survey matched with the lakes of the surveys prior to it.

All functions are pure. Surveys have one order (`storage.prior`), so that identities depend on the images and
not on the time of processing. An identity is minted once, from the place and season in which a lake was first
observed; splits, merges and disappearances are recorded as its lineage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import geopandas
import numpy as np
import pandas as pd

from monitor.grid import WGS84
from monitor.lakes.identity import code_of, mint_unused
from monitor.lakes.overlap import most_similar_first, overlaps
from storage.codes import LineageKind, Outcome


def _no_older_outlines(outlines: geopandas.GeoSeries) -> geopandas.GeoDataFrame:
    columns: dict[str, list[object]] = {"lake_id": [], "season": []}
    return geopandas.GeoDataFrame(columns, geometry=[], crs=outlines.crs)


@dataclass(frozen=True)
class Lineage:
    """A lineage event; `storage.codes.LineageKind` defines `lake` and `other` for each kind."""

    kind: LineageKind
    lake: UUID
    other: UUID | None = None


@dataclass(frozen=True)
class Matching:
    """Result of `match`."""

    #: identity of each found outline, in the order of the frame
    lake_ids: tuple[UUID, ...]
    #: identities that were minted by this matching
    minted: frozenset[UUID]
    #: identities without water in any earlier season: minted, or reused from superseded surveys
    first_observed: frozenset[UUID]
    #: known lakes that have not ended and have no outline on their place
    missing: tuple[UUID, ...]
    #: splits and merges
    lineage: tuple[Lineage, ...]


def references(observations: pd.DataFrame, lineage: pd.DataFrame, season: int) -> geopandas.GeoDataFrame:
    """The latest state of each lake before a survey of `season`.

    Args:
        observations: in any order, as `storage.prior.PriorSurveys.observations`.
        lineage: lineage rows with season, kind, lake_id.

    Returns:
        GeoDataFrame (EPSG:4326) indexed by lake_id: geometry (the latest reliable outline, else the latest
        one; it decides identities), area_m2 and before (area and outline, chosen in the same way from
        earlier seasons only, else NaN and None; the outline decides lineage), ended (bool: merged into
        another lake before), last_outcome (the latest of water and dry before `season`, else None), confirmed
        (bool: some survey saw its water by more than radar).
    """
    # within a season: water before dry, a model before others, the larger part where regions share a lake
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
    observed = _first(earlier[earlier.outcome.isin([Outcome.WATER, Outcome.DRY])])
    merged = lineage[(lineage.kind == LineageKind.MERGED) & (lineage.season < season)]
    merged_in = merged.groupby("lake_id", sort=False).season.max()
    frame["area_m2"] = before.area_m2.astype(float)
    frame["before"] = before.geometry.astype(object).where(before.geometry.notna(), None)
    last_seen = wet.groupby("lake_id", sort=False).season.max().reindex(frame.index).fillna(-1)
    frame["ended"] = (last_seen <= merged_in.reindex(frame.index).fillna(-2)).to_numpy(bool)
    frame["last_outcome"] = (
        observed.outcome.reindex(frame.index).astype(object).where(lambda o: o.notna(), None)
    )
    seen = set(observations.lake_id[observations.confirmed.astype(bool)])
    frame["confirmed"] = [lake in seen for lake in frame.index]
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
    older: Callable[[geopandas.GeoSeries], geopandas.GeoDataFrame] = _no_older_outlines,
    superseded: geopandas.GeoDataFrame | None = None,
) -> Matching:
    """Assign an identity to each found outline (EPSG:4326).

    The known and the found outline that are most similar are the same lake. The remaining lakes and outlines
    are compared again over older seasons, the latest first, so that a lake that was last seen in part keeps
    its identity. Lineage events are derived from earlier seasons only. A lake that is in none of them, on the
    place of a lake that continues, has split from it. A lake without an outline, on the place of an outline
    with another identity, has merged into it. A lake that had merged and is separate again gets its former
    identity, as a split from the lake into which it had merged.

    Args:
        reference: as from `references`.
        older: as `storage.prior.PriorSurveys.older`.
        superseded: as `storage.prior.PriorSurveys.superseded`.
    """
    ended = set(reference.index[reference.ended])
    pairs = overlaps(reference.geometry, found)
    lake_of = _identify(pairs, ended)
    lake_of |= _match_older(lake_of, reference.index[~reference.ended], found, older)
    matched = set(lake_of.values())
    if superseded is not None and len(superseded):
        lake_of |= _match_superseded(lake_of, reference, found, superseded, season)
    minted = _mint_others(lake_of, found, region, season, set(reference.index))
    ids = tuple(lake_of[position] for position in range(len(found)))
    before = reference[reference.before.notna() & ~reference.ended]
    earlier_pairs = _overlaps_before(before, found, pairs, len(reference))
    first_observed = set(ids) - ended - set(before.index)
    return Matching(
        ids,
        minted=frozenset(minted),
        first_observed=frozenset(first_observed),
        missing=_missing(reference, matched, set(pairs.lake) | set(earlier_pairs.lake)),
        lineage=_lineage_events(before, earlier_pairs, ids, matched, first_observed | (ended & matched)),
    )


def _mint_others(
    lake_of: dict[int, UUID], found: geopandas.GeoSeries, region: str, season: int, known: set[UUID]
) -> set[UUID]:
    """Mint identities for the outlines without one, and add them to `lake_of`."""
    minted: set[UUID] = set()
    used = known | set(lake_of.values())
    for position in range(len(found)):
        if position not in lake_of:
            lake_of[position] = mint_unused(found.iloc[position], region, season, used)
            used.add(lake_of[position])
            minted.add(lake_of[position])
    return minted


def _overlaps_before(
    before: geopandas.GeoDataFrame, found: geopandas.GeoSeries, pairs: pd.DataFrame, known: int
) -> pd.DataFrame:
    """`overlaps` of the found outlines with those of earlier seasons.

    Args:
        before: the lakes of `references` with an outline of earlier seasons.
        pairs: `overlaps` with the latest outlines of all `known` lakes, reused where both outlines are the
            same.
    """
    outlines = before.geometry.to_numpy()
    same = np.array([old is new for old, new in zip(before.before, outlines, strict=True)], bool)
    if same.all() and len(before) == known:
        return pairs
    rest = before[~same].before
    others = overlaps(geopandas.GeoSeries(rest, index=rest.index, crs=WGS84), found)
    latest = pairs[pairs.lake.isin(before.index[same])]
    return most_similar_first(pd.concat([latest, others], ignore_index=True) if len(others) else latest)


def _lineage_events(
    before: geopandas.GeoDataFrame,
    earlier_pairs: pd.DataFrame,
    ids: tuple[UUID, ...],
    matched: set[UUID],
    may_split: set[UUID],
) -> tuple[Lineage, ...]:
    """Splits among the lakes of `may_split`, and merges of known lakes that were not `matched`."""
    largest = earlier_pairs.sort_values("common", ascending=False, kind="stable")
    found = largest.assign(now=[ids[position] for position in largest.found])
    parents = found[
        found.now.isin(list(may_split)) & (found.lake != found.now) & found.lake.isin(list(matched))
    ]
    parent_of = dict(zip(parents.now[::-1], parents.lake[::-1], strict=True))
    unmatched = set(before.index[before.last_outcome == Outcome.WATER]) - matched
    merged = found[found.lake.isin(list(unmatched))]
    merged_into = dict(zip(merged.lake[::-1], merged.now[::-1], strict=True))
    splits = [Lineage(LineageKind.SPLIT, lake, parent_of[lake]) for lake in ids if lake in parent_of]
    merges = [
        Lineage(LineageKind.MERGED, lake, merged_into[lake]) for lake in before.index if lake in merged_into
    ]
    return (*splits, *merges)


def _match_older(
    lake_of: dict[int, UUID],
    active: pd.Index,
    found: geopandas.GeoSeries,
    older: Callable[[geopandas.GeoSeries], geopandas.GeoDataFrame],
) -> dict[int, UUID]:
    """Match the remaining outlines with outlines of the remaining `active` lakes in older seasons.

    Returns:
        position of an outline to its lake, from the latest season in which they match.
    """
    positions = np.flatnonzero([position not in lake_of for position in range(len(found))])
    if len(positions) == 0:
        return {}
    unmatched = found.iloc[positions]
    known = older(unmatched)
    free = set(active) - set(lake_of.values())
    known = known[known.lake_id.isin(free)]
    recovered: dict[int, UUID] = {}
    for season in sorted(known.season.unique(), reverse=True):
        rows = known[(known.season == season) & ~known.lake_id.isin(list(recovered.values()))]
        outlines = rows.drop_duplicates("lake_id").set_index("lake_id").geometry.sort_index()
        pairs = overlaps(outlines, unmatched)
        pairs["found"] = positions[pairs.found]
        recovered |= _identify(pairs[~pairs.found.isin(list(recovered))], set())
    return recovered


def _match_superseded(
    lake_of: dict[int, UUID],
    reference: geopandas.GeoDataFrame,
    found: geopandas.GeoSeries,
    superseded: geopandas.GeoDataFrame,
    season: int,
) -> dict[int, UUID]:
    """Match the remaining outlines with superseded ones, to reuse their identities.

    These are superseded outlines of the same season, and those of other seasons on whose place there is no
    known lake now.
    """
    same_season = superseded.season == season
    replaced = overlaps(superseded[same_season].set_index("lake_id").geometry, found)
    # each identity goes to its most similar outline only, and is not reused if that one is a known lake
    replaced = replaced.drop_duplicates("lake")
    others = superseded[~same_season].set_index("lake_id").geometry
    covered = overlaps(others, reference.geometry).lake
    reused = overlaps(others[~others.index.isin(list(covered))], found)
    pairs = pd.concat([replaced, reused], ignore_index=True)
    return _identify(pairs[~pairs.found.isin(list(lake_of))], set())


def _identify(pairs: pd.DataFrame, ended: set[UUID]) -> dict[int, UUID]:
    """Position of a found outline to its known lake; the most similar pairs first, each lake once."""
    candidates = pairs
    if ended:
        of_ended = pairs.lake.isin(ended)
        active = pairs[~of_ended]
        # an active lake with one outline keeps it, even if only the part that had merged into it is left
        kept = active.found[~active.lake.duplicated(keep=False)]
        candidates = pairs[~(of_ended & pairs.found.isin(kept))]
    lake_of: dict[int, UUID] = {}
    matched: set[UUID] = set()
    for lake, position in zip(candidates.lake, candidates.found, strict=True):
        if lake not in matched and position not in lake_of:
            lake_of[position] = lake
            matched.add(lake)
    return lake_of


def _missing(reference: geopandas.GeoDataFrame, matched: set[UUID], covered: set[UUID]) -> tuple[UUID, ...]:
    """Lakes that are not matched, have not ended, and are not on the place of another lake's outline."""
    active = reference.index[~reference.ended]
    return tuple(lake for lake in active if lake not in matched and lake not in covered)


def minted_frame(matching: Matching, outlines: geopandas.GeoSeries) -> pd.DataFrame:
    """Lakes minted by a matching as rows of the lake history: id, code."""
    rows = [
        (lake, code_of(outline))
        for lake, outline in zip(matching.lake_ids, outlines.to_numpy(), strict=True)
        if lake in matching.minted
    ]
    return pd.DataFrame(rows, columns=["id", "code"])


def lineage_frame(events: Iterable[Lineage]) -> pd.DataFrame:
    """Lineage events as rows of the lake history: kind, lake_id, other_lake_id."""
    rows = [(event.kind.value, event.lake, event.other) for event in events]
    return pd.DataFrame(rows, columns=["kind", "lake_id", "other_lake_id"], dtype=object)


def state_changes(
    reference: geopandas.GeoDataFrame, matching: Matching, dry: Sequence[UUID], dry_before: Sequence[UUID]
) -> tuple[Lineage, ...]:
    """Lineage events of lakes that drained, reappeared, or are new on ground that was dry before.

    Args:
        reference: as from `references`.
        matching: as from `match`.
        dry: known lakes that are dry in this season.
        dry_before: first observed lakes whose place was dry ground in the previous season.
    """
    last = reference.last_outcome.to_dict()
    drained = [Lineage(LineageKind.DRAINED, lake) for lake in dry if last[lake] == Outcome.WATER]
    reappeared = [
        Lineage(LineageKind.REAPPEARED, lake)
        for lake in matching.lake_ids
        if lake not in matching.first_observed and last[lake] == Outcome.DRY
    ]
    children = {entry.lake for entry in matching.lineage if entry.kind == LineageKind.SPLIT}
    new = [Lineage(LineageKind.NEW, lake) for lake in dry_before if lake not in children]
    return (*drained, *reappeared, *new)
