"""Replay of stale surveys: seasons and inventories whose prior surveys have changed.

The layers of a season are read from the cube; no tile is predicted again.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import Connection

from monitor.errors import RefusedError
from monitor.history.inventories.importing import replay_inventory
from monitor.history.record import SurveyInputs, record_season, stale_survey
from monitor.history.tiles import holds
from monitor.settings import Region, RegionSettings
from monitor.workspace import System
from segmenter.manifest import Manifest
from storage import history, registry
from storage.codes import SurveyKind
from storage.errors import StorageError
from storage.history import Survey


@dataclass(frozen=True)
class Replayed:
    """The surveys that were stale, as (region, season)."""

    #: surveys that differ after their replay
    changed: tuple[tuple[str, int], ...]
    #: surveys that are still stale, because this workspace lacks their layers
    stale: tuple[tuple[str, int], ...]


def replay_stale(system: System) -> Replayed:
    """Draft and record again, in their order, the surveys whose prior surveys have changed.

    Each is its own transaction; after a crash the next run replays the rest.
    """
    with system.database.connect() as conn:
        keys = history.survey_keys(conn)
    changed, stale = [], []
    for key in keys:
        with system.database.begin() as conn:
            survey = stale_survey(conn, key)
            if survey is None:
                continue
            if survey.kind == SurveyKind.INVENTORY:
                differs = replay_inventory(conn, survey)
            elif (region := _region_of(system, conn, survey.region)) and _can_replay(system, survey):
                differs = _replay_season(system, conn, survey, region)
            else:
                stale.append((key.region, key.season))
                continue
        if differs:
            changed.append((key.region, key.season))
    return Replayed(tuple(changed), tuple(stale))


def _region_of(system: System, conn: Connection, name: str) -> Region | None:
    """The region of the settings, else as it was recorded; None if its files cannot be read.

    Surveys of a region that is no longer in the settings are replayed, too: otherwise the lakes that another
    region has there would be recorded twice.
    """
    if name in system.workspace.regions():
        return system.workspace.region(name)
    outline, settings = registry.regions(conn)[name]
    try:
        recorded = RegionSettings.model_validate(settings)
        return None if outline is None else system.workspace.region_of(name, recorded, outline)
    except (RefusedError, ValidationError):
        return None


def _can_replay(system: System, survey: Survey) -> bool:
    """Whether the cube holds the layers that the survey was drawn from."""
    return holds(system.cube_of(survey.kind, survey.region), survey.season, survey.drawn_from)


def _replay_season(system: System, conn: Connection, survey: Survey, region: Region) -> bool:
    """Draft and record a survey again, with the model that made it.

    Raises:
        StorageError: the model is no longer in the registry.
    """
    model = registry.model(conn, survey.digest)
    if model is None:
        run = f"monitor run --region {survey.region} --season {survey.season}"
        raise StorageError(
            f"The survey of {survey.region} {survey.season} is stale and must be replayed, but its model "
            f"{survey.digest} is not in the registry; run `{run}`."
        )
    return record_season(
        conn,
        system.cube_of(survey.kind, survey.region),
        region,
        Manifest.model_validate(model.manifest),
        SurveyInputs.of(survey),
        survey.run_id,
        [UUID(task) for task in survey.drawn_from.values() if task],
    )
