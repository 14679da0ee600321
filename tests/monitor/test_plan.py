"""Tasks: their keys, what makes two runs the same run, and what is done about each."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
import shapely

from monitor.grid import tiles_of
from monitor.plan import Action, TileTask, decide, plan
from monitor.scenes import Scene, SceneList
from storage.codes import TaskState
from storage.ledger import TaskRow

AREA = shapely.box(77.0, 42.5, 77.1, 42.55)
WHEN = datetime(2022, 8, 15, tzinfo=UTC)


def scene(item_id: str, collection: str = "s2", baseline: str = "05.09", area=AREA) -> Scene:
    return Scene(item_id, collection, WHEN, {"geometry": shapely.geometry.mapping(area)}, baseline=baseline)


SCENES = SceneList((scene("a"), scene("b")), (scene("r", "s1", ""),), (scene("d", "dem", ""),))


def tasks(scenes: SceneList = SCENES, zone=AREA, **changes) -> list[TileTask]:
    settings = {"tile_size": 512, "model_digest": "m", "config_digest": "c", **changes}
    return plan("demo", settings.pop("season", 2022), AREA, zone, scenes, **settings)


def keys(*args, **kwargs) -> list[UUID]:
    return [task.key for task in tasks(*args, **kwargs)]


def row(task: TileTask, state: TaskState, **changes) -> TaskRow:
    made = TaskRow(
        key=task.key,
        region=task.region,
        tile=task.tile.name,
        season=task.season,
        model_digest=task.model_digest,
        config_digest=task.config_digest,
        state=state,
        reason="why",
        fault=None,
        run_id=None,
        survey_id=None,
        superseded_by=None,
        updated_at=WHEN,
    )
    return replace(made, **changes)


def test_a_task_for_every_tile_with_its_own_key() -> None:
    planned = tasks()
    assert [task.tile for task in planned] == tiles_of(AREA, 512)
    assert len({task.key for task in planned}) == len(planned) > 1
    assert keys() == keys(), "the same again"


@pytest.mark.parametrize(
    "changes",
    [
        {"season": 2023},
        {"model_digest": "other"},
        {"config_digest": "other"},
        {"scenes": replace(SCENES, optical=(scene("a"), scene("b"), scene("late")))},
        {"scenes": replace(SCENES, optical=(scene("b"), scene("a")))},
        {"scenes": replace(SCENES, optical=(scene("a"), scene("b", baseline="05.11")))},
        {"scenes": replace(SCENES, radar=())},
    ],
    ids=["season", "model", "settings", "a late scene", "order", "baseline", "no radar"],
)
def test_key_follows_everything_that_decides(changes: dict) -> None:
    assert not set(keys(**changes)) & set(keys())


def test_a_scene_elsewhere_changes_no_key() -> None:
    elsewhere = scene("x", area=shapely.box(80, 40, 80.1, 40.1))
    assert keys(replace(SCENES, optical=(*SCENES.optical, elsewhere))) == keys()
    assert keys(replace(SCENES, refused=(("y", "lacks the asset B01"),))) == keys()


def test_a_scene_over_one_tile_changes_that_tile() -> None:
    one = tasks()[0]
    late = scene("late", area=one.tile.footprint().centroid.buffer(0.001))
    assert [
        a == b for a, b in zip(keys(replace(SCENES, optical=(*SCENES.optical, late))), keys(), strict=True)
    ] == [
        False,
        *[True] * (len(tasks()) - 1),
    ]


@pytest.mark.parametrize(
    ("scenes", "zone", "why"),
    [
        (SCENES, AREA, None),
        (SCENES, shapely.Polygon(), "outside the glacier zone"),
        (replace(SCENES, optical=()), AREA, "no usable Sentinel-2 scene"),
        (
            replace(SCENES, radar=(), refused=(("r", "another pass"),)),
            AREA,
            "no usable Sentinel-1 scene (r: another pass)",
        ),
        (replace(SCENES, dem=()), AREA, "no usable DEM scene"),
    ],
)
def test_what_makes_a_tile_impossible(scenes: SceneList, zone, why: str | None) -> None:
    assert {task.impossible for task in tasks(scenes, zone)} == {why}


def decided(
    state: TaskState | None, *, in_cube: bool, earlier: TaskState | None = None, **changes
) -> tuple[Action, str]:
    task = tasks()[0]
    known = [] if state is None else [row(task, state)]
    old = UUID(int=1)
    if earlier is not None:
        known.append(row(task, earlier, key=old, **changes))
    written = {task.tile.name: task.key} if in_cube else {}
    (result,) = decide([task], known, written, {old: frozenset({"a", "r", "d", "gone"})})
    return result.action, result.why


@pytest.mark.parametrize(
    ("state", "in_cube", "action"),
    [
        (None, False, Action.NEW),
        (TaskState.PLANNED, False, Action.NEW),
        (TaskState.PLANNED, True, Action.NEW),
        (TaskState.WRITTEN, True, Action.FINISH),
        (TaskState.WRITTEN, False, Action.NEW),
        (TaskState.DONE, True, Action.DONE),
        (TaskState.DONE, False, Action.AGAIN),
        (TaskState.EMPTY, False, Action.DONE),
        (TaskState.EMPTY, True, Action.DONE),
        (TaskState.FAILED, False, Action.AGAIN),
        (TaskState.FAILED, True, Action.AGAIN),
    ],
)
def test_what_is_done_about_a_known_task(state: TaskState | None, in_cube: bool, action: Action) -> None:
    assert decided(state, in_cube=in_cube)[0] == action


@pytest.mark.parametrize("earlier", [TaskState.DONE, TaskState.EMPTY])
def test_a_late_scene_supersedes_and_says_why(earlier: TaskState) -> None:
    action, why = decided(None, in_cube=False, earlier=earlier)
    assert action == Action.SUPERSEDES and why == "new scenes: b; scenes no longer used: gone"


def test_another_model_and_other_settings_supersede() -> None:
    _, why = decided(None, in_cube=False, earlier=TaskState.DONE, model_digest="x", config_digest="y")
    assert why.startswith("another model; other settings")


def test_an_old_key_wanted_again_supersedes_its_successor() -> None:
    """Settings changed and changed back: the cube holds the other result, so the tile is done again."""
    action, why = decided(TaskState.SUPERSEDED, in_cube=False, earlier=TaskState.DONE, model_digest="x")
    assert action == Action.SUPERSEDES and "another model" in why


def test_failed_before_is_never_a_reason_to_supersede() -> None:
    assert decided(None, in_cube=False, earlier=TaskState.FAILED) == (Action.NEW, "never done")
