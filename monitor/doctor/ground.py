"""The doctor's check of the chosen model on the ground of the regions: its agreement with the water index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from monitor.compute.season_layers import CubeTiles
from monitor.doctor.examination import Finding, State
from monitor.grid import tile_named
from monitor.lakes.fitness import NOT_FIT, Agreement, agreement
from monitor.workspace import Workspace, open_database
from storage.codes import SurveyKind
from storage.history import Survey, current_survey, surveys
from storage.prior import SurveyKey

if TYPE_CHECKING:
    from sqlalchemy import Connection

CHECK = "model and index"
#: tiles of a season that are read; larger regions are sampled
MOST_TILES = 256


def model_and_index(workspace: Workspace, names: Sequence[str]) -> Finding | None:
    """Compare model and index on the latest season of each region that this model surveyed.

    None if the workspace has an index for a model, or no season of the model yet.
    """
    manifest = workspace.manifest
    if manifest.method == "index" or not workspace.cube_folder(SurveyKind.MODEL).exists():
        return None
    with open_database(workspace) as database, database.connect() as conn:
        latest = [survey for name in names if (survey := _latest(conn, name, manifest.fingerprint))]
    if not latest:
        return None
    lines, states = [], []
    for survey in latest:
        found = _agreement(workspace, survey)
        iou = "no water" if found.iou is None else f"they agree on {found.iou:.0%} of the water"
        if not found.fits:
            states.append(State.PROBLEM)
            iou = f"{NOT_FIT}, {iou}"
        elif not found.enough:
            states.append(State.WARNING)
            iou = f"too little water to judge the model, {iou}"
        lines.append(f"{survey.region} {survey.season}: {iou}: {found.words}")
    worst = max(states, key=list(State).index, default=State.OK)
    return Finding(CHECK, worst, "; ".join(lines), "compare maps and scenes; use another model, or the index")


def _latest(conn: Connection, region: str, fingerprint: str) -> Survey | None:
    """The current survey of the latest season of a region that the model made."""
    known = surveys(conn, region)
    own = known[known.current & (known.kind == SurveyKind.MODEL) & (known.digest == fingerprint)]
    keys = [
        SurveyKey(region, int(season), SurveyKind.MODEL, source)
        for season, source in zip(own.season, own.source, strict=True)
    ]
    return current_survey(conn, max(keys, key=lambda key: key.season)) if keys else None


def _agreement(workspace: Workspace, survey: Survey) -> Agreement:
    done = sorted(name for name, key in survey.drawn_from.items() if key)
    tiles = [tile_named(name) for name in done[:: -(-len(done) // MOST_TILES) or 1]]
    view = workspace.cube_of(survey.kind, survey.region).view()
    layers = CubeTiles.of(view, survey.season, tiles)
    return sum((found for _, _, found in layers.map(agreement, everywhere=True)), Agreement())
