"""Largest sizes of what is read of an archive: a size that a file states is checked before it is believed.

A file of a few kilobytes can state an image of terabytes, or hold a block of gigabytes of zeros.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from monitor.archive.addresses import regular
from monitor.archive.integrity import check_sums

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

#: bytes of pixels that one read returns, of one decompressed block, and of the compressed blocks of a file;
#: a band of a whole Sentinel-2 scene has 240 MB, one of Sentinel-1 ground range 0.9 GB
PIXELS = 2**30
#: pixels of a JPEG 2000 image, whose decoder keeps a record of every part of it; Sentinel-2 has 1.2e8
WAVELETS = 2**28
#: bytes of an item and of an annotation; a real annotation has up to 6 MB, an item 50 kB
ITEM, ANNOTATION = 64 * 2**20, 64 * 2**20
#: nested elements of an annotation; real ones have less than 10
DEPTH = 64


def check_blocks(file: DatasetReader) -> None:
    """Check that the blocks of an open file can be decompressed.

    Raises:
        ValueError: a block has more than `PIXELS` bytes, or an image in JPEG 2000 has more than `WAVELETS`
            pixels.
    """
    if file.driver.startswith("JP2") and file.width * file.height > WAVELETS:
        raise ValueError(
            f"it states {file.width} x {file.height} pixels, more than {WAVELETS} can be decoded of JPEG 2000"
        )
    together = file.count if file.interleaving is not None and file.interleaving.value == "PIXEL" else 1
    for shape, kind in zip(file.block_shapes, file.dtypes, strict=True):
        size = math.prod(shape) * np.dtype(kind).itemsize * together
        if size > PIXELS:
            raise ValueError(
                f"its blocks of {shape[0]} x {shape[1]} pixels have {gigabytes(size)} when decompressed, "
                f"more than {gigabytes(PIXELS)}; write it again with tiles"
            )


def window_of(file: DatasetReader, numbers: Sequence[int], span: tuple[slice, slice]) -> NDArray[Any]:
    """Values (bands, h, w) of rows and columns of the file, in one read, so that each block is read once.

    Raises:
        ValueError: they have more than `PIXELS` bytes, or a block is damaged.
    """
    from rasterio.windows import Window

    height, width = (side.stop - side.start for side in span)
    size = height * width * sum(np.dtype(file.dtypes[number - 1]).itemsize for number in numbers)
    if size > PIXELS:
        raise ValueError(
            f"{height} x {width} of its pixels are needed at once, {gigabytes(size)}, more than "
            f"{gigabytes(PIXELS)}; its pixels are {abs(file.transform.a):g} of its units wide"
        )
    found = np.asarray(file.read(list(numbers), window=Window.from_slices(*span)))
    check_sums(file, numbers, span)
    return found


def gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def content_of(path: Path, largest: int) -> bytes:
    """Content of a regular file.

    Raises:
        OSError: it cannot be read, or is not a regular file.
        ValueError: it has more than `largest` bytes.
    """
    with regular(path).open("rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"it has more than {largest // 2**20} MB")
    return content


def check_xml(content: bytes) -> None:
    """Check that a document has neither declarations of entities, which can expand to gigabytes, nor many
    nested elements.

    Raises:
        ValueError: it has.
        SyntaxError: it is not XML (an `ElementTree.ParseError`).
    """
    from xml.etree.ElementTree import ParseError

    depth = 0

    def start(name: str, attributes: object) -> None:
        nonlocal depth
        depth += 1
        if depth > DEPTH:
            raise ValueError(f"its elements are nested more than {DEPTH} deep")

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(*_: object) -> None:
        raise ValueError("it has a document type declaration, which annotations of Sentinel-1 do not have")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise ParseError(str(error)) from None
