"""Seeded damage of one item or file of an archive: nulls, NaN, wrong types, impossible values, cut files.

The damage is of kinds that a reader can recognise; a plausible value in place of another is not.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

Rng = np.random.Generator


@dataclass(frozen=True)
class Damage:
    """What was done, for messages, and to which item."""

    item: str
    what: str
    #: whether the georeference of a file may have changed to another plausible one, which nothing can show
    undecidable: bool = False
    #: whether a file was damaged, and not the item itself
    of_a_file: bool = False


def damaged(archive: Path, target: Path, seed: int, year: int) -> Damage:
    """Copy an archive with one damage, chosen by `seed`, to an item of a year or to the DEM."""
    rng = np.random.default_rng(seed)
    shutil.copytree(archive, target, copy_function=os.link)
    paths = [path for path in sorted(target.glob("*/*/*.json")) if _is_of(path, year)]
    path = paths[rng.integers(len(paths))]
    kind = (_item, _document, _raster, _raster)[rng.integers(4)]
    what, undecidable = kind(path, rng)
    return Damage(path.stem, f"seed {seed}: {path.stem}: {what}", undecidable, kind is _raster)


def without(archive: Path, target: Path, item: str) -> None:
    """Copy an archive without an item."""
    shutil.copytree(archive, target, copy_function=os.link)
    (path,) = target.glob(f"*/*/{item}.json")
    path.unlink()


def _is_of(path: Path, year: int) -> bool:
    return path.parent.parent.name.startswith("cop-dem") or f"_{year}" in path.stem


def _replace(path: Path, content: bytes) -> None:
    path.unlink()  # it is linked with the file of the archive
    path.write_bytes(content)


def _pick(rng: Rng, values: Any) -> Any:
    options = list(values)
    return options[rng.integers(len(options))]


# damage of an item

WRONG: tuple[Any, ...] = (None, math.nan, "", "n/a", [], {}, [None], -1e99, True, math.inf)
WRONG_GEOMETRY: tuple[Any, ...] = (
    None, {}, [], "POINT(1 2)", {"type": "Polygon"}, {"type": "Polygon", "coordinates": []},
    {"type": "Polygon", "coordinates": [[]]},
    {"type": "Polygon", "coordinates": [[[math.nan, math.nan]] * 4]},
    {"type": "Polygon", "coordinates": [[["a", "b"]] * 4]}, {"type": "Blob", "coordinates": [[[0, 0]] * 4]},
    {"type": "Polygon", "coordinates": [[[77, 42], [78, 42]]]},
    {"type": "GeometryCollection", "geometries": None},
)  # fmt: skip
WRONG_BBOX: tuple[Any, ...] = (None, [], [math.nan] * 4, ["a"] * 4, [77, 42], {}, "77,42,78,43", [None] * 4)
WRONG_ID: tuple[Any, ...] = (None, "", 17, math.nan, [], "a\x1b[31m\nb", "x" * 5000, True)
WRONG_HREF: tuple[Any, ...] = (
    None, math.nan, 17, "", ".", "missing.tif", "/", "/etc/passwd", "../../../../../../etc/passwd", [], {},
    "file:///etc/passwd", "/vsicurl/http://127.0.0.1:9/a.tif", "http://127.0.0.1:9/a.tif", "vrt:///etc/passwd",
    "a\0b.tif", "https://[", "x" * 5000,
)  # fmt: skip
WRONG_DATES: tuple[Any, ...] = (None, math.nan, 17, "", "yesterday", "2022-13-45T00:00:00Z", [], {}, True)


def _item(path: Path, rng: Rng) -> tuple[str, bool]:
    """One field of an item, or several properties at once."""
    item = json.loads(path.read_text())
    field = _pick(rng, ("properties", "properties", "properties", "datetime", "asset", "href", "href",
                        "geometry", "bbox", "id", "collection", "assets", "links"))  # fmt: skip
    what: list[str] = []

    def put(inside: Any, key: str, values: tuple[Any, ...]) -> None:
        if rng.random() < 0.15:
            del inside[key]
            what.append(f"{key} is absent")
        else:
            inside[key] = _pick(rng, values)
            what.append(f"{key} = {inside[key]!r:.80}")

    keys = [key for key in item["properties"] if key not in ("datetime", "created", "updated")]
    if field == "properties" and keys:
        for key in rng.permutation(keys)[: _pick(rng, (1, 1, 2, len(keys)))]:
            put(item["properties"], str(key), WRONG)
    elif field in ("datetime", "properties"):
        put(item["properties"], "datetime", WRONG_DATES)
    elif field == "asset":
        key = _pick(rng, item["assets"])
        put(item["assets"], key, WRONG)
    elif field == "href":
        key = _pick(rng, item["assets"])
        put(item["assets"][key], "href", WRONG_HREF)
        what.append(f"of {key}")
    else:
        values = {"geometry": WRONG_GEOMETRY, "bbox": WRONG_BBOX, "id": WRONG_ID}.get(field, WRONG)
        put(item, field, values)
    _replace(path, json.dumps(item).encode())
    return ", ".join(what), False


def _document(path: Path, rng: Rng) -> tuple[str, bool]:
    """The file of an item."""
    content = path.read_bytes()
    what, changed = _pick(
        rng,
        {
            "cut": content[: int(rng.random() * (len(content) - 2))],
            "empty": b"",
            "nested": b"[" * 200_000,
            "not UTF-8": content.replace(b"e", b"\xff\xfe"),
            "a page": b"<html><body>503 Service Unavailable</body></html>",
        }.items(),
    )
    _replace(path, changed)
    return f"{path.name} is {what}", False


# damage of a file


def _raster(path: Path, rng: Rng) -> tuple[str, bool]:
    """A file of an item: bytes, or values and metadata by a rewrite."""
    assets = json.loads(path.read_text())["assets"]
    files = {key: path.parent / asset["href"] for key, asset in assets.items()}
    key = _pick(rng, sorted(key for key, file in files.items() if file.resolve().suffix == ".tif"))
    file = files[key].resolve()
    what, undecidable = _pick(rng, (_bytes, _bytes, _rewritten, _rewritten, _rewritten))(file, key, rng)
    return f"{key}: {what}", undecidable


def _bytes(file: Path, key: str, rng: Rng) -> tuple[str, bool]:
    content = bytearray(file.read_bytes())
    kind = _pick(rng, ("cut", "noise", "zeros", "header", "other", "shift"))
    at = int(rng.integers(400, max(len(content), 401)))
    size = int(rng.integers(4, 2000))
    if kind == "cut":
        content = content[: int(rng.random() * len(content))]
    elif kind == "noise":
        content[at : at + size] = rng.bytes(len(content[at : at + size]))
    elif kind == "zeros":
        content[at : at + size] = bytes(len(content[at : at + size]))
    elif kind == "header":
        at = int(rng.integers(0, 400))
        content[at : at + 4] = rng.bytes(4)
    elif kind == "shift":
        content = content[:at] + content[at + 1 :]
    else:
        content = bytearray(_pick(rng, (b"", b"<html>404</html>", b"II*\0", rng.bytes(5000), b"\x89PNG\r\n")))
    before = _georeference(file)
    _replace(file, bytes(content))
    # of blocks without a checksum, or of a georeference, damage cannot be recognised
    return f"{kind} at {at} of {len(content)} bytes", _georeference(file) not in (None, before)


def _georeference(file: Path) -> Any:
    try:
        with rasterio.open(file) as opened:
            return (
                opened.crs,
                opened.transform,
                opened.shape,
                opened.dtypes,
                opened.nodata,
                opened.overviews(1),
            )
    except Exception:  # any error is one of a damaged file
        return None


#: numbers that cannot be, by asset
IMPOSSIBLE = {
    "SCL": (12, 99, 255),
    "data": (-9999.0, -32767.0, -32768.0, math.nan, 3.4e38, -3.4e38, 20_000.0, math.inf),
    "vv": (math.nan, math.inf, -1.0, 1e6, 3.4e38, -9999.0),
    "B": (64_500, 65_535, 40_000),
}
LOSSLESS = {"uint8": ("uint16", "int32"), "uint16": ("uint32", "int32", "float32"), "float32": ("float64",)}


def _rewritten(file: Path, key: str, rng: Rng) -> tuple[str, bool]:
    with rasterio.open(file) as opened:
        values, facts = opened.read(), {name: opened.profile[name] for name in ("crs", "transform", "nodata")}
    numbers = IMPOSSIBLE.get(key, IMPOSSIBLE["vv" if key == "vh" else "B"])
    kind = _pick(rng, ("patch", "patch", "patch", "all", "type", "place", "crs", "swapped", "tiny", "bands"))
    what = kind
    if kind in ("patch", "all"):
        number = _pick(rng, numbers)
        height, width = values.shape[1:]
        side = max(height // 8, 2) if kind == "patch" else max(height, width)
        row, col = (int(rng.integers(0, max(size - side, 1))) for size in (height, width))
        values[:, row : row + side, col : col + side] = number
        what = f"{kind} of {number} at {row}, {col}, side {side}"
    elif kind == "type":
        values = values.astype(_pick(rng, LOSSLESS[str(values.dtype)]))
        what = f"type {values.dtype}"
    elif kind == "place":
        own: Affine = facts["transform"]
        facts["transform"] = _pick(rng, (
            Affine.identity(), own @ Affine.translation(1e7, 0), Affine(math.nan, 0, 0, 0, math.nan, 0),
            Affine(own.a * 1e-6, 0, own.c, 0, own.e * 1e-6, own.f),
        ))  # fmt: skip
        what = f"transform {tuple(facts['transform'])[:6]}"
    elif kind == "crs":
        facts["crs"] = _pick(rng, (None, "EPSG:32718", "EPSG:3031"))
        what = f"CRS {facts['crs']}"
    elif kind == "swapped":
        values = values.byteswap()
    elif kind == "tiny":
        values = values[:, :1, :1]
    else:
        values = np.concatenate([values] * 2)
    with MemoryFile() as memory, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a transform may be the damage
        with memory.open(
            driver="GTiff", count=len(values), height=values.shape[1], width=values.shape[2],
            dtype=values.dtype, **facts,
        ) as made:  # fmt: skip
            made.write(values)
        file.unlink()
        with memory.open() as made:
            rasterio.shutil.copy(made, file, driver="COG", compress="DEFLATE", overview_resampling="nearest")
    return what, kind == "bands"
