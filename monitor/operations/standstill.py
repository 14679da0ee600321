"""Holding one region for a run, or all regions of the database, on any machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from uuid import UUID

from monitor.progress import Progress
from monitor.workspace import System
from storage import ledger, registry
from storage.codes import RunOutcome
from storage.locks import Holder, RegionLock, region_lock


def hold(
    system: System, region: str, run_id: UUID, progress: Progress, *, urgent: bool = True
) -> AbstractContextManager[RegionLock]:
    """Hold a region, see `storage.locks`; a run that it waits for is noted."""

    def waits(holder: Holder | None) -> None:
        progress.note(f"waiting for {holder}")

    return region_lock(system.database, region, run_id, urgent=urgent, waiting=waits)


@contextmanager
def standstill(system: System, command: str, progress: Progress) -> Iterator[None]:
    """Hold the locks of all regions of the database; waits for runs to end a season.

    Args:
        command: the command, as the ledger records it.
    """
    with system.database.begin() as conn:
        run_id = ledger.start_run(conn, command, {})
        names = sorted(registry.regions(conn))

    def ended(outcome: RunOutcome) -> None:
        with system.database.begin() as conn:
            ledger.finish_run(conn, run_id, outcome, {})

    try:
        with ExitStack() as stack:
            for name in names:  # sorted: two of these do not wait for one another
                stack.enter_context(hold(system, name, run_id, progress))
            ended(RunOutcome.DONE)  # before a dump, which else would have a run without an end
            yield
    except BaseException:
        ended(RunOutcome.FAILED)
        raise
