"""The decision for every recorded item of every catalogue: one golden table, and the decisive cases by name.

UPDATE_GOLDEN=1 rewrites the table. Review its changes before committing them.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pystac
import pytest
import shapely

from monitor.archive.profiles import CatalogProfile, read_profile
from monitor.archive.scenes import usable_dem, usable_optical, usable_radar
from tests.support.cassettes import exchanges
from tests.support.samples import recorded, sample

GOLDEN = Path(__file__).parent / "golden" / "conventions.csv"
#: profiles by the place of the recorded responses, or by the host of the catalogue
PROFILES = {
    "pc": ("planetary-computer",),
    "odc-stac": ("planetary-computer", "earth-search"),
    "earthsearch": ("earth-search", "earth-search-c1"),
    "cdse": ("cdse",),
    "stactools": ("earth-search-c1",),
    "sar_planetary_computer.json": ("planetary-computer",),
    "sar_earth_search.json": ("earth-search",),
    "sar_cdse.json": ("cdse",),
    "planetarycomputer.microsoft.com": ("planetary-computer",),
    "earth-search.aws.element84.com": ("earth-search", "earth-search-c1"),
    "stac.dataspace.copernicus.eu": ("cdse",),
}
#: collections that follow the rules of another one, and the collection assumed for items without one
LIKE = {
    "sentinel-2-pre-c1-l2a": "sentinel-2-c1-l2a",
    "sentinel-s2-l2a": "sentinel-2-l2a",
    "sentinel-s2-l2a-cogs": "sentinel-2-l2a",
    "stactools/sentinel2": "sentinel-2-c1-l2a",
    "titiler-openeo/sar": "sentinel-1-grd",
}
#: fields of an item other than its properties
TOP_LEVEL = (
    *("type", "stac_version", "stac_extensions", "id", "collection"),
    *("links", "assets", "bbox", "geometry"),
)


@dataclass(frozen=True, order=True)
class Decision:
    """One row of the table."""

    source: str
    item: str
    profile: str
    baseline: str
    offset: str
    usable: str
    reason: str


@dataclass(frozen=True)
class Recording:
    source: str
    #: key of PROFILES
    origin: str
    item: pystac.Item


def recordings() -> Iterator[Recording]:
    """Every recorded item: files of items, GeoParquet, and the responses of the cassettes."""
    folder = sample("stac/items")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        source = path.relative_to(folder)
        origin = source.name if source.name in PROFILES else source.parts[0]
        if path.suffix == ".parquet":
            items = list(_of_geoparquet(path))
        elif "features" in (content := path.read_text()) or '"Feature"' in content:
            items = recorded(str(source))
        else:
            assert source.name == "e-marshall_hma_sentinel-1-rtc_ids.json", "ids without items"
            continue
        for item in items:
            yield Recording(str(source), origin, item)
    for exchange in exchanges():
        for feature in exchange.features:
            item = pystac.Item.from_dict(feature, migrate=False)
            yield Recording(exchange.source, exchange.host, item)


def _of_geoparquet(path: Path) -> Iterator[pystac.Item]:
    """Items of stac-geoparquet: properties are columns, the outline is WKB, absent keys are null."""
    for row in pyarrow.parquet.read_table(path).to_pylist():
        content = {key: row.pop(key) for key in TOP_LEVEL}
        content["geometry"] = shapely.geometry.mapping(shapely.from_wkb(content["geometry"]))
        content["bbox"] = [content["bbox"][key] for key in ("xmin", "ymin", "xmax", "ymax")]
        content["properties"] = {
            key: value.isoformat() if isinstance(value, datetime) else value for key, value in row.items()
        }
        yield pystac.Item.from_dict(_without_null(content), migrate=False)


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null(entry) for key, entry in value.items() if entry is not None}
    return [_without_null(entry) for entry in value] if isinstance(value, list) else value


def decide(recording: Recording) -> Decision:
    """Decide on an item with the profile of its catalogue."""
    item = recording.item
    collection = item.collection_id or recording.source.split("_", maxsplit=1)[0]
    collection = LIKE.get(collection, collection)
    for name in PROFILES.get(recording.origin, ()):
        profile = read_profile(name, Path())
        used = _use(item, collection, profile)
        if used is None:
            continue
        scenes, refused = used
        baseline = str(item.properties.get(profile.optical.baseline) or "")
        optical = collection == profile.optical.collection
        assert len(scenes) + len(refused) == 1
        if scenes:
            offset = f"{scenes[0].offset:g}" if optical else ""
            return Decision(recording.source, item.id, name, baseline, offset, "yes", "")
        return Decision(recording.source, item.id, name, baseline, "", "no", str(refused[0][1]))
    reason = f"no profile reads the collection {item.collection_id}"
    return Decision(recording.source, item.id, "", "", "", "no", reason)


def _use(item: pystac.Item, collection: str, profile: CatalogProfile) -> tuple[Any, Any] | None:
    if collection == profile.optical.collection:
        return usable_optical([item], profile.optical)
    for radar in profile.radars.values():
        if collection == radar.collection:
            return usable_radar([item], radar)
    return usable_dem([item], profile.dem) if collection == profile.dem.collection else None


@pytest.fixture(scope="module")
def table() -> dict[tuple[str, str], Decision]:
    """Every decision by file and item. An item that occurs twice in a file has one decision."""
    decisions = [decide(recording) for recording in recordings()]
    found = {(row.source, row.item): row for row in decisions}
    assert all(found[row.source, row.item] == row for row in decisions)
    return found


def test_golden_table(table: dict[tuple[str, str], Decision]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in fields(Decision)])
    writer.writerows(astuple(row) for row in sorted(table.values()))
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text.getvalue())
    assert text.getvalue().splitlines() == GOLDEN.read_text().splitlines()


ES = "earthsearch/es-v1_sentinel-2-l2a_by-baseline.json"
MAPCHETE = "earthsearch/mapchete-eo_stac_items/{}.json"
PC = "pc/pc_sentinel-2-l2a_by-baseline.json"
STACTOOLS = "stactools/sentinel2_S2A_OPER_MSI_L2A_TL_VGS1_20220401T110010_A035382_T34LBQ.json"


@pytest.mark.parametrize(
    ("source", "item", "outcome"),
    [
        # Earth Search v1: raster:bands declare -0.1 for all of these from 04.00 on, although the numbers are
        # corrected
        (ES, "S2B_20EPT_20250731_0_L2A", 0),
        (ES, "S2A_32TMT_20200302_1_L2A", 0),
        (ES, "S2A_32TMT_20200302_0_L2A", 0),
        (MAPCHETE.format("S2B_33TWN_20220130_0_L2A"), "S2B_33TWN_20220130_0_L2A", 0),
        (MAPCHETE.format("S2A_33TWN_20220122_0_L2A"), "S2A_33TWN_20220122_0_L2A", 0),
        (MAPCHETE.format("S2A_33TWN_20161202_0_L2A"), "S2A_33TWN_20161202_0_L2A", 0),
        # the same year, baseline and raster:bands, but the flag is false
        (
            MAPCHETE.format("S2B_33TWN_20220226_0_L2A"),
            "S2B_33TWN_20220226_0_L2A",
            "is false at baseline 04.00",
        ),
        # neither baseline nor flag, although raster:bands declare -0.1; and an item across the antimeridian
        (
            MAPCHETE.format("S2A_OPER_MSI_L2A_TL_2APS_20230602T025701_A041483_T01WCR"),
            "S2A_OPER_MSI_L2A_TL_2APS_20230602T025701_A041483_T01WCR",
            "unknown processing baseline ''",
        ),
        # Collection 1 keeps the offset of 1000 and declares it, also in items before publication
        ("earthsearch/es-v1_sentinel-2-c1-l2a_full.json", "S2A_T41KLU_20250121T060432_L2A", -1000),
        ("earthsearch/es-v1_sentinel-2-pre-c1-l2a.json", "S2B_T21NYC_20221205T140704_L2A", -1000),
        (
            "earthsearch/es-v1_sentinel-2-c1-l2a_fields-filtered.json",
            "S2C_T13TDE_20250729T180310_L2A",
            "comes without assets",
        ),
        # Planetary Computer keeps the offset and does not declare it
        (PC, "S2A_MSIL2A_20190101T000001_R116_T58UGE_20201007T214656", 0),
        (PC, "S2A_MSIL2A_20220728T093601_R036_T47XNK_20220729T133652", -1000),
        (PC, "S2B_MSIL2A_20230821T073619_R092_T48XVP_20230821T122422", -1000),
        (PC, "S2B_MSIL2A_20250312T014549_R074_T53NKG_20250312T041213", -1000),
        (PC, "S2A_MSIL2A_20190101T000001_N0212_R116_T59UMV_20201007T214700.SAFE", "lacks the asset"),
        # CDSE declares it per asset, also for a scene of 2020
        (
            "cdse/cdse_sentinel-2-l2a.json",
            "S2A_MSIL2A_20200301T090901_N0500_R050_T35UPU_20230630T033416",
            -1000,
        ),
        # an altered declaration
        (STACTOOLS, "S2A_T34LBQ_20220401T090142_L2A", "declares scale 0.0001 and offset -0.7"),
        # radar with one polarisation, and radar of another mode
        (
            "earthsearch/es-v1_sentinel-1-grd.json",
            "S1A_IW_GRDH_1SSH_20250731T135702_20250731T135722_060328_077F7E",
            "lacks the polarisation VV, VH",
        ),
        (
            "pc/pc_sentinel-1-grd.json",
            "S1A_EW_GRDM_1SSH_20150129T081916_20150129T081938_004383_005598",
            "lacks the polarisation VV, VH",
        ),
        # a product catalogue without the addresses of the files
        (
            "cdse/cdse-legacy-catalogue_SENTINEL-2.json",
            "S2A_OPER_AUX_GNSSRD_POD__20171211T085826_V20150627T070315_20150627T120615",
            "no profile reads the collection SENTINEL-2",
        ),
    ],
)
def test_decisive_cases(
    table: dict[tuple[str, str], Decision], source: str, item: str, outcome: int | str
) -> None:
    row = table[source, item]
    if isinstance(outcome, str):
        assert row.usable == "no" and outcome in row.reason and not row.offset
    else:
        assert (row.usable, row.offset, row.reason) == ("yes", str(outcome), "")


def test_wide_swath_in_another_mode_is_refused() -> None:
    """The recorded extra wide swath items are 40 m and HH. With both polarisations they are refused too."""
    radar = read_profile("earth-search", Path()).radars["grd"]
    (wide,) = [
        one for one in recorded("earthsearch/es-v1_sentinel-1-grd.json") if one.id.startswith("S1C_EW")
    ]
    (both,) = [one for one in recorded("earthsearch/es-v1_sentinel-1-grd.json") if "20240517" in one.id]
    wide.assets = both.assets
    scenes, refused = usable_radar([wide, both], radar)
    assert [scene.id for scene in scenes] == [both.id]
    assert [(item, str(why)) for item, why in refused] == [(wide.id, "instrument mode EW, not IW")]


def test_one_acquisition_in_two_baselines() -> None:
    """The times of the reprocessed copy differ by a millisecond: 10:27:44.563 and .564."""
    profile = read_profile("earth-search", Path()).optical
    twice = [one for one in recorded(ES) if "_32TMT_" in one.id]
    for items in (twice, twice[::-1]):
        scenes, refused = usable_optical(items, profile)
        assert {scene.id.split("_")[3] for scene in scenes} == {"1"} and len(scenes) == 3
        assert {name.split("_")[3] for name, _ in refused} == {"0"}
        assert all("newer baseline" in str(why) for _, why in refused)


def test_an_older_baseline_replaces_a_refused_one() -> None:
    profile = read_profile("earth-search", Path()).optical
    old, new = (one for one in recorded(ES) if "_32TMT_20200302_" in one.id)
    new.properties["earthsearch:boa_offset_applied"] = False
    scenes, refused = usable_optical([new, old], profile)
    assert [scene.id for scene in scenes] == [old.id] and refused[0][0] == new.id


def test_every_item_is_used_or_refused_by_name() -> None:
    """All items at once: no recorded item ends a search, whatever fields it lacks."""
    items = {recording.item.id: recording.item for recording in recordings()}
    for name in ("planetary-computer", "earth-search", "earth-search-c1", "cdse", "plain"):
        profile = read_profile(name, Path())
        for scenes, refused in (
            usable_optical(items.values(), profile.optical),
            *(usable_radar(items.values(), radar) for radar in profile.radars.values()),
            usable_dem(items.values(), profile.dem),
        ):
            decided = [scene.id for scene in scenes] + [item for item, _ in refused]
            assert sorted(decided) == sorted(items)
            assert all(str(why) for _, why in refused)
