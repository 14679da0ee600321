"""Checksums of the blocks of a file: GDAL ignores those of DEFLATE, and takes damaged blocks for pixels.

A block in DEFLATE (RFC 1950) ends with the Adler-32 of its content. Blocks without compression, in LZW or in
JPEG 2000 have no checksum. Blocks in buckets are read by GDAL itself, whose connections are encrypted, and
are not seen here.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

Span = tuple[slice, slice]
#: bytes of a file from a start, as many as a size says
Bytes = Callable[[int, int], bytes]

#: by GDAL's name of an open file, which for files over HTTP is another one each time
_open: dict[str, Bytes] = {}


@contextmanager
def readable(file: DatasetReader, content: Bytes) -> Iterator[None]:
    """Within the block, `check_sums` reads the blocks of a file over HTTP by `content`."""
    _open[file.name] = content
    try:
        yield
    finally:
        del _open[file.name]


def check_sums(file: DatasetReader, numbers: Sequence[int], span: Span) -> None:
    """Check the checksums of the blocks of an open file, or of an overview, that rows and columns use.

    Raises:
        ValueError: a block is damaged.
    """
    from rasterio.enums import Compression, Interleaving

    if file.driver != "GTiff" or file.compression != Compression.deflate:
        return
    together = file.interleaving == Interleaving.pixel
    for number in numbers[:1] if together else numbers:
        shape = file.block_shapes[number - 1]
        size = math.prod(shape) * np.dtype(file.dtypes[number - 1]).itemsize * (file.count if together else 1)
        blocks = [
            (row, col, *place)
            for row in range(span[0].start // shape[0], -(-span[0].stop // shape[0]))
            for col in range(span[1].start // shape[1], -(-span[1].stop // shape[1]))
            if (place := _place(file, number, row, col)) is not None
        ]
        if not blocks:
            continue
        with _content(file) as content:
            if content is None:
                return
            for row, col, at, length in blocks:
                if not _intact(content(at, length), size):
                    raise ValueError(f"block {row}, {col} of band {number} is damaged: its checksum differs")


def _place(file: DatasetReader, number: int, row: int, col: int) -> tuple[int, int] | None:
    """Offset and bytes of a block; None for one that the file leaves out."""
    found = (
        file.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=number) for what in ("OFFSET", "SIZE")
    )
    at, length = (int(text) if text else 0 for text in found)
    return (at, length) if at and length else None


@contextmanager
def _content(file: DatasetReader) -> Iterator[Bytes | None]:
    """Reads bytes of an open file; None for one in a bucket."""
    if file.name in _open:
        yield _open[file.name]
    elif file.name.startswith("/vsi") or "://" in file.name:
        yield None
    else:
        with Path(file.name).open("rb") as opened:

            def content(at: int, length: int) -> bytes:
                opened.seek(at)
                return opened.read(length)

            yield content


def _intact(block: bytes, size: int) -> bool:
    """Whether a block decompresses to at most `size` bytes and its checksum agrees."""
    stream = zlib.decompressobj()
    try:
        # one byte more than it has, so that the end of the stream is reached
        stream.decompress(block, size + 1)
    except zlib.error:
        return False
    return stream.eof
