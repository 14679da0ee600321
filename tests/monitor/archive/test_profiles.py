"""Catalogue profiles: the shipped ones against the catalogues' own metadata, and invalid ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.archive.profiles import PROFILES, S1_BANDS, S2_BANDS, CatalogProfile, read_profile
from monitor.archive.signing import sign
from monitor.errors import RefusedError
from tests.support.samples import recorded, sample

#: centre of each band, micrometres (ESA, Sentinel-2 spectral response functions, S2A)
WAVELENGTHS = {
    "B01": 0.443, "B02": 0.492, "B03": 0.560, "B04": 0.665, "B05": 0.704, "B06": 0.741,
    "B07": 0.783, "B08": 0.833, "B8A": 0.865, "B09": 0.945, "B11": 1.614, "B12": 2.202,
}  # fmt: skip
SHIPPED = ("planetary-computer", "earth-search", "earth-search-c1", "cdse", "plain")


def content() -> dict[str, Any]:
    return dict(yaml.safe_load((PROFILES / "planetary-computer.yaml").read_text()))


def test_shipped_profiles() -> None:
    assert sorted(SHIPPED) == sorted(path.stem for path in PROFILES.glob("*.yaml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_profiles_are_valid(name: str) -> None:
    profile = read_profile(name, Path())
    assert set(profile.optical.bands) == set(S2_BANDS)
    assert len(set(profile.optical.bands.values())) == 12, "two bands read the same asset"
    assert (profile.url is None) == (name == "plain")
    for kind in profile.radars:
        assert profile.serving(kind).radar.bands.keys() == set(S1_BANDS)


@pytest.mark.parametrize(
    ("name", "kind", "file"),
    [
        ("planetary-computer", "optical", "pc_sentinel-2-l2a"),
        ("planetary-computer", "rtc", "pc_sentinel-1-rtc"),
        ("planetary-computer", "grd", "pc_sentinel-1-grd"),
        ("planetary-computer", "dem", "pc_cop-dem-glo-30"),
        ("earth-search", "optical", "es-v1_sentinel-2-l2a"),
        ("earth-search", "grd", "es-v1_sentinel-1-grd"),
        ("earth-search", "dem", "es-v1_cop-dem-glo-30"),
        ("earth-search-c1", "optical", "es-v1_sentinel-2-c1-l2a"),
        ("earth-search-c1", "grd", "es-v1_sentinel-1-grd"),
        ("earth-search-c1", "dem", "es-v1_cop-dem-glo-30"),
        ("cdse", "optical", "cdse_sentinel-2-l2a"),
        ("cdse", "grd", "cdse_sentinel-1-grd"),
    ],
)
def test_every_asset_of_a_profile_exists(name: str, kind: str, file: str) -> None:
    """Collection, every asset, its type and its no-data value, compared with the catalogue's collection."""
    profile = read_profile(name, Path())
    collection = json.loads(sample(f"stac/collections/{file}.json").read_text())
    assets: dict[str, dict[str, Any]] = collection["item_assets"]
    if kind == "optical":
        optical = profile.optical
        assert optical.collection == collection["id"] and optical.scene_classes in assets
        assert set(optical.bands.values()) <= set(assets)
        described = [_described(assets[asset], 0) for asset in optical.bands.values()]
        assert {one["data_type"] for one in described if one} <= {optical.dtype}
        assert {one["nodata"] for one in described if one} <= {optical.nodata}
    elif kind == "dem":
        assert profile.dem.collection == collection["id"] and profile.dem.band in assets
    else:
        radar = profile.radars[kind]  # type: ignore[index]
        assert radar.collection == collection["id"] and set(radar.bands.values()) <= set(assets)
        notes = {key.format(band.lower()) for key in radar.annotations.values() for band in S1_BANDS}
        assert notes <= set(assets) and bool(notes) == (kind == "grd")
        described = [_described(assets[asset], 0) for asset in radar.bands.values()]
        assert {one["nodata"] for one in described if one} <= {radar.nodata}


