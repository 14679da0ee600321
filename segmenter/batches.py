"""Windows through networks, in order, in batches that go on over the ends of blocks and scenes.

A forward pass is of one set of sensors. The windows of each set are gathered apart, so that windows of a rare
set do not split the batches of the common one, and the logits are yielded in the order of the windows.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from segmenter.errors import SegmenterError
from segmenter.lanes import Lane, Pending
from segmenter.members import FLIPS, members
from segmenter.normalise import relief
from segmenter.protocol import ChipNetwork
from segmenter.strips import BANDS, Strip
from segmenter.windows import Window

HELD = 4
"""Batches of windows that may wait, gathered or done, behind one of a rare set. More of them make its forward
passes fuller, and take more memory."""


@dataclass(frozen=True, eq=False)
class Job:
    """A window of a scene with a set of sensors; or, without a window, the end of a block of them."""

    sweep: Any
    """Receives the logits."""
    window: Window | None = None
    strip: Strip | None = None
    """Contains the window."""
    code: int = 0
    """Of the set of sensors; the others are absent."""
    mixed: bool = False
    """Whether pixels of other sets are to be answered in this window."""


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
    line = _Line(lane, networks, weights)
    for job in jobs:
        line.add(job)
        yield from line.settled(lane.ahead)
    line.begin_all()
    yield from line.settled(0)


@dataclass(eq=False)
class _Pass:
    """Windows of one set of sensors that go through the networks together."""

    jobs: list[Job] = field(default_factory=list)
    #: once begun
    pending: Pending["_Batch"] | None = None
    #: logits of the windows not yet yielded, once waited for
    done: Iterator[Logits] | None = None


class _Line:
    """The jobs whose logits are not yet yielded, in order, and the forward passes they are in."""

    def __init__(self, lane: Lane, networks: Sequence[ChipNetwork], weights: Tensor) -> None:
        self._lane, self._networks, self._weights = lane, networks, weights
        self._room = min(_windows(network) for network in networks)
        self._jobs: deque[tuple[Job, _Pass | None]] = deque()
        self._windows = 0
        #: passes that are not begun, by their set, the one with the first window first
        self._gathered: dict[int, _Pass] = {}
        #: passes that are begun and not waited for
        self._running = 0

    def add(self, job: Job) -> None:
        """Put a job at the end. A full pass begins, and one that holds back too many windows behind it."""
        if job.window is None:
            self._jobs.append((job, None))
            return
        gathered = self._gathered.setdefault(job.code, _Pass())
        gathered.jobs.append(job)
        self._jobs.append((job, gathered))
        self._windows += 1
        if len(gathered.jobs) >= self._room:
            self._begin(job.code)
        elif self._windows > HELD * self._room:
            self._begin(next(iter(self._gathered)))

    def begin_all(self) -> None:
        """Begin the passes that are not full."""
        for code in list(self._gathered):
            self._begin(code)

    def _begin(self, code: int) -> None:
        begun = self._gathered.pop(code)
        begun.pending = self._lane.begin(_forward, self._networks, self._weights, begun.jobs)
        self._running += 1

    def settled(self, ahead: int) -> Iterator[tuple[Job, Logits]]:
        """The first jobs with their logits, as far as passes are begun; up to `ahead` of them may run on."""
        while self._jobs:
            job, within = self._jobs[0]
            if within is not None and within.done is None:
                if within.pending is None or self._running <= ahead:
                    return
                batch = within.pending()
                self._running -= 1
                self._room = min(self._room, batch.room)
                within.done = iter(batch.windows)
            self._jobs.popleft()
            self._windows -= within is not None
            yield job, [] if within is None or within.done is None else next(within.done)


def _windows(network: ChipNetwork) -> int:
    """Number of windows that fill a forward pass with their flips."""
    return max(network.batch // (len(FLIPS) if network.manifest.flips else 1), 1)


@dataclass(frozen=True, eq=False)
class _Batch:
    windows: list[Logits]
    room: int
    """Largest number of windows that fitted in memory at once; unlimited where all of them did."""


def _forward(networks: Sequence[ChipNetwork], weights: Tensor, jobs: Sequence[Job]) -> _Batch:
    """The jobs' windows, which are of one set of sensors, through every network."""

    def run(number: int, jobs: Sequence[Job]) -> Tensor:
        chip = weights.shape[-1]
        chips = torch.stack([_cut(job, number, chip) for job in jobs])
        optical, radar, dem = (
            part.contiguous() if jobs[0].code >> bit & 1 else None
            for bit, part in enumerate(torch.split(chips, list(BANDS), 1))
        )
        if dem is not None:
            dem = relief(dem, networks[number].manifest.inputs.DEM)
        return members(networks[number], optical, radar, dem).float() * weights

    with torch.inference_mode():
        done = [_halving(partial(run, number), jobs, weights.shape[-1]) for number in range(len(networks))]
    each = zip(*([window for part in parts for window in part] for parts in done), strict=True)
    halved = (max(map(len, parts)) for parts in done if len(parts) > 1)
    return _Batch(list(map(list, each)), min(halved, default=sys.maxsize))


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
