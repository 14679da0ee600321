"""A standstill of the database's regions: no run records a season, on any machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from monitor.progress import Progress
from monitor.workspace import System
from storage import ledger, registry
from storage.codes import RunOutcome
from storage.locks import Holder, region_lock


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

    def waits(holder: Holder | None) -> None:
        progress.note(f"waiting for {holder}")

    try:
        with ExitStack() as stack:
            for name in names:  # sorted: two of these do not wait for one another
                stack.enter_context(region_lock(system.database, name, run_id, waiting=waits))
            ended(RunOutcome.DONE)  # before a dump, which else would have a run without an end
            yield
    except BaseException:
        ended(RunOutcome.FAILED)
        raise
