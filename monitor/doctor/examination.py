"""Runs checks in parallel, each with a time limit, and collects their findings."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from queue import Empty, SimpleQueue

from monitor.errors import MonitorError
from segmenter.errors import SegmenterError
from storage.errors import StorageError
from storage.redaction import redacted


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """The result of one check; `remedy` says how to correct a problem."""

    check: str
    state: State
    found: str
    remedy: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Check:
    """One check; `look` returns None if it cannot be done because an earlier check of its group failed."""

    name: str
    look: Callable[[], Finding | None]
    #: what to do when the check does not end in time or raises an unexpected error
    remedy: str
    #: it reads everything, so that it has no limit of time
    unlimited: bool = False


def examine(groups: Sequence[Sequence[Check]], timeout: float) -> Iterator[Finding]:
    """The findings of the checks, in order. Groups run in parallel, the checks of a group in sequence.

    A check that does not end within `timeout` seconds is a problem and ends its group, unless it has none.
    """
    answers: list[SimpleQueue[Finding | None]] = []
    for group in groups:
        queue: SimpleQueue[Finding | None] = SimpleQueue()
        # a thread that does not end must not keep the process alive
        threading.Thread(target=_work, args=(group, queue), daemon=True).start()
        answers.append(queue)
    for group, queue in zip(groups, answers, strict=True):
        for check in group:
            try:
                finding = queue.get(timeout=None if check.unlimited else timeout)
            except Empty:
                said = f"no answer within {timeout:g} s"
                yield Finding(check.name, State.PROBLEM, said, check.remedy, timeout)
                break
            if finding is not None:
                yield finding


def _work(group: Sequence[Check], answers: SimpleQueue[Finding | None]) -> None:
    for check in group:
        start = time.perf_counter()
        finding = _looked(check)
        if finding is not None:
            finding = replace(
                finding,
                found=redacted(finding.found),
                remedy=redacted(finding.remedy),
                seconds=round(time.perf_counter() - start, 3),
            )
        answers.put(finding)


def _looked(check: Check) -> Finding | None:
    try:
        return check.look()
    except (MonitorError, StorageError, SegmenterError) as error:
        return Finding(check.name, State.PROBLEM, str(error))  # the message says what to do
    except Exception as error:  # an error in one check must not end the others
        return Finding(check.name, State.PROBLEM, f"{type(error).__name__}: {error}", check.remedy)
