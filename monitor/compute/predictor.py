"""The model of a process, opened once, and the one thread that predicts with it."""

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
    """A reference to the model of a run, small enough to be sent with each task."""

    #: of the model, or of each model of an ensemble; the same on every machine
    folders: tuple[Path, ...]
    #: fingerprint of the manifest with which the run was planned
    digest: str
    #: as in `segmenter.opening.open_segmenter`
    device: str = "auto"

    def __str__(self) -> str:
        return " and ".join(map(str, self.folders))


@dataclass(frozen=True)
class Opened:
    """The state of a process's `Predictor`."""

    #: fingerprint of the open model
    digest: str | None
    #: number of models opened since the process started
    openings: int
    #: why the last model could not be opened, None if it could
    failure: str | None


@dataclass
class Predictor:
    """The open model of this process and the thread that predicts with it, shared by all other threads.

    There is one prediction at a time, because a network already uses all cores or the whole GPU; other
    threads read tiles meanwhile. Predictions and the opening of the model always run on the same thread,
    because OpenMP creates a team of threads, with memory of its own, for each thread that calls it.
    """

    #: name of this process in error messages
    name: str = "this process"
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="predicting")
    )
    _open: tuple[ChosenModel, Segmenter] | None = None
    #: scenes to predict, in the order of arrival; for each, `_predict_queued` is submitted
    _queue: deque[tuple[ChosenModel, TileArrays, Future[Answer]]] = field(default_factory=deque)
    _openings: int = 0
    _failure: str | None = None

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `function` on the predicting thread."""
        return self._thread.submit(function, *args, **kwargs)

    def manifest(self, chosen: ChosenModel) -> Manifest:
        """The manifest of a model, opened first if necessary. To be called from other threads.

        Raises:
            UnopenedError: as for `segmenter`.
        """
        if (current := self._open) is not None and _same(current[0], chosen):
            return current[1].manifest
        return self.submit(self.segmenter, chosen).result().manifest

    def segmenter(self, chosen: ChosenModel) -> Segmenter:
        """The segmenter of a model, opened if it is not open already. To be called on the predicting thread.

        If another model is open, it is closed and its memory is freed first.

        Raises:
            UnopenedError: the model cannot be opened, or differs from the one with which the run was planned.
        """
        if self._open is None or not _same(self._open[0], chosen):
            self._open = None
            gc.collect()  # compiled networks contain reference cycles, and may fill the memory of the GPU
            try:
                self._open = chosen, _opened_segmenter(chosen)
            except Exception as error:
                self._failure = f"{self.name} cannot open the model: {_failure_text(error, chosen)}"
                _log.error(self._failure)
                raise UnopenedError(self._failure) from error
            self._failure = None
            self._openings += 1
        return self._open[1]

    def predict(self, chosen: ChosenModel, scene: TileArrays) -> Future[Answer]:
        """Queue a scene for prediction by a model; on a GPU, queued scenes share batches."""
        future: Future[Answer] = Future()
        self._queue.append((chosen, scene, future))
        self.submit(self._predict_queued, chosen)
        return future

    def _predict_queued(self, chosen: ChosenModel) -> None:
        """Predict the scenes at the head of the queue that are for this model, on the predicting thread.

        If a batch of several scenes fails, each is predicted alone, so that only those at fault fail.
        """
        pending: deque[tuple[TileArrays, Future[Answer]]] = deque()

        def queued() -> Iterator[TileArrays]:
            while self._queue and _same(self._queue[0][0], chosen):
                _, scene, future = self._queue.popleft()
                pending.append((scene, future))
                yield scene

        scenes = queued()
        try:
            for answer in self.segmenter(chosen).predict_all(scenes):
                pending.popleft()[1].set_result(answer)
        except Exception as error:
            if not pending:  # the model could not be opened: the error is that of the first scene
                next(scenes, None)
            for scene, future in pending:
                if len(pending) == 1 or isinstance(error, UnopenedError):
                    future.set_exception(error)
                else:
                    self._predict_alone(chosen, scene, future)

    def _predict_alone(self, chosen: ChosenModel, scene: TileArrays, future: Future[Answer]) -> None:
        try:
            future.set_result(next(self.segmenter(chosen).predict_all([scene])))
        except Exception as error:
            future.set_exception(error)

    def opened(self) -> Opened:
        """The state of this predictor, on the predicting thread."""
        return Opened(self._open[0].digest if self._open else None, self._openings, self._failure)


def _same(one: ChosenModel, other: ChosenModel) -> bool:
    """Whether both are the same model on the same device; their folders may differ."""
    return (one.digest, one.device) == (other.digest, other.device)


def _opened_segmenter(chosen: ChosenModel) -> Segmenter:
    # OpenMP threads that spin while they wait slow down the thread that reads the next tile; OpenMP reads the
    # variables when torch is imported
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    from segmenter.opening import open_segmenter

    segmenter = open_segmenter(chosen.folders, chosen.device)
    if segmenter.manifest.fingerprint != chosen.digest:
        raise MonitorError(f"{chosen} is not the model with which this run was planned")
    return segmenter


def _failure_text(error: Exception, chosen: ChosenModel) -> str:
    """Why a model could not be opened, with advice."""
    from segmenter.errors import ManifestError, SegmenterError, WeightsError

    if isinstance(error, ManifestError | WeightsError | MonitorError):
        return f"{error}. All workers need the same model in the same folder"
    if isinstance(error, SegmenterError):
        return f"{chosen}: {error}"
    if type(error).__name__ == "OutOfMemoryError":  # of torch, which is not imported here
        return f"{chosen}: {error} Check with `nvidia-smi` which other processes use the GPU"
    return f"{chosen}: {type(error).__name__}: {error}"


@dataclass(frozen=True)
class QueuedSegmenter(Predicts):
    """A segmenter for other threads, which queues scenes. Implements `segmenter.protocol.Segmenter`."""

    chosen: ChosenModel
    predictor: Predictor

    @property
    def manifest(self) -> Manifest:
        return self.predictor.manifest(self.chosen)

    def predict_all(self, scenes: Iterable[TileArrays]) -> Iterator[Answer]:
        """See `segmenter.protocol.Predicts.predict_all`."""
        for future in [self.predictor.predict(self.chosen, scene) for scene in scenes]:
            yield future.result()


#: the predictor of this process
predictor = Predictor()
