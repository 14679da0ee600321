"""The same ground as served by each catalogue: equal reflectance, or a refusal.

The metadata are recorded and the pixels synthetic: each scene is a recorded item over small files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import shapely
from numpy.typing import NDArray

from monitor.archive.catalog import FolderCatalog, taken
from monitor.archive.explanations import Refused
from monitor.archive.profiles import S2_BANDS, read_profile
from monitor.archive.scenes import Scene, usable_optical
from monitor.grid import geobox_at
from monitor.stack import composite
from tests.support.samples import recorded, save

EPSG, ROW, COL, SIZE = 32643, 529_200, 50_400, 64
MAPCHETE = "earthsearch/mapchete-eo_stac_items/{}.json"


@dataclass(frozen=True)
class Served:
    """A recorded item, and its catalogue's storage of the numbers.

    Attributes:
        added: offset added to reflectance x 10000 in its files.
        tagged: whether the files hold scale and offset as tags, as those of Collection 1 do.
    """

    profile: str
    file: str
    item: str
    added: int
    tagged: bool = False


PC = Served(
    "planetary-computer",
    "pc/stac-geoparquet_sentinel-2-l2a-pc.json",
    "S2B_MSIL2A_20240419T095549_R122_T47XML_20240419T123458",
    1000,
)
PC_OLD = Served(
    "planetary-computer",
    "pc/pc_sentinel-2-l2a_by-baseline.json",
    "S2A_MSIL2A_20190101T000001_R116_T58UGE_20201007T214656",
    0,
)
EARTH_SEARCH = Served(
    "earth-search",
    "earthsearch/es-v1_sentinel-2-l2a_by-baseline.json",
    "S2A_37WDS_20240419_0_L2A",
    0,
)
EARTH_SEARCH_2022 = Served(
    "earth-search", MAPCHETE.format("S2B_33TWN_20220130_0_L2A"), "S2B_33TWN_20220130_0_L2A", 0
)
COLLECTION_1 = Served(
    "earth-search-c1",
    "earthsearch/es-v1_sentinel-2-c1-l2a_full.json",
    "S2A_T37WDS_20240419T090557_L2A",
    1000,
    tagged=True,
)
CDSE = Served(
    "cdse",
    "cdse/cdse_sentinel-2-l2a.json",
    "S2A_MSIL2A_20200301T090901_N0500_R050_T35UPU_20230630T033416",
    1000,
)
#: The item declares that no offset was removed; users found such scenes corrected, and others not.
MISLABELLED = Served(
    "earth-search", MAPCHETE.format("S2B_33TWN_20220226_0_L2A"), "S2B_33TWN_20220226_0_L2A", 0
)


@pytest.fixture(scope="module")
def truth() -> NDArray[np.float64]:
    """Reflectance (12, H, W), 0.001 to 0.8; bands of 20 and 60 m are constant within 2 x 2 pixels."""
    random = np.random.default_rng(5)
    values = random.integers(10, 8000, (12, SIZE, SIZE)) / 1e4
    for number, band in enumerate(S2_BANDS):
        if band not in ("B02", "B03", "B04", "B08"):
            values[number] = values[number, ::2, ::2].repeat(2, 0).repeat(2, 1)
    return values


def serve(served: Served, truth: NDArray[np.float64], folder: Path) -> pystac.Item:
    """Write the recorded item to `folder`, with its bands as COGs of these numbers."""
    folder.mkdir()
    (item,) = [one for one in recorded(served.file) if one.id == served.item]
    optical = read_profile(served.profile, Path()).optical
    geobox = geobox_at(EPSG, ROW, COL, (SIZE, SIZE))
    for band, reflectance in zip(S2_BANDS, truth, strict=True):
        numbers = np.round(reflectance * 1e4).astype(np.uint16) + served.added
        item.assets[optical.bands[band]].href = str(folder / f"{band}.tif")
        _write(folder / f"{band}.tif", numbers, geobox.affine, served.tagged)
    footprint = geobox.geographic_extent.geom
    item.geometry, item.bbox = shapely.geometry.mapping(footprint), list(footprint.bounds)
    save(item, folder)
    return item


def _write(path: Path, numbers: NDArray[np.uint16], transform: Any, tagged: bool) -> None:
    shape = {"height": SIZE, "width": SIZE, "count": 1, "dtype": "uint16", "nodata": 0}
    with rasterio.open(path, "w", driver="COG", crs=EPSG, transform=transform, **shape) as file:
        file.write(numbers, 1)
        if tagged:
            file.scales, file.offsets = (1e-4,), (-0.1,)


def found(served: Served, item: pystac.Item, folder: Path) -> tuple[list[Scene], Refused]:
    """Usable and refused scenes of a search in `folder`."""
    optical = read_profile(served.profile, Path()).optical
    day = taken(item).date()
    items = FolderCatalog(folder).search(optical.collection, tuple(item.bbox or ()), day, day)  # type: ignore[arg-type]
    assert [one.id for one in items] == [item.id]
    return usable_optical(items, optical)


@pytest.mark.parametrize(
    "served", [PC, PC_OLD, EARTH_SEARCH, EARTH_SEARCH_2022, COLLECTION_1, CDSE], ids=lambda one: one.item
)
def test_the_same_ground(served: Served, truth: NDArray[np.float64], tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    item = serve(served, truth, folder)
    (scene,), refused = found(served, item, folder)
    assert not refused
    geobox = geobox_at(EPSG, ROW, COL, (SIZE, SIZE))
    reflectance = composite.reflectance(scene, read_profile(served.profile, Path()), geobox).values / 1e4
    assert np.abs(reflectance - truth).max() < 1e-4


def test_the_stored_numbers_differ(truth: NDArray[np.float64], tmp_path: Path) -> None:
    """Numbers of two catalogues differ by 0.1 of reflectance; else the test above would prove nothing."""
    numbers = []
    for served in (PC, EARTH_SEARCH, COLLECTION_1):
        serve(served, truth, tmp_path / served.profile)
        with rasterio.open(tmp_path / served.profile / "B03.tif") as file:
            numbers.append(file.read(1).astype(int))
            assert file.scales == ((1e-4,) if served.tagged else (1.0,))
    assert (numbers[0] - numbers[1] == 1000).all() and (numbers[2] == numbers[0]).all()


@pytest.mark.parametrize("added", [0, 1000], ids=["already corrected", "not corrected"])
def test_a_mislabelled_scene_is_refused(added: int, truth: NDArray[np.float64], tmp_path: Path) -> None:
    """The catalogue's metadata do not distinguish the two cases."""
    served = Served(MISLABELLED.profile, MISLABELLED.file, MISLABELLED.item, added)
    scenes, refused = found(served, serve(served, truth, tmp_path / "archive"), tmp_path / "archive")
    assert not scenes
    ((name, reason),) = refused
    assert name == served.item and "is false at baseline 04.00" in str(reason)


@pytest.mark.parametrize(
    ("served", "change", "reason"),
    [
        (PC, {"s2:processing_baseline": None}, "unknown processing baseline"),
        (PC, {"s2:processing_baseline": "99.99"}, "unknown processing baseline '99.99'"),
        (EARTH_SEARCH, {"earthsearch:boa_offset_applied": None}, "is none at baseline 05.10"),
        (COLLECTION_1, {"s2:processing_baseline": "02.14"}, "baseline 02.14 adds nothing"),
        (CDSE, {"processing:version": "02.14"}, "baseline 02.14 adds nothing"),
    ],
)
def test_a_scene_that_contradicts_itself_is_refused(
    served: Served, change: dict[str, Any], reason: str, truth: NDArray[np.float64], tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    item = serve(served, truth, folder)
    item.properties.update(change)
    save(item, folder)
    scenes, refused = found(served, item, folder)
    assert not scenes and reason in str(refused[0][1])
