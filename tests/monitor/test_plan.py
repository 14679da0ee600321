"""Tasks: their keys, repeated runs, and the action for each known task."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
import shapely

from monitor.archive.explanations import Explanation, Refusal
from monitor.archive.scenes import NEAR, Choice, Scene, SceneList
from monitor.errors import AssetError, RefusedError
from monitor.grid import cells_near, cells_of, tiles_of
from monitor.plan import Action, Planned, Redo, TileTask, Why, decide, plan, season_size, size_of
from storage.codes import SurveyKind, TaskState
from storage.cube_layout import BYTES_PER_PIXEL
from storage.ledger import TaskRow

AREA = shapely.box(77.0, 42.5, 77.1, 42.55)
WHEN = datetime(2022, 8, 15, tzinfo=UTC)


def scene(item_id: str, collection: str = "s2", baseline: str = "05.09", area=AREA) -> Scene:
    return Scene(item_id, collection, WHEN, {"geometry": shapely.geometry.mapping(area)}, baseline=baseline)


def listed(*optical: Scene, radar: str | None = "r", dem: str | None = "d", **changes) -> SceneList:
    """Scene list in which every cell uses all scenes, in this order."""
    radars = (scene(radar, "s1", ""),) if radar else ()
    ground = (scene(dem, "dem", ""),) if dem else ()
    ids = tuple(s.id for s in optical)
    choices = tuple(Choice(cell, ids, tuple(s.id for s in radars)) for cell in cells_of(AREA))
    return replace(SceneList(optical, radars, ground, choices), **changes)


SCENES = listed(scene("a"), scene("b"))


def tasks(scenes: SceneList = SCENES, zone=AREA, **changes) -> list[TileTask]:
    settings = {"tile_size": 512, "model_digest": "m", "config_digest": "c", **changes}
    return plan("demo", settings.pop("season", 2022), zone, scenes, **settings)


def keys(*args, **kwargs) -> list[UUID]:
    return [task.key for task in tasks(*args, **kwargs)]


def row(task: TileTask, state: TaskState, **changes) -> TaskRow:
    made = TaskRow(
        key=task.key,
        region=task.region,
        tile=task.tile.name,
        season=task.season,
        kind=SurveyKind.MODEL,
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
    assert keys() == keys(), "keys are reproducible"


@pytest.mark.parametrize(
    "changes",
    [
        {"season": 2023},
        {"model_digest": "other"},
        {"config_digest": "other"},
        {"scenes": listed(scene("a"), scene("b"), scene("late"))},
        {"scenes": listed(scene("b"), scene("a"))},
        {"scenes": listed(scene("a"), scene("b", baseline="05.11"))},
        {"scenes": listed(scene("a"), scene("b"), radar=None)},
        {"scenes": listed(scene("a"), scene("b"), dem="other")},
    ],
    ids=["season", "model", "settings", "a late scene", "order", "baseline", "no radar", "another DEM"],
)
def test_everything_that_affects_a_result_changes_the_key(changes: dict) -> None:
    assert not set(keys(**changes)) & set(keys())


def test_unused_scenes_do_not_change_keys() -> None:
    refused = (("y", Refusal.LACKS_ASSETS.because(assets=("B01",))),)
    assert keys(replace(SCENES, optical=(*SCENES.optical, scene("x")), refused=refused)) == keys()


def test_a_scene_of_one_cell_changes_the_tiles_that_use_the_cell() -> None:
    last = max(choice.cell for choice in SCENES.choices)
    choices = tuple(
        replace(choice, optical=("late",)) if choice.cell == last else choice for choice in SCENES.choices
    )
    late = replace(SCENES, optical=(*SCENES.optical, scene("late")), choices=choices)
    affected = {task.tile for task in tasks() if last in cells_near(task.tile, NEAR)}
    changed = {task.tile for task, old in zip(tasks(late), keys(), strict=True) if task.key != old}
    assert changed == affected


def test_only_tiles_that_touch_the_zone() -> None:
    corner = shapely.box(77.0, 42.5, 77.01, 42.51)
    assert (
        {task.tile for task in tasks(zone=corner)} == set(tiles_of(corner, 512)) < {t.tile for t in tasks()}
    )


def test_an_unreadable_file_becomes_the_fault_of_its_tiles() -> None:
    error = AssetError("s", "SCL", "https://x", "HTTP 503")
    broken = replace(SCENES, choices=tuple(replace(c, optical=(), fault=error) for c in SCENES.choices))
    assert {task.fault for task in tasks(broken)} == {error} and {task.fault for task in tasks()} == {None}
    assert not set(keys(broken)) & set(keys())


@pytest.mark.parametrize(
    ("scenes", "why"),
    [
        (SCENES, None),
        (listed(), "no usable Sentinel-2 scene"),
        (
            listed(scene("a"), radar=None, refused=(("r", Refusal.OTHER_MODE.because(mode="EW")),)),
            "no usable Sentinel-1 scene (r: instrument mode EW, not IW)",
        ),
        (listed(scene("a"), dem=None), "no usable DEM scene"),
    ],
)
def test_missing_scenes_make_a_tile_impossible(scenes: SceneList, why: str | None) -> None:
    found = {task.impossible for task in tasks(scenes)}
    assert {None if one is None else str(one) for one in found} == {why}
    planned = decide(tasks(scenes), [], {}, {})
    assert {entry.explanations for entry in planned} == (
        {(one,) for one in found if one} or {(Why.NEVER_DONE.because(),)}
    )


FULL, NO_RADAR, NO_DEM, OPTICAL, NO_OPTICAL = 7, 5, 3, 1, 6
SETS = (FULL, NO_RADAR, NO_DEM, OPTICAL, NO_OPTICAL)


@pytest.mark.parametrize(
    ("scenes", "sets", "used", "words"),
    [
        (SCENES, SETS, FULL, ""),
        (
            listed(scene("a"), radar=None),
            SETS,
            NO_RADAR,
            "; S2L2A+DEM only, no usable Sentinel-1 scene",
        ),
        (listed(), SETS, NO_OPTICAL, "; S1+DEM only, no usable Sentinel-2 scene"),
        (listed(scene("a"), dem=None), SETS, NO_DEM, "; S2L2A+S1 only, no usable DEM scene"),
        (
            listed(scene("a"), radar=None, dem=None),
            SETS,
            OPTICAL,
            "; S2L2A only, no usable Sentinel-1, DEM scene",
        ),
        # a tile has radar, but the model was not validated for it alone
        (listed(dem=None), SETS, 0, "no usable Sentinel-2 scene"),
        (listed(), (FULL, NO_RADAR), 0, "no usable Sentinel-2 scene"),
        (listed(radar=None), SETS, 0, "no usable Sentinel-2 scene"),
    ],
)
def test_a_tile_is_predicted_with_the_best_validated_set(
    scenes: SceneList, sets: tuple[int, ...], used: int, words: str
) -> None:
    planned = decide(tasks(scenes, sets=sets), [], {}, {})
    assert {entry.task.used for entry in planned} == {used}
    assert {entry.words for entry in planned} == {f"never done{words}" if used else words}
    assert {entry.task.impossible is None for entry in planned} == {used > 0}
    assert size_of(planned).tiles == (len(planned) if used else 0)
    assert [entry.task.key for entry in planned] == keys(scenes), "the sets are part of the model's digest"


def test_a_tile_with_fewer_sensors_is_done_again_by_that_reason() -> None:
    planned = decide(tasks(listed(scene("a"), radar=None), sets=SETS), [], {}, {})
    done = [replace(entry, action=Action.DONE, why=(Why.DONE.because(),)) for entry in planned]
    again = Redo(reason="no usable sentinel-1").applied(done)
    assert {entry.words for entry in again} == {
        "asked for again (done before); S2L2A+DEM only, no usable Sentinel-1 scene"
    }


def decided(
    state: TaskState | None, *, in_cube: bool, earlier: TaskState | None = None, **changes
) -> tuple[Action, tuple[Explanation, ...]]:
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
def test_action_for_a_known_task(state: TaskState | None, in_cube: bool, action: Action) -> None:
    assert decided(state, in_cube=in_cube)[0] == action


@pytest.mark.parametrize("earlier", [TaskState.DONE, TaskState.EMPTY])
def test_a_late_scene_supersedes_with_the_reason(earlier: TaskState) -> None:
    action, why = decided(None, in_cube=False, earlier=earlier)
    assert action == Action.SUPERSEDES
    assert why == (Why.NEW_SCENES.because(scenes=("b",)), Why.SCENES_GONE.because(scenes=("gone",)))
    assert [str(one) for one in why] == ["new scenes: b", "scenes no longer used: gone"]


def test_another_model_and_other_settings_supersede() -> None:
    _, why = decided(None, in_cube=False, earlier=TaskState.DONE, model_digest="x", config_digest="y")
    assert [str(one) for one in why[:2]] == ["another model", "other settings"]


def test_an_old_key_planned_again_supersedes_its_successor() -> None:
    """Settings changed and changed back: the cube holds the other result, so the tile is computed again."""
    action, why = decided(TaskState.SUPERSEDED, in_cube=False, earlier=TaskState.DONE, model_digest="x")
    assert action == Action.SUPERSEDES and Why.OTHER_MODEL.because() in why


def test_a_failed_task_is_not_superseded() -> None:
    assert decided(None, in_cube=False, earlier=TaskState.FAILED) == (
        Action.NEW,
        (Why.NEVER_DONE.because(),),
    )


def test_another_order_of_the_same_scenes_supersedes() -> None:
    task = tasks()[0]
    known = [row(task, TaskState.DONE, key=UUID(int=1))]
    (planned,) = decide([task], known, {}, {UUID(int=1): frozenset({"a", "b", "r", "d"})})
    assert planned.why == (Why.OTHER_ORDER.because(),)


@pytest.mark.parametrize("state", [TaskState.EMPTY, TaskState.FAILED])
def test_the_reason_in_the_ledger_is_part_of_the_explanation(state: TaskState) -> None:
    _, why = decided(state, in_cube=False)
    code = {TaskState.EMPTY: Why.EMPTY, TaskState.FAILED: Why.FAILED}[state]
    assert why == (code.because(reason="why"),)


def test_size_of_a_season_counts_every_tile_once() -> None:
    size, pixels = season_size([AREA], 512), len(tiles_of(AREA, 512)) * 512**2
    assert size.tiles == len(tiles_of(AREA, 512))
    assert size.disk_bytes == pixels * BYTES_PER_PIXEL
    assert season_size([AREA, AREA], 512).disk_bytes == 2 * size.disk_bytes
    # four dates of Sentinel-2 at 11.4 bytes per pixel, four of Sentinel-1 at 8
    assert size.download_bytes == pytest.approx(78 * size.tiles * 1024**2, rel=0.01)
    assert size.scenes is None


def test_size_of_a_plan_counts_what_is_to_predict() -> None:
    first, *others = tasks()
    new = [Planned(task, Action.NEW, (Why.NEVER_DONE.because(),)) for task in others]
    planned = [Planned(first, Action.DONE, (Why.DONE.because(),)), *new]
    size = size_of(planned)
    assert (size.tiles, size.scenes) == (len(others), 3)
    assert size.disk_bytes == len(others) * 512**2 * BYTES_PER_PIXEL
    assert size.download_bytes == pytest.approx((2 * 11.4 + 8 + 0.4) * len(others) * 1024**2, rel=0.01)
    assert f"{len(others)} tiles, 3 scenes, about " in str(size)
    assert size_of(planned[:1]).tiles == size_of(planned[:1]).download_bytes == 0


def finished_plan() -> list[Planned]:
    """Two finished tiles, two empty ones and one that was never done."""
    states = [TaskState.DONE, TaskState.DONE, TaskState.EMPTY, TaskState.EMPTY, None]
    some = tasks()[: len(states)]
    known = [row(task, state) for task, state in zip(some, states, strict=True) if state is not None]
    return decide(some, known, {task.tile.name: task.key for task in some}, {})


def test_a_finished_tile_is_done_again_under_its_key() -> None:
    planned = finished_plan()
    again = Redo(tile=planned[1].task.tile.name).applied(planned)
    assert [entry.task for entry in again] == [entry.task for entry in planned]
    assert [entry.action for entry in again] == [
        Action.DONE, Action.AGAIN, Action.DONE, Action.DONE, Action.NEW,
    ]  # fmt: skip
    assert again[1].words == "asked for again (done before)"
    everything = Redo().applied(planned)
    assert [entry.action for entry in everything] == [Action.AGAIN] * 4 + [Action.NEW]
    assert everything[4] == planned[4]


def test_tiles_are_selected_by_their_explanation() -> None:
    planned = finished_plan()
    again = Redo(reason="EMPTY: Why").applied(planned)
    assert [entry.to_predict for entry in again] == [False, False, True, True, True]
    one = Redo(tile=planned[3].task.tile.name, reason="empty").applied(planned)
    assert [entry.to_predict for entry in one] == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("redo", "message"),
    [
        (Redo(tile="32643_512_1_1"), r"--tile: the region has no tile '32643_512_1_1' .* 32643_512_"),
        (Redo(reason="all cloud"), r"--reason: no tile has 'all cloud' .* there is: done before; empty: why"),
    ],
)
def test_a_selection_without_a_tile_is_refused(redo: Redo, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        redo.applied(finished_plan())
