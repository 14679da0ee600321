"""An examination: checks side by side, each with its own deadline, and what they find."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from queue import Empty, SimpleQueue

from monitor.archive.signing import unsigned
from monitor.errors import MonitorError
from segmenter.errors import SegmenterError
from storage.errors import StorageError

#: who asks, and with which word, in an address with a password
_LOGIN = re.compile(r"(?<=://)[^\s/@]+@")


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """What one check found; `remedy` says what to do where something is wrong."""

    check: str
    state: State
    found: str
    remedy: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Check:
    """One look at one thing: None where there is nothing to look at, for something before it is broken."""

    name: str
    look: Callable[[], Finding | None]
    #: what to do when it does not answer
    remedy: str


def examine(groups: Sequence[Sequence[Check]], timeout: float) -> Iterator[Finding]:
    """What the checks find, in order. Groups run side by side, the checks of a group one after the other.

    A check that says nothing for `timeout` seconds is a problem, and ends its group.
    """
    answers: list[SimpleQueue[Finding | None]] = []
    for group in groups:
        queue: SimpleQueue[Finding | None] = SimpleQueue()
        # a thread that never comes back must not keep the process alive
        threading.Thread(target=_work, args=(group, queue), daemon=True).start()
        answers.append(queue)
    for group, queue in zip(groups, answers, strict=True):
        for check in group:
            try:
                finding = queue.get(timeout=timeout)
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
                found=_discreet(finding.found),
                remedy=_discreet(finding.remedy),
                seconds=round(time.perf_counter() - start, 3),
            )
        answers.put(finding)


def _looked(check: Check) -> Finding | None:
    try:
        return check.look()
    except (MonitorError, StorageError, SegmenterError) as error:
        return Finding(check.name, State.PROBLEM, str(error))  # these say themselves what to do
    except Exception as error:  # one check that breaks must not hide the others
        return Finding(check.name, State.PROBLEM, f"{type(error).__name__}: {error}", check.remedy)


def _discreet(text: str) -> str:
    """`text` without signatures, names and passwords in its addresses."""
    return _LOGIN.sub("***@", unsigned(text))
