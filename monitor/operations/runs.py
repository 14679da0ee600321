"""Runs of several seasons and regions; the ledger records them as one run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from monitor.compute.cluster import Workers
from monitor.history.regions import refuse_other_name
from monitor.history.replay import replay_stale
from monitor.operations.calendar import Night
from monitor.operations.standstill import hold
from monitor.plan import Redo
from monitor.progress import Progress
from monitor.run import Report, run_season
from monitor.workspace import System
from storage import ledger, nights
from storage.codes import RunOutcome
from storage.locks import RegionLock


@dataclass(frozen=True)
class Wanted:
    """A season of a region that is to be brought up to date."""

    region: str
    season: int
    #: of the schedule; it is run once, by whichever scheduler is first
    night: Night | None = None


@dataclass(frozen=True)
class Outcome:
    """Result of a run."""

    reports: tuple[Report, ...]
    #: region and season of surveys that are stale, and that this workspace cannot replay
    stale: tuple[tuple[str, int], ...] = ()


def run_seasons(
    system: System,
    wanted: Sequence[Wanted],
    command: str,
    progress_of: Callable[[str], Progress],
    redo: Redo | None = None,
    *,
    urgent: bool = True,
) -> Outcome:
    """Bring seasons up to date, one after the other, then replay the surveys that became stale.

    Each season waits until no other run has its region (`storage.locks`).

    Args:
        command: the command, as the ledger records it.
        progress_of: returns the progress of a title, such as region and season.
        redo: finished tiles that are predicted again.
        urgent: between two seasons, another run that is urgent goes first only if this one is not.

    Raises:
        RefusedError: the model does not fit the catalogue; nothing is recorded then. Or `redo` has no tile of
            the season.
    """
    workspace = system.workspace
    workspace.profile  # noqa: B018 - a model that does not fit the catalogue is refused before a run begins
    with system.database.connect() as conn:
        for name in dict.fromkeys(each.region for each in wanted):
            refuse_other_name(conn, workspace, name)
    workers = Workers(workspace.settings.cluster)
    with system.database.begin() as conn:
        run_id = ledger.start_run(conn, command, workspace.settings.model_dump(mode="json"))
    reports: list[Report] = []
    ended = RunOutcome.FAILED
    try:
        with workers as pool:
            for each in wanted:
                progress = progress_of(f"{each.region} {each.season}")
                with hold(system, each.region, run_id, progress, urgent=urgent) as lock:
                    report = _run(system, pool, lock, each, progress, redo)
                reports += [] if report is None else [report]
            with progress_of("history").stage("replaying later seasons"):
                replayed = replay_stale(system)
        if not any(report.failed for report in reports):
            ended = RunOutcome.DONE
    finally:
        counts = {f"{report.region} {report.season}": report.tiles for report in reports}
        with system.database.begin() as conn:
            ledger.finish_run(conn, run_id, ended, counts)
    return Outcome(tuple(reports), replayed.stale)


def _run(
    system: System, pool: Workers, lock: RegionLock, wanted: Wanted, progress: Progress, redo: Redo | None
) -> Report | None:
    """Bring a season up to date; None if its night was run already. An interrupted night begins again."""
    night = wanted.night
    if night is None:
        return run_season(system, pool, lock, wanted.season, progress, redo)
    place = night.region, night.day, night.season
    with lock.begin() as conn:
        begun = nights.begin(conn, *place, final=night.final, run_id=lock.run_id)
    if not begun:
        progress.note("this night has been run already")
        return None
    report = run_season(system, pool, lock, wanted.season, progress, redo)
    with lock.begin() as conn:
        nights.end(conn, *place, RunOutcome.FAILED if report.failed else RunOutcome.DONE)
    return report


def seasons_of(regions: Iterable[str], years: Iterable[int]) -> list[Wanted]:
    """Each year of each region."""
    return [Wanted(region, year) for region, year in product(regions, years)]


def stale_words(stale: Iterable[tuple[str, int]]) -> list[str]:
    """A line for each stale survey that this workspace cannot replay."""
    return [
        f"{region} {season} was recorded before an earlier season arrived and must be replayed, but this "
        "workspace lacks its layers or its region's files: run "
        f"`monitor run --region {region} --season {season}` in the workspace that has them."
        for region, season in stale
    ]
