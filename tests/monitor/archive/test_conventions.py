"""Conversion of digital numbers: every rule, every form of declaration, and refusals."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac
import pytest

from monitor.archive.conventions import Convention, decide
from monitor.archive.explanations import Explanation, Refusal
from monitor.archive.profiles import CatalogProfile, OpticalProfile, read_profile

FLAG = "earthsearch:boa_offset_applied"
ADDED = {"scale": 1e-4, "offset": -0.1}
NOTHING = {"scale": 1e-4, "offset": 0}


def optical(name: str, **changes: Any) -> OpticalProfile:
    return read_profile(name, Path()).optical.model_copy(update=changes)


def item(properties: dict[str, Any], fields: dict[str, Any] | None = None) -> pystac.Item:
    """An item with the asset keys of `plain` and Earth Search, every asset with `fields`."""
    made = pystac.Item("one", None, None, datetime(2022, 8, 1, tzinfo=UTC), properties)
    profiles: list[CatalogProfile] = [
        read_profile(name, Path()) for name in ("plain", "earth-search", "cdse")
    ]
    for key in (key for profile in profiles for key in profile.optical.bands.values()):
        made.add_asset(key, pystac.Asset(f"{key}.tif", extra_fields=dict(fields or {})))
    return made


def baseline(text: object) -> dict[str, Any]:
    return {"s2:processing_baseline": text}


class TestByBaseline:
    """Planetary Computer declares nothing but the baseline."""

    @pytest.mark.parametrize(
        ("text", "offset"),
        [("00.01", 0), ("02.14", 0), ("03.01", 0), ("04.00", -1000), ("05.00", -1000), ("05.11", -1000)],
    )
    def test_esa(self, text: str, offset: float) -> None:
        assert decide(item(baseline(text)), optical("planetary-computer")) == Convention(text, offset)

    @pytest.mark.parametrize("text", ["99.99", "", None, "5.1", 5.1, "04.00 ", "N0400", "newest"])
    def test_unknown_baselines_are_refused(self, text: object) -> None:
        reason = decide(item(baseline(text)), optical("planetary-computer"))
        assert isinstance(reason, Explanation) and reason.code is Refusal.UNKNOWN_BASELINE
        assert reason.params == {"baseline": str(text or ""), "key": "s2:processing_baseline"}

    def test_a_missing_baseline_is_refused(self) -> None:
        assert "unknown processing baseline ''" in str(decide(item({}), optical("planetary-computer")))

    def test_the_date_is_ignored(self) -> None:
        """Collection 1 applies the offset to scenes older than 2022 as well."""
        old = item(baseline("05.00"))
        old.datetime = datetime(2017, 8, 1, tzinfo=UTC)
        assert decide(old, optical("planetary-computer")) == Convention("05.00", -1000)


class TestByFlag:
    """Earth Search v1: raster:bands declare -0.1 for corrected scenes too, and are ignored."""

    @pytest.mark.parametrize(
        ("text", "properties", "offset"),
        [
            ("05.10", {FLAG: True}, 0),
            ("04.00", {FLAG: True}, 0),
            ("02.14", {FLAG: False}, 0),
            ("00.01", {FLAG: False}, 0),
            ("03.01", {}, 0),
        ],
    )
    def test_known(self, text: str, properties: dict[str, Any], offset: float) -> None:
        scene = item(baseline(text) | properties, {"raster:bands": [ADDED]})
        assert decide(scene, optical("earth-search")) == Convention(text, offset)

    @pytest.mark.parametrize(
        ("text", "properties", "reason"),
        [
            ("04.00", {FLAG: False}, "boa_offset_applied is false at baseline 04.00: such scenes are served"),
            ("05.11", {FLAG: False}, "is false at baseline 05.11"),
            ("05.11", {}, "there is no earthsearch:boa_offset_applied at baseline 05.11"),
            ("05.11", {FLAG: None}, "is none at baseline"),
            ("05.11", {FLAG: "true"}, "is true at baseline 05.11: such scenes"),
            ("02.14", {FLAG: True}, "baseline 02.14 adds nothing that could be taken out"),
            ("99.99", {FLAG: True}, "unknown processing baseline '99.99'"),
            ("", {FLAG: True}, "unknown processing baseline ''"),
        ],
    )
    def test_refused(self, text: str, properties: dict[str, Any], reason: str) -> None:
        assert reason in str(decide(item(baseline(text) | properties), optical("earth-search")))


class TestDeclared:
    @pytest.mark.parametrize(
        "fields",
        [
            {"raster:bands": [ADDED]},
            {"raster:scale": 1e-4, "raster:offset": -0.1},
            {"bands": [{"name": "x", "raster:scale": 1e-4, "raster:offset": -0.1}]},
            {"bands": [{"name": "x", "raster:offset": -0.1}], "raster:scale": 1e-4},
            {
                "bands": [{"name": "x"}],
                "raster:scale": 0.0001,
                "raster:offset": -0.1,
                "raster:bands": [ADDED],
            },
            {"raster:bands": [ADDED, NOTHING]},
        ],
        ids=["STAC 1.0", "on the asset", "in bands", "in both", "twice alike", "another band"],
    )
    @pytest.mark.parametrize("text", ["05.10", "04.00", "99.99", ""])
    def test_forms(self, fields: dict[str, Any], text: str) -> None:
        assert decide(item(baseline(text), fields), optical("plain")) == Convention(text, -1000)

    @pytest.mark.parametrize("text", ["02.14", "03.01", "99.99", ""])
    def test_no_offset_declared(self, text: str) -> None:
        assert decide(item(baseline(text), {"raster:bands": [NOTHING]}), optical("plain")) == Convention(
            text, 0
        )

    @pytest.mark.parametrize(
        ("text", "fields", "reason"),
        [
            ("", {}, "asset B01 declares no scale and offset for band 1"),
            ("", {"raster:bands": []}, "declares no scale and offset"),
            ("", {"raster:bands": [{"scale": 1e-4}]}, "declares no scale and offset"),
            ("", {"raster:bands": [{"scale": "0.0001", "offset": "-0.1"}]}, "declares no scale and offset"),
            ("", {"raster:offset": -0.1}, "declares no scale and offset"),
            ("04.00", {"raster:bands": [{"scale": 1e-4, "offset": -0.7}]}, "scale 0.0001 and offset -0.7;"),
            ("", {"raster:bands": [{"scale": 1, "offset": -1000}]}, "declares scale 1 and offset -1000;"),
            (
                "05.10",
                {"raster:bands": [NOTHING]},
                "declares the offset 0, but baseline 05.10 adds 1000",
            ),
            ("02.14", {"raster:bands": [ADDED]}, "declares the offset -0.1, but baseline 02.14 adds nothing"),
            (
                "05.10",
                {"raster:bands": [NOTHING], "raster:scale": 1e-4, "raster:offset": -0.1},
                "different scales or offsets: 0.0001 and -0.1, 0.0001 and 0",
            ),
        ],
    )
    def test_refused(self, text: str, fields: dict[str, Any], reason: str) -> None:
        assert reason in str(decide(item(baseline(text), fields), optical("plain")))

    def test_one_band_that_differs_from_the_others(self) -> None:
        scene = item(baseline("05.10"), {"raster:bands": [ADDED]})
        scene.assets["B8A"].extra_fields["raster:bands"] = [NOTHING]
        assert "its bands declare different" in str(decide(scene, optical("plain")))

    def test_a_missing_asset(self) -> None:
        scene = item(baseline("05.10"), {"raster:bands": [ADDED]})
        del scene.assets["B11"]
        assert "asset B11 declares no scale and offset" in str(decide(scene, optical("plain")))

    def test_baseline_by_another_name(self) -> None:
        scene = item({"processing:version": "05.00"}, {"raster:scale": 1e-4, "raster:offset": -0.1})
        assert decide(scene, optical("cdse")) == Convention("05.00", -1000)
        scene.properties["processing:version"] = "02.14"
        assert "baseline 02.14 adds nothing" in str(decide(scene, optical("cdse")))

    def test_a_band_of_a_file_with_several(self) -> None:
        bands = {name: f"B01.{number}" for number, name in enumerate(optical("plain").bands, start=1)}
        many = {"raster:bands": [ADDED] * 11 + [NOTHING]}
        assert "different" in str(decide(item({}, many), optical("plain", bands=bands)))
        assert decide(item({}, {"raster:bands": [ADDED] * 12}), optical("plain", bands=bands)) == Convention(
            "", -1000
        )
        assert "for band 12" in str(
            decide(item({}, {"raster:bands": [ADDED] * 11}), optical("plain", bands=bands))
        )


def test_a_catalogue_that_corrects_every_scene() -> None:
    always = optical("plain", offset="none")
    assert decide(item(baseline("05.10")), always) == Convention("05.10", 0)
    assert decide(item({}), always) == Convention("", 0)
