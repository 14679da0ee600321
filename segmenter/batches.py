"""Windows through networks, in order: one at a time on every core of a processor, or in batches on a GPU."""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segmenter.errors import SegmenterError
from segmenter.manifest import DEM_BANDS, OPTICAL_BANDS, RADAR_BANDS
from segmenter.members import members
from segmenter.normalise import normalise
from segmenter.protocol import ChipNetwork, Pixels, TileArrays
from segmenter.windows import Window

_BANDS = [len(OPTICAL_BANDS), len(RADAR_BANDS), len(DEM_BANDS)]
_AHEAD = 2
"""Windows handed to every thread, or batches to a GPU, before the first answer is waited for."""


@dataclass(frozen=True, eq=False)
class Job:
    """A window of a scene; or, without a window, the end of a block of them."""

    scene: TileArrays
    sweep: Any
    """Whoever the answer is for."""
    window: Window | None


Logits = list[Pixels]
"""Of one window: (planes, chip, chip) from each network."""


def answers(networks: Sequence[ChipNetwork], jobs: Iterable[Job]) -> Iterator[tuple[Job, Logits]]:
    """Every job with its logits (none at the end of a block), in the order of the jobs.

    Raises:
        SegmenterError: memory does not do for a single window.
    """
    # terratorch, once anybody imports it, lowers the process's; a pixel's answer must be every process's
    torch.set_float32_matmul_precision("highest")
    on_processor = all(network.device.type == "cpu" and network.batch == 1 for network in networks)
    return (_on_threads if on_processor else _in_batches)(networks, jobs)


def _on_threads(networks: Sequence[ChipNetwork], jobs: Iterable[Job]) -> Iterator[tuple[Job, Logits]]:
    """One window a thread, each with one of torch's threads.

    Threads that share a window wait for one another after every product; side by side they need not, and a
    window's intermediate results stay in a core's own cache. It also makes a window's logits the same bit by
    bit in whichever scene it is met.
    """
    threads = torch.get_num_threads()

    def run(job: Job) -> Logits:
        return _Batch(networks, [job], pinned=False).collect()[0]

    pool = ThreadPoolExecutor(threads, "segmenter", initializer=torch.set_num_threads, initargs=(1,))
    waiting: deque[tuple[Job, Future[Logits] | None]] = deque()
    try:
        for job in jobs:
            waiting.append((job, pool.submit(run, job) if job.window is not None else None))
            while len(waiting) > _AHEAD * threads:
                yield _settled(*waiting.popleft())
        while waiting:
            yield _settled(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # the pool's threads set a part of it for the whole process


def _settled(job: Job, future: Future[Logits] | None) -> tuple[Job, Logits]:
    return job, [] if future is None else future.result()


def _in_batches(networks: Sequence[ChipNetwork], jobs: Iterable[Job]) -> Iterator[tuple[Job, Logits]]:
    """Batches of windows, over the ends of blocks and scenes; the next is cut while one is computed."""
    room = min(network.batch for network in networks)
    pinned = all(network.device.type == "cuda" for network in networks)
    running: deque[tuple[list[Job], _Batch]] = deque()
    group: list[Job] = []
    for job in chain(jobs, [None]):
        windows = [other for other in group if other.window is not None]
        if job is None or (job.window is not None and len(windows) >= room):
            batch = _Batch(networks, windows, pinned)
            room = min(room, batch.room)
            running.append((group, batch))
            group = []
            if len(running) >= _AHEAD:
                yield from _collected(*running.popleft())
        if job is not None:
            group.append(job)
    while running:
        yield from _collected(*running.popleft())


def _collected(group: list[Job], batch: "_Batch") -> Iterator[tuple[Job, Logits]]:
    logits = iter(batch.collect())
    for job in group:
        yield job, [] if job.window is None else next(logits)


class _Batch:
    """Windows on their way through the networks; on a GPU, computed while the caller goes on."""

    def __init__(self, networks: Sequence[ChipNetwork], jobs: Sequence[Job], pinned: bool) -> None:
        self._done: list[list[Tensor]] = []
        self._event: Any = None
        if not jobs:
            return
        chip = networks[0].manifest.chip
        # allocated anew each time: torch keeps pinned blocks and hands one out again once it is copied
        cut = torch.empty(len(jobs), sum(_BANDS), chip, chip, pin_memory=pinned)
        for target, job in zip(cut.numpy(), jobs, strict=True):
            assert job.window is not None
            _cut(job.scene, job.window, target)
        with torch.inference_mode():
            self._done = [_halving(partial(_send, network, pinned=pinned), cut) for network in networks]
        if pinned:
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()

    @property
    def room(self) -> int:
        """The most windows that memory did for at once."""
        return max((len(part) for parts in self._done for part in parts), default=sys.maxsize)

    def collect(self) -> list[Logits]:
        """For each window the logits (planes, chip, chip) of every network; waits until they are there."""
        if self._event is not None:
            self._event.synchronize()
        whole = [list(chain.from_iterable(part.numpy() for part in parts)) for parts in self._done]
        return [list(window) for window in zip(*whole, strict=True)]


def _cut(scene: TileArrays, window: Window, target: NDArray[np.float32]) -> None:
    """Copy a window of a scene into `target`, (bands, chip, chip)."""
    top, left = window.row - scene.row, window.col - scene.col
    here = (..., slice(top, top + target.shape[-2]), slice(left, left + target.shape[-1]))
    optical, radar, dem = np.split(target, np.cumsum(_BANDS)[:-1])
    optical[:], radar[:], dem[:] = scene.optical[here], scene.radar[here], scene.dem[here]


def _send(network: ChipNetwork, cut: Tensor, *, pinned: bool) -> Tensor:
    """(B, planes, chip, chip) logits on the processor, or on their way there."""
    optical, radar, dem = torch.split(cut.to(network.device, non_blocking=pinned), _BANDS, 1)
    logits = members(network, *normalise(optical, radar, dem, network.manifest.inputs)).float()
    if not pinned:
        return logits.cpu()
    here = torch.empty(logits.shape, pin_memory=True)
    return here.copy_(logits, non_blocking=True)


def _halving(run: Callable[[Tensor], Tensor], cut: Tensor) -> list[Tensor]:
    """`run` on a batch; where memory does not do for it, on its halves."""
    try:
        return [run(cut)]
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _no_memory(error):
            raise
        if len(cut) == 1:
            raise SegmenterError(
                f"there is not enough memory for one window of {cut.shape[-1]} px ({error}); "
                "use a smaller model, or a device with more memory"
            ) from error
    # outside the handler, whose traceback would keep what the batch had allocated
    torch.cuda.empty_cache()
    half = len(cut) // 2
    return [*_halving(run, cut[:half]), *_halving(run, cut[half:])]


def _no_memory(error: BaseException) -> bool:
    """Processors report it as a plain RuntimeError of the allocator."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)
