"""Progress of the steps of a run, reported to a terminal, to a log, or not at all."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

#: seconds between two log lines about the same step
LOG_EVERY_S = 30.0

_log = logging.getLogger(__name__)


class Progress(Protocol):
    """Receives the steps of a run."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """A step of unknown length."""
        ...

    def count(self, name: str, total: int) -> AbstractContextManager[Callable[[], None]]:
        """A step of `total` parts; the function it yields is to be called after each part."""
        ...

    def note(self, text: str) -> None:
        """An event in a step, such as a failed tile."""
        ...


class SilentProgress:
    """Reports nothing."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        yield

    @contextmanager
    def count(self, name: str, total: int) -> Iterator[Callable[[], None]]:
        yield lambda: None

    def note(self, text: str) -> None:
        pass


SILENT = SilentProgress()


class LoggedProgress:
    """Writes lines to the log of this module, at the start and end of a step and at intervals.

    Args:
        title: prefix of each line, such as region and season.
        every_s: interval between lines, seconds.
    """

    def __init__(self, title: str, every_s: float = LOG_EVERY_S) -> None:
        self._title = title
        self._every_s = every_s

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        _log.info("%s: %s", self._title, name)
        yield
        _log.info("%s: %s: done in %s", self._title, name, duration(time.monotonic() - started))

    @contextmanager
    def count(self, name: str, total: int) -> Iterator[Callable[[], None]]:
        started = logged = time.monotonic()
        done = 0

        def step() -> None:
            nonlocal done, logged
            done += 1
            now = time.monotonic()
            if done < total and now - logged >= self._every_s:
                logged = now
                left = duration((now - started) / done * (total - done))
                _log.info("%s: %s %d/%d, about %s left", self._title, name, done, total, left)

        if total:
            _log.info("%s: %s 0/%d", self._title, name, total)
        yield step
        if total:
            passed = duration(time.monotonic() - started)
            _log.info("%s: %s %d/%d in %s", self._title, name, done, total, passed)

    def note(self, text: str) -> None:
        _log.warning("%s: %s", self._title, text)


def duration(seconds: float) -> str:
    """A duration as text: 8 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def readable_bytes(number: float) -> str:
    """A size as a person reads it, in decimal units: 850 kB, 1.2 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit in ("B", "kB") else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
