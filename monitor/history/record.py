"""Recording of surveys in one order (`storage.prior`), independent of the order in which they arrive.

A survey is drafted from its inputs and from the surveys that are prior to it. If its prior surveys change
after it was recorded, the survey is stale and is replayed (`monitor.history.replay`). A backfill from 2023 to
2017 therefore gives the same lakes, lineage and changes as one from 2017 to 2023.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from sqlalchemy import Connection

from monitor.compute.season_layers import CubeTiles
from monitor.grid import tile_named
from monitor.history.draft import SurveyDraft
from monitor.history.season import draft_season
from monitor.history.tiles import located
from monitor.progress import SILENT, Progress
from monitor.settings import NAMESPACE, Region
from segmenter.manifest import Manifest
from storage import ledger
from storage.history import Survey, current_survey, lock, seasons_before, tag_of
from storage.prior import SurveyKey, prior_digest, prior_surveys
from storage.recording import record_survey

if TYPE_CHECKING:
    from storage.cube import Cube


@dataclass(frozen=True)
class SurveyInputs:
    """The inputs of a survey. The same inputs and prior surveys give the same survey."""

    key: SurveyKey
    #: of the model or of the inventory's file
    digest: str
    #: name of each tile to the key of its task, None if that task is not done; empty for an inventory
    drawn_from: Mapping[str, str | None] = field(default_factory=dict)
    inventory_id: UUID | None = None

    @classmethod
    def of(cls, survey: Survey) -> SurveyInputs:
        """The inputs of a recorded survey."""
        return cls(survey.key, survey.digest, survey.drawn_from, survey.inventory_id)


@dataclass(frozen=True)
class SurveyState:
    """The state of the history for a survey's key, before the survey is drafted."""

    inputs: SurveyInputs
    #: the current survey of the key
    current: Survey | None
    #: digest of the current prior surveys
    prior_digest: str

    @property
    def up_to_date(self) -> bool:
        """Whether the current survey has these inputs and these prior surveys."""
        return (
            self._same_inputs and self.current is not None and self.current.prior_digest == self.prior_digest
        )

    @property
    def replaced(self) -> UUID | None:
        """Id of the current survey, if it was drafted from other inputs."""
        return None if self.current is None or self._same_inputs else self.current.id

    @property
    def _same_inputs(self) -> bool:
        return self.current is not None and SurveyInputs.of(self.current) == self.inputs


def survey_state(conn: Connection, inputs: SurveyInputs) -> SurveyState:
    """The state for the key of `inputs`, locked until the transaction ends."""
    lock(conn)
    return SurveyState(inputs, current_survey(conn, inputs.key), prior_digest(conn, inputs.key))


def stale_survey(conn: Connection, key: SurveyKey) -> Survey | None:
    """The current survey of `key` if its prior surveys have changed since it was recorded, else None."""
    lock(conn)
    survey = current_survey(conn, key)
    return None if survey is None or survey.prior_digest == prior_digest(conn, key) else survey


def record(
    conn: Connection,
    state: SurveyState,
    draft: SurveyDraft,
    *,
    run_id: UUID | None = None,
    done_tasks: Sequence[UUID] = (),
) -> tuple[Survey, bool]:
    """Record a draft as the current survey of its key.

    Args:
        state: from `survey_state`, in the same transaction.
        done_tasks: keys of the tasks to mark as done.

    Returns:
        the survey, and whether it differs from the one that was current.
    """
    inputs, key = state.inputs, state.inputs.key
    parts = [key.region, key.season, key.kind.value, key.source, inputs.digest, inputs.inventory_id]
    parts += [json.dumps(dict(inputs.drawn_from), sort_keys=True), draft.digest]
    survey = Survey(
        id=uuid5(NAMESPACE, "|".join(map(str, parts))),
        region=key.region,
        season=key.season,
        kind=key.kind,
        source=key.source,
        digest=inputs.digest,
        run_id=run_id,
        drawn_from=inputs.drawn_from,
        inventory_id=inputs.inventory_id,
        content_digest=draft.digest,
        prior_digest=state.prior_digest,
        suspect=draft.suspect,
    )
    changed = record_survey(
        conn,
        survey,
        draft.observations,
        lakes=draft.lakes,
        lineage=draft.lineage,
        flags=draft.flags,
        done_tasks=done_tasks,
    )
    return survey, changed


def record_season(
    conn: Connection,
    cube: Cube,
    region: Region,
    manifest: Manifest,
    inputs: SurveyInputs,
    run_id: UUID | None,
    done_tasks: Sequence[UUID],
    progress: Progress = SILENT,
) -> bool:
    """Draft a season's survey from its layers in the cube, and record it.

    Returns:
        False when the current survey is up to date, or the new one equals it.
    """
    state = survey_state(conn, inputs)
    if state.current is not None and state.up_to_date:
        ledger.complete(conn, done_tasks, state.current.id)
        return False
    key, tiles = inputs.key, [tile_named(name) for name in sorted(inputs.drawn_from)]
    view = cube.view()
    previous = []
    for season in seasons_before(conn, key):
        # tiles that are not part of that season's survey are not read: they may be damaged
        compared = current_survey(conn, replace(key, season=season))
        lacking = [t for t in tiles if compared and compared.drawn_from.get(t.name, "") is None]
        previous.append(CubeTiles.of(view, season, tiles, lacking))
    prior = prior_surveys(conn, key, replaced=state.replaced)
    draft = draft_season(
        CubeTiles.of(view, key.season, tiles, [t for t in tiles if inputs.drawn_from[t.name] is None]),
        region,
        key.season,
        prior,
        previous,
        smallest_m2=manifest.smallest_lake_m2,
        sets=manifest.sets,
        kind=key.kind,
        progress=progress,
    )
    draft = draft.with_observations(located(draft.observations, region, tiles, inputs.drawn_from))
    survey, changed = record(conn, state, draft, run_id=run_id, done_tasks=done_tasks)
    tag = tag_of(key.region, key.season, survey.id)
    written_again = state.current is not None and state.current.written_again
    if written_again or (changed and cube.latest_tag(tag) is None):
        cube.tag_again(tag)
    return changed
