"""What a process predicts with: one model, opened once, and one thread."""

from __future__ import annotations

import gc
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from monitor.errors import MonitorError
from segmenter.protocol import Answer, Predicts, TileArrays

if TYPE_CHECKING:
    from segmenter.manifest import Manifest
    from segmenter.protocol import Segmenter

P = ParamSpec("P")
T = TypeVar("T")
_log = logging.getLogger(__name__)


class UnopenedError(MonitorError):
    """A process cannot open the model; the message names the process and the folder."""


@dataclass(frozen=True)
class ChosenModel:
    """The model of a run, as small as a task can carry it."""

    #: one, or those of an ensemble; the same wherever it is opened
    folders: tuple[Path, ...]
    #: fingerprint of the manifest that the run was planned with
    digest: str
    #: as `segmenter.opening.open_segmenter` takes it
    device: str = "auto"

    def __str__(self) -> str:
        return " and ".join(map(str, self.folders))


@dataclass(frozen=True)
class Opened:
    """What a process has to predict with."""

    #: fingerprint of the model it holds
    digest: str | None
    #: models opened since it started
    openings: int
    #: why the last one asked for could not be opened
    failure: str | None


@dataclass
class Predictor:
    """The model and the thread of this process; other threads only ask it.

    One prediction at a time: the network already uses every core or the whole GPU, and others read meanwhile.
    Always the same thread, for the opening too: OpenMP gives every thread that calls it a team with memory of
    its own.
    """

    #: this process, in an error
    name: str = "this process"
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="predicting")
    )
    _held: tuple[ChosenModel, Segmenter] | None = None
    #: scenes that wait for an answer, in the order in which they came; every one has a `_serve` to come
    _asked: deque[tuple[ChosenModel, TileArrays, Future[Answer]]] = field(default_factory=deque)
    _openings: int = 0
    _failure: str | None = None

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `function` on the thread that predicts, once it is free."""
        return self._thread.submit(function, *args, **kwargs)

    def manifest(self, chosen: ChosenModel) -> Manifest:
        """Of the chosen model, from any other thread; waits only where it must be opened first.

        Raises `UnopenedError` as `segmenter` does.
        """
        if (held := self._held) is not None and _same(held[0], chosen):
            return held[1].manifest
        return self.submit(self.segmenter, chosen).result().manifest

    def segmenter(self, chosen: ChosenModel) -> Segmenter:
        """The chosen model, on the thread that predicts; one that is held already is not opened again.

        Another takes the place of the one that is held, whose memory is given back first.

        Raises:
            UnopenedError: it cannot be opened here, or is not the one that the run was planned with.
        """
        if self._held is None or not _same(self._held[0], chosen):
            self._held = None
            gc.collect()  # a compiled network lies in cycles, and its memory may be all that the GPU has
            try:
                self._held = chosen, _open(chosen)
            except Exception as error:
                self._failure = f"{self.name} cannot open the model: {_remedied(error, chosen)}"
                _log.error(self._failure)
                raise UnopenedError(self._failure) from error
            self._failure = None
            self._openings += 1
        return self._held[1]

    def answer(self, chosen: ChosenModel, scene: TileArrays) -> Future[Answer]:
        """The chosen model's answer for a scene; on a GPU, scenes that wait share their batches."""
        future: Future[Answer] = Future()
        self._asked.append((chosen, scene, future))
        self.submit(self._serve, chosen)
        return future

    def _serve(self, chosen: ChosenModel) -> None:
        """Answer the scenes that wait for this model, on the thread that predicts."""
        taken: deque[Future[Answer]] = deque()

        def waiting() -> Iterator[TileArrays]:
            while self._asked and _same(self._asked[0][0], chosen):
                _, scene, future = self._asked.popleft()
                taken.append(future)
                yield scene

        scenes = waiting()
        try:
            for answer in self.segmenter(chosen).predict_all(scenes):
                taken.popleft().set_result(answer)
        except Exception as error:
            if not taken:  # the model could not even be opened
                next(scenes, None)
            for future in taken:
                future.set_exception(error)

    def opened(self) -> Opened:
        """What is held, on the thread that predicts."""
        return Opened(self._held[0].digest if self._held else None, self._openings, self._failure)


def _same(one: ChosenModel, other: ChosenModel) -> bool:
    """Whether they are one model; in which folder it lies makes no difference."""
    return (one.digest, one.device) == (other.digest, other.device)


def _open(chosen: ChosenModel) -> Segmenter:
    # Threads that wait by spinning starve the one that reads the next tile; OpenMP asks when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    from segmenter.opening import open_segmenter

    segmenter = open_segmenter(chosen.folders, chosen.device)
    if segmenter.manifest.fingerprint != chosen.digest:
        raise MonitorError(f"{chosen} does not hold the model that this run was planned with")
    return segmenter


def _remedied(error: Exception, chosen: ChosenModel) -> str:
    """Why a model could not be opened, and what to do."""
    from segmenter.errors import ManifestError, SegmenterError, WeightsError

    if isinstance(error, ManifestError | WeightsError | MonitorError):
        return f"{error}. Every worker needs the same model in the same folder"
    if isinstance(error, SegmenterError):
        return f"{chosen}: {error}"
    if type(error).__name__ == "OutOfMemoryError":  # torch's; this room does without it
        return f"{chosen}: {error} See with `nvidia-smi` what else the GPU holds"
    return f"{chosen}: {type(error).__name__}: {error}"


@dataclass(frozen=True)
class Asked(Predicts):
    """The chosen model for any other thread of this process. Implements `segmenter.protocol.Segmenter`."""

    chosen: ChosenModel
    predictor: Predictor

    @property
    def manifest(self) -> Manifest:
        return self.predictor.manifest(self.chosen)

    def predict_all(self, scenes: Iterable[TileArrays]) -> Iterator[Answer]:
        """See `segmenter.protocol.Predicts.predict_all`."""
        for future in [self.predictor.answer(self.chosen, scene) for scene in scenes]:
            yield future.result()


#: of this process
predictor = Predictor()
