"""Where the steps of dense prediction run: in threads of a CPU, or on one GPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from segmenter.protocol import ChipNetwork, Pixels

P = ParamSpec("P")
T = TypeVar("T")
Pending = Callable[[], T]
"""A function that waits for a value and returns it."""

_COPYING = 4
"""Threads that copy strips to pinned memory."""
_AHEAD = 2
"""Batches queued on a GPU before the host waits for the first."""


class Lane(Protocol):
    """Runs the steps of dense prediction in order, possibly concurrently with the caller."""

    device: torch.device
    #: number of forward passes that are begun before the first is waited for
    ahead: int
    #: whether pixels are predicted cell by cell of the grid, not block by block
    by_cells: bool

    def begin(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Pending[T]:
        """Begin a forward pass. Later steps of this lane may use its tensors without waiting."""
        ...

    def answer(self, step: Callable[[], Tensor]) -> Pending[Tensor]:
        """Begin `step`, whose tensor is returned on the host."""
        ...

    def reading(self) -> AbstractContextManager[None]:
        """Context in which tensors are computed concurrently with forward passes."""
        ...

    def moved(self, arrays: Sequence[Pixels]) -> list[Tensor]:
        """The arrays on the device, float32, read-only: on a CPU they may share the memory of the arrays."""
        ...

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Wait for tensors that were computed while `reading`, and let forward passes use them."""
        ...


@contextmanager
def lane(networks: Sequence[ChipNetwork]) -> Iterator[Lane]:
    """The lane for these networks, which must all be on one device."""
    device = networks[0].device
    if device.type == "cuda":
        with torch.cuda.device(device), ThreadPoolExecutor(_COPYING, "copying") as pool:
            yield Gpu(device, pool)
    elif device.type == "cpu" and all(network.batch == 1 for network in networks):
        with _threads() as pool:
            yield pool
    else:
        yield Inline(device)


class Inline:
    """Runs every step immediately, in the calling thread."""

    ahead = 0
    by_cells = True

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def begin(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Pending[T]:
        """See `Lane`."""
        value = step(*args, **kwargs)
        return lambda: value

    def answer(self, step: Callable[[], Tensor]) -> Pending[Tensor]:
        """See `Lane`."""
        # the number of threads would decide how a cell is divided, and so the rounding of its pixels
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            value = step().cpu()
        finally:
            torch.set_num_threads(threads)
        return lambda: value

    def reading(self) -> AbstractContextManager[None]:
        """See `Lane`."""
        return nullcontext()

    def moved(self, arrays: Sequence[Pixels]) -> list[Tensor]:
        """See `Lane`."""
        return [torch.from_numpy(np.require(array, np.float32, "W")).to(self.device) for array in arrays]

    def share(self, tensors: Sequence[Tensor]) -> None:
        """See `Lane`."""


class Threads(Inline):
    """One window per thread of a processor, each with one of torch's threads.

    Threads that share a window wait for one another after every product; side by side they need not, and a
    window's intermediate results stay in a core's own cache. It also makes a window's logits the same bit by
    bit in whichever scene it lies.
    """

    def __init__(self, pool: ThreadPoolExecutor, threads: int) -> None:
        super().__init__(torch.device("cpu"))
        self._pool, self.ahead = pool, 2 * threads

    def begin(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Pending[T]:
        """See `Lane`."""
        return self._pool.submit(step, *args, **kwargs).result

    def answer(self, step: Callable[[], Tensor]) -> Pending[Tensor]:
        """See `Lane`."""
        return self._pool.submit(step).result


@contextmanager
def _threads() -> Iterator[Threads]:
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, "segmenter", initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield Threads(pool, threads)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # the pool's threads set a part of it for the whole process


class Gpu:
    """One CUDA device: steps are queued on its current stream, scenes are copied on a second one."""

    ahead = 0  # what is queued can be used at once
    by_cells = False

    def __init__(self, device: torch.device, pool: ThreadPoolExecutor) -> None:
        self.device, self._pool = device, pool
        self._pinned = torch.empty(0)
        self._main = torch.cuda.current_stream(device)
        self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._queued: deque[torch.cuda.Event] = deque()

    def begin(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Pending[T]:
        """See `Lane`. Waits while the queue is full, which bounds the memory."""
        while len(self._queued) >= _AHEAD:
            self._queued.popleft().synchronize()
        value = step(*args, **kwargs)
        self._queued.append(self._recorded())
        return lambda: value

    def answer(self, step: Callable[[], Tensor]) -> Pending[Tensor]:
        """See `Lane`."""
        value = step()
        here = torch.empty(value.shape, dtype=value.dtype, pin_memory=True).copy_(value, non_blocking=True)
        copied = self._recorded()

        def wait() -> Tensor:
            copied.synchronize()
            return here

        return wait

    def reading(self) -> Any:
        """See `Lane`."""
        return torch.cuda.stream(self._copies)

    def moved(self, arrays: Sequence[Pixels]) -> list[Tensor]:
        """See `Lane`. The pinned memory is reused after `share`."""
        size = sum(array.size for array in arrays)
        if len(self._pinned) < size:
            self._pinned = torch.empty(size, pin_memory=True)
        parts = torch.split(self._pinned[:size], [array.size for array in arrays])
        here = [part.view(array.shape) for part, array in zip(parts, arrays, strict=True)]
        bands = [
            pair
            for part, array in zip(here, arrays, strict=True)
            for pair in zip(part.numpy(), array, strict=True)
        ]
        # one thread alone copies slower than a small network predicts
        deque(self._pool.map(lambda pair: np.copyto(*pair), bands), 0)
        return [part.to(self.device, non_blocking=True) for part in here]

    def share(self, tensors: Sequence[Tensor]) -> None:
        """See `Lane`."""
        self._copies.synchronize()
        for tensor in tensors:
            tensor.record_stream(self._main)

    def _recorded(self) -> torch.cuda.Event:
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record(self._main)
        return event
