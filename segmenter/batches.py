"""Windows through networks, in order, in batches that go on over the ends of blocks and scenes."""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from segmenter.errors import SegmenterError
from segmenter.lanes import Lane, Pending
from segmenter.members import FLIPS, members
from segmenter.protocol import ChipNetwork
from segmenter.strips import BANDS, Strip
from segmenter.windows import Window


@dataclass(frozen=True, eq=False)
class Job:
    """A window of a scene; or, without a window, the end of a block of them."""

    sweep: Any
    """Receives the logits."""
    window: Window | None = None
    strip: Strip | None = None
    """Contains the window."""


Logits = list[Tensor]
"""Of one window: (planes, chip, chip) of each network, times the weights of the window's pixels."""


def answers(
    lane: Lane, networks: Sequence[ChipNetwork], weights: Tensor, jobs: Iterable[Job]
) -> Iterator[tuple[Job, Logits]]:
    """Every job with its logits (none at the end of a block), in the order of the jobs.

    `weights` (chip, chip) are those of a window's pixels. Raises `SegmenterError` when memory does not do for
    a single window.
    """
    # terratorch, once anybody imports it, lowers the process's; a pixel's answer must be every process's
    torch.set_float32_matmul_precision("highest")
    room = min(_windows(network) for network in networks)
    running: deque[tuple[list[Job], Pending[_Batch] | None]] = deque()
    begun = 0

    def settled() -> Iterator[tuple[Job, Logits]]:
        nonlocal room, begun
        group, pending = running.popleft()
        batch = pending() if pending is not None else None
        begun -= batch is not None
        logits = iter(batch.windows if batch is not None else [])
        room = min(room, batch.room if batch is not None else room)
        for job in group:
            yield job, [] if job.window is None else next(logits)

    for group in _groups(jobs, lambda: room):
        windows = [job for job in group if job.window is not None]
        running.append((group, lane.begin(_forward, networks, weights, windows) if windows else None))
        begun += bool(windows)
        while running and (begun > lane.ahead or running[0][1] is None):
            yield from settled()
    while running:
        yield from settled()


def _windows(network: ChipNetwork) -> int:
    """Number of windows that fill a forward pass with their flips."""
    return max(network.batch // (len(FLIPS) if network.manifest.flips else 1), 1)


def _groups(jobs: Iterable[Job], room: Callable[[], int]) -> Iterator[list[Job]]:
    """The jobs in groups of `room` windows; ends of blocks go with the windows before them."""
    group: list[Job] = []
    windows = 0
    for job in jobs:
        if job.window is not None and windows >= room():
            yield group
            group, windows = [], 0
        group.append(job)
        windows += job.window is not None
    if group:
        yield group


@dataclass(frozen=True, eq=False)
class _Batch:
    windows: list[Logits]
    room: int
    """Largest number of windows that fitted in memory at once."""


def _forward(networks: Sequence[ChipNetwork], weights: Tensor, jobs: Sequence[Job]) -> _Batch:
    """The jobs' windows through every network."""

    def run(number: int, jobs: Sequence[Job]) -> Tensor:
        chip = weights.shape[-1]
        chips = torch.stack([_cut(job, number, chip) for job in jobs])
        optical, radar, dem = (part.contiguous() for part in torch.split(chips, list(BANDS), 1))
        return members(networks[number], optical, radar, dem).float() * weights

    with torch.inference_mode():
        done = [_halving(partial(run, number), jobs, weights.shape[-1]) for number in range(len(networks))]
    each = zip(*([window for part in parts for window in part] for parts in done), strict=True)
    return _Batch(list(map(list, each)), min((max(map(len, parts)) for parts in done), default=sys.maxsize))


def _cut(job: Job, network: int, chip: int) -> Tensor:
    """(15, chip, chip) of a job's window."""
    assert job.strip is not None and job.window is not None
    left = job.window.col - job.strip.first
    return job.strip.pixels[network][:, :, left : left + chip]


def _halving(run: Callable[[Sequence[Job]], Tensor], jobs: Sequence[Job], chip: int) -> list[Tensor]:
    """`run` on a batch; where memory does not do for it, on its halves."""
    try:
        return [run(jobs)]
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _no_memory(error):
            raise
        if len(jobs) == 1:
            raise SegmenterError(
                f"there is not enough memory for one window of {chip} px ({error}); "
                "use a smaller model, or a device with more memory"
            ) from error
    # outside the handler, whose traceback would keep what the batch had allocated
    torch.cuda.empty_cache()
    half = len(jobs) // 2
    return [*_halving(run, jobs[:half], chip), *_halving(run, jobs[half:], chip)]


def _no_memory(error: BaseException) -> bool:
    """Processors report it as a plain RuntimeError of the allocator."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)