def _described(asset: dict[str, Any], position: int) -> dict[str, Any] | None:
    """Values of raster:bands (STAC 1.0) or of the asset (STAC 1.1) for a file; None without either."""
    if "raster:bands" in asset:
        return dict(asset["raster:bands"][position])
    return {key: asset[key] for key in ("data_type", "nodata")} if "data_type" in asset else None


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("planetary-computer", "pc/pc_sentinel-2-l2a_by-baseline.json"),
        ("earth-search", "earthsearch/es-v1_sentinel-2-l2a_by-baseline.json"),
        ("earth-search-c1", "earthsearch/es-v1_sentinel-2-c1-l2a_full.json"),
        ("cdse", "cdse/cdse_sentinel-2-l2a.json"),
    ],
)
def test_each_band_has_the_expected_wavelength(name: str, file: str) -> None:
    """Compare by the declared wavelength: nir08 and nir09 are easily confused."""
    assets = recorded(file)[-1].assets
    for band, asset in read_profile(name, Path()).optical.bands.items():
        fields = assets[asset].extra_fields
        (entry,) = fields.get("eo:bands") or fields["bands"]
        wavelength = entry.get("center_wavelength") or entry["eo:center_wavelength"]
        assert wavelength == pytest.approx(WAVELENGTHS[band], abs=0.018), band


def test_profile_of_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content() | {"url": None}))
    assert read_profile("mine.yaml", tmp_path).url is None


def test_unknown_profile_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"no catalogue profile 'nowhere'; known: .*planetary-computer"):
        read_profile("nowhere", tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optical": {"bands": {"B01": "B01"}}}, "bands lacks B02, B03"),
        ({"optical": {"bands": dict.fromkeys([*S2_BANDS, "B10"], "x")}}, "bands has B10; valid are B01"),
        ({"optical": {"offset": "by date"}}, r"optical\.offset"),
        ({"optical": {"offset": "flag"}}, "`offset: flag` and the property `flag` belong together"),
        ({"optical": {"flag": "applied"}}, "`offset: flag` and the property `flag` belong together"),
        ({"optical": {"harmonised": True}}, r"optical\.harmonised"),
        ({"radars": {"slc": {"collection": "x"}}}, r"radars\.slc"),
        ({"radars": {"rtc": {"bands": {"HH": "hh"}}}}, "HH"),
        ({"connections": 0}, "connections"),
        ({"singing": "none"}, "singing"),
    ],
)
def test_invalid_profile_names_the_key(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    wrong = content()
    for key, value in change.items():
        wrong[key] = {**wrong[key], **value} if isinstance(value, dict) else value
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    with pytest.raises(RefusedError, match=message) as caught:
        read_profile("wrong.yaml", tmp_path)
    assert "wrong.yaml" in str(caught.value)


@pytest.mark.parametrize("text", ["[1, 2", "just words", ""])
def test_profile_that_is_not_a_mapping(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(RefusedError, match=r"odd\.yaml"):
        read_profile("odd.yaml", tmp_path)


def test_radar_that_a_catalogue_lacks() -> None:
    profile = read_profile("earth-search", Path())
    assert profile.serving("grd").radar_kind == "grd"
    with pytest.raises(RefusedError, match="expects Sentinel-1 as rtc, this catalogue serves grd"):
        profile.serving("rtc")


@pytest.mark.parametrize(
    ("name", "kind"), [("planetary-computer", "rtc"), ("earth-search", "grd"), ("cdse", "grd")]
)
def test_an_index_accepts_any_radar_of_the_catalogue(name: str, kind: str) -> None:
    assert read_profile(name, Path()).serving("any").radar_kind == kind


def test_only_settings_that_affect_results_are_in_the_key() -> None:
    """The same catalogue read through a mirror, or faster, gives the same values."""
    profile = read_profile("planetary-computer", Path())
    elsewhere = {"url": "http://mirror.example.org", "signing": "none", "connections": 2, "gdal": {"A": "B"}}
    assert profile.model_copy(update=elsewhere).deciding() == profile.deciding()
    for key, value in {"offset": "none", "scene_classes": None, "nodata": 1, "collection": "x"}.items():
        optical = profile.optical.model_copy(update={key: value})
        assert profile.model_copy(update={"optical": optical}).deciding() != profile.deciding()
    assert profile.serving("rtc").deciding() != profile.serving("grd").deciding()


def test_addresses_without_signing_are_unchanged() -> None:
    profile = CatalogProfile.model_validate(content() | {"signing": "none"})
    assert sign("https://example.org/B02.tif", profile) == "https://example.org/B02.tif"
