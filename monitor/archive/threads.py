"""The threads of a process that read files, and the memory allocator that they share."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache

#: number of mallopt's option (malloc.h of the GNU C library)
M_ARENA_MAX = -8
#: every thread would otherwise keep its own heap, as large as the largest scene that it read
HEAPS = 2


class KeptThreads(ThreadPoolExecutor):
    """Threads that are kept between loads. `odc.stac.load` closes a pool after use, and the setup of PROJ and
    GDAL in new threads takes longer than reading a small box (measured: 50 ms per load)."""

    def __exit__(self, *error: object) -> None:
        pass


@cache
def reading_threads(connections: int) -> KeptThreads:
    """The threads of this process that read, at most `connections` files at a time."""
    return KeptThreads(connections, thread_name_prefix="reading")


def share_heaps() -> None:
    """Limit the heaps of this process; call it first, because heaps that exist are kept."""
    mallopt(M_ARENA_MAX, HEAPS)


def mallopt(option: int, value: int) -> None:
    """Set an option of the C library's allocator, where the library has it."""
    with suppress(OSError, AttributeError):  # only the GNU C library has it
        ctypes.CDLL("libc.so.6").mallopt(option, value)
