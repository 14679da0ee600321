"""Runs of several seasons and regions; the ledger records them as one run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from monitor.compute.cluster import Workers
from monitor.history.regions import refuse_other_name
from monitor.history.replay import replay_stale
from monitor.plan import Redo
from monitor.progress import Progress
from monitor.run import Report, run_season
from monitor.workspace import System
from storage import ledger
from storage.codes import RunOutcome


@dataclass(frozen=True)
class Outcome:
    """Result of a run."""

    reports: tuple[Report, ...]
    #: region and season of surveys that are stale, and that this workspace cannot replay
    stale: tuple[tuple[str, int], ...] = ()


def run_seasons(
    system: System,
    regions: Sequence[str],
    years: Sequence[int],
    command: str,
    progress_of: Callable[[str], Progress],
    redo: Redo | None = None,
) -> Outcome:
    """Bring seasons up to date, one after the other, then replay the surveys that became stale.

    Args:
        command: the command, as the ledger records it.
        progress_of: returns the progress of a title, such as region and season.
        redo: finished tiles that are predicted again.

    Raises:
        RefusedError: the model does not fit the catalogue; nothing is recorded then. Or `redo` has no tile of
            the season.
    """
    workspace = system.workspace
    workspace.profile  # noqa: B018 - a model that does not fit the catalogue is refused before a run begins
    with system.database.connect() as conn:
        for name in regions:
            refuse_other_name(conn, workspace, name)
    workers = Workers(workspace.settings.cluster)
    with system.database.begin() as conn:
        run_id = ledger.start_run(conn, command, workspace.settings.model_dump(mode="json"))
    reports: list[Report] = []
    ended = RunOutcome.FAILED
    try:
        with workers as pool:
            for name in regions:
                for year in years:
                    progress = progress_of(f"{name} {year}")
                    reports.append(run_season(system, pool, name, year, progress, run_id, redo))
            with progress_of("history").stage("replaying later seasons"):
                replayed = replay_stale(system)
        if not any(report.failed for report in reports):
            ended = RunOutcome.DONE
    finally:
        counts = {f"{report.region} {report.season}": report.tiles for report in reports}
        with system.database.begin() as conn:
            ledger.finish_run(conn, run_id, ended, counts)
    return Outcome(tuple(reports), replayed.stale)


def stale_words(stale: Iterable[tuple[str, int]]) -> list[str]:
    """A line for each stale survey that this workspace cannot replay."""
    return [
        f"{region} {season} was recorded before an earlier season arrived and must be replayed, but this "
        "workspace lacks its layers or its region's files: run "
        f"`monitor run --region {region} --season {season}` in the workspace that has them."
        for region, season in stale
    ]
