"""Who is told how far a run is; `monitor.console` shows it to a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from monitor.tiles import TileResult


class Watch(Protocol):
    """Hears of the steps of a run."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """A step that takes a while."""
        ...

    def count(self, name: str, total: int) -> AbstractContextManager[Callable[[], None]]:
        """A step of `total` parts; what it gives is called after each."""
        ...

    def tiles(self, total: int) -> AbstractContextManager[None]:
        """Tiles are about to be predicted; `tile` follows for each."""
        ...

    def tile(self, result: TileResult) -> None: ...


class Unwatched:
    """Nobody is told."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        yield

    @contextmanager
    def count(self, name: str, total: int) -> Iterator[Callable[[], None]]:
        yield lambda: None

    @contextmanager
    def tiles(self, total: int) -> Iterator[None]:
        yield

    def tile(self, result: TileResult) -> None:
        pass


UNWATCHED = Unwatched()
