"""Whether the overviews of a file of classes can be used: those whose pixels were sampled, never averaged.

The mean of the classes 11 (snow) and 5 (bare ground) is 8 (cloud). Files do not declare how their overviews
were made, so that one block of the file is compared with its overview. The lower resolutions of JPEG 2000 are
always means.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monitor.archive.limits import window_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from rasterio.io import DatasetReader

    Opened = Callable[[int], AbstractContextManager[DatasetReader]]

#: side in pixels of the part of the coarsest overview that is searched for a varied block, and the largest
#: side of that block
SEARCHED, BLOCK = 1024, 1024


def sampled(file: DatasetReader, level: int, overview: Opened) -> bool:
    """Whether each pixel of an overview has a class that the file has there.

    The block that is compared depends on the file only, so that all boxes are read from the same pixels: it
    is the block with the most boundaries between classes.

    Args:
        file: open file of classes.
        level: the overview, counted from 0.
        overview: opens an overview of the file.
    """
    if file.driver.startswith("JP2"):
        return False
    with overview(len(file.overviews(1)) - 1) as coarsest:
        rows, cols = _varied(file, coarsest)
    fine = window_of(file, (1,), (rows, cols))[0]
    with overview(level) as source:
        scale = tuple(full / size for full, size in zip(file.shape, source.shape, strict=True))
        inner = tuple(
            slice(math.ceil(side.start / step), math.floor(side.stop / step))
            for side, step in zip((rows, cols), scale, strict=True)
        )
        if any(side.stop <= side.start for side in inner):
            return False  # a block smaller than a pixel of the overview proves nothing
        coarse = window_of(source, (1,), (inner[0], inner[1]))[0]
    down, across = (
        _reach(side, step, within) for side, step, within in zip(inner, scale, (rows, cols), strict=True)
    )
    return all(bool(_any(fine == value, down, across)[coarse == value].all()) for value in np.unique(coarse))


def _varied(file: DatasetReader, coarsest: DatasetReader) -> tuple[slice, slice]:
    """Rows and columns of the file's block with the most boundaries between classes in the overview."""
    height, width = (min(size, SEARCHED) for size in coarsest.shape)
    top, left = (coarsest.height - height) // 2, (coarsest.width - width) // 2
    classes = window_of(coarsest, (1,), (slice(top, top + height), slice(left, left + width)))[0]
    edges = np.zeros(classes.shape, np.int64)
    edges[1:] += classes[1:] != classes[:-1]
    edges[:, 1:] += classes[:, 1:] != classes[:, :-1]
    sides = [min(side, BLOCK) for side in file.block_shapes[0]]
    at = [
        ((np.arange(size) + start + 0.5) * full / small / side).astype(np.intp)
        for size, start, full, small, side in zip(
            (height, width), (top, left), file.shape, coarsest.shape, sides, strict=True
        )
    ]
    across = -(-file.width // sides[1])
    block = at[0][:, None] * across + at[1][None, :]
    edges[height // 2, width // 2] += 1  # the block in the middle, where there are no boundaries
    row, col = divmod(int(np.bincount(block.ravel(), edges.ravel()).argmax()), across)
    return (
        slice(row * sides[0], min((row + 1) * sides[0], file.height)),
        slice(col * sides[1], min((col + 1) * sides[1], file.width)),
    )


def _reach(side: slice, step: float, within: slice) -> tuple[NDArray[Any], NDArray[Any]]:
    """First and end pixel of the file, within its block, that each pixel of an overview may be sampled from.

    Overviews that were made from one another are displaced by up to half of a pixel.
    """
    at = np.arange(side.start, side.stop)
    margin = step / 2
    size = within.stop - within.start
    first = np.clip(np.floor(at * step - margin) - within.start, 0, size).astype(np.intp)
    end = np.clip(np.ceil((at + 1) * step + margin) - within.start, 0, size).astype(np.intp)
    return first, end


def _any(
    here: NDArray[np.bool_],
    down: tuple[NDArray[Any], NDArray[Any]],
    across: tuple[NDArray[Any], NDArray[Any]],
) -> NDArray[np.bool_]:
    """Whether any pixel of `here` is set in each rectangle of rows and columns."""
    total = np.zeros((here.shape[0] + 1, here.shape[1] + 1), np.int64)
    total[1:, 1:] = here.cumsum(0, dtype=np.int64).cumsum(1)
    (top, bottom), (left, right) = down, across
    found = total[bottom][:, right] - total[top][:, right] - total[bottom][:, left] + total[top][:, left]
    return np.asarray(found > 0)
