"""Regions of the settings and regions of the lake history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import shapely

from monitor.errors import RefusedError, unknown
from monitor.settings import SETTINGS_FILE, SeasonWindow
from monitor.workspace import Workspace
from storage import history, registry

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry
    from sqlalchemy import Connection

#: share of an area from which two regions are taken as the same one
SAME_AREA = 0.5


def refuse_other_name(
    conn: Connection, workspace: Workspace, name: str, outline: BaseGeometry | None = None
) -> None:
    """Refuse a surveyed region under a second name, and two regions under one name.

    The name of a region is its identity in the history. Under another name, its lakes and surveys would be
    recorded a second time; another region of its name would replace its surveys.

    Args:
        outline: of the region (EPSG:4326); read from the settings if not given.

    Raises:
        RefusedError: the region is new, and lies on the ground of a surveyed region that the settings no
            longer name; or surveys of its name are of another place.
    """
    registered, named = registry.regions(conn), workspace.regions()
    surveyed = {key.region for key in history.survey_keys(conn)}
    outline = workspace.region(name).outline if outline is None else outline
    if name in registered:
        known, _ = registered[name]
        if name in surveyed and known is not None and not _mostly_within(known, outline):
            raise RefusedError(
                f"regions.{name}: the lake history has surveys of another place under this name, in "
                f"{[round(float(edge), 2) for edge in known.bounds]} (west, south, east, north), and these "
                "would be replaced. Give this region another name"
            )
        return
    for former, (area, _) in registered.items():
        if former in named or former not in surveyed or area is None:
            continue
        shared = shapely.area(shapely.intersection(area, outline))
        if shared > SAME_AREA * shapely.area(shapely.union(area, outline)):
            raise RefusedError(
                f"regions.{name}: the lake history has surveys of this ground as the region {former!r}, "
                f"which {workspace.folder / SETTINGS_FILE} no longer names. A region's name identifies its "
                "surveys, and under a second name they would be recorded twice. Name the region "
                f"{former!r} again; if {name!r} is meant to be another region, keep {former!r} beside it"
            )


def _mostly_within(one: BaseGeometry, other: BaseGeometry) -> bool:
    """Whether the smaller of two regions lies in the other one for the most part."""
    shared = shapely.area(shapely.intersection(one, other))
    return bool(shared > SAME_AREA * min(shapely.area(one), shapely.area(other)))


def season_of(conn: Connection, workspace: Workspace, name: str) -> SeasonWindow:
    """The season of a region, of the settings or as it was recorded; the default where neither has it."""
    if (settings := workspace.regions().get(name)) is not None:
        return settings.season
    _, recorded = registry.regions(conn).get(name, (None, {}))
    return SeasonWindow.model_validate(recorded.get("season", {}))


def check_region(conn: Connection, workspace: Workspace, name: str | None) -> None:
    """Check that a region that was asked for is in the settings or in the history; None is any.

    Raises:
        RefusedError: it is in neither; names the nearest ones.
    """
    if name is None or name in (known := {*workspace.regions(), *registry.regions(conn)}):
        return
    raise unknown("region", name, known)


def check_season(conn: Connection, region: str | None, season: int | None, option: str = "--season") -> None:
    """Check that the history has a survey of a season, of one region or of any; None is any season.

    Raises:
        RefusedError: it has none; names the seasons that it has.
    """
    if season is None:
        return
    keys = history.survey_keys(conn)
    seasons = {key.season for key in keys if region in (None, key.region)}
    if season not in seasons:
        where = "" if region is None else f" of {region}"
        raise RefusedError(
            f"{option} {season}: the history has no survey{where} in that season; "
            f"it has {', '.join(map(str, sorted(seasons))) or 'none yet: start with `monitor run`'}"
        )
