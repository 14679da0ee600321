"""Settings: refusals and their messages, defaults, regions."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitor.archive.profiles import read_profile
from monitor.errors import RefusedError
from monitor.settings import (
    CONFIG,
    RegionSettings,
    ScheduleSettings,
    SeasonWindow,
    Settings,
    parse_years,
)
from monitor.vectors.polygons import NO_AREA, read_polygons
from monitor.workspace import Workspace, config_digest

GOOD = {
    "catalog": {"profile": "planetary-computer"},
    "model": "terramind-tiny",
    "regions": {"demo": {"bounds": [76.5, 42.7, 78.2, 43.55]}},
}
SQUARE = shapely.box(77, 42, 78, 43)


def opened(folder: Path, **changes) -> Workspace:
    (folder / "monitor.yaml").write_text(yaml.safe_dump({**GOOD, **changes}))
    return Workspace.open(folder)


def refusal(folder: Path, **changes) -> str:
    with pytest.raises(RefusedError) as caught:
        opened(folder, **changes)
    assert str(folder / "monitor.yaml") in str(caught.value)
    return str(caught.value)


def polygons(path: Path, *shapes: shapely.Geometry, crs: str | None = "EPSG:4326") -> str:
    frame = geopandas.GeoDataFrame({"name": range(len(shapes))}, geometry=list(shapes), crs=crs)
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_file(path)
    return path.name


def test_defaults(tmp_path: Path) -> None:
    settings = opened(tmp_path).settings
    assert (settings.tile_size, settings.database.url, settings.cluster.address) == (1024, None, None)


def test_one_model_or_an_ensemble(tmp_path: Path) -> None:
    assert opened(tmp_path).settings.model == ("terramind-tiny",)
    workspace = opened(tmp_path, model=["terramind-tiny", "seed-42"])
    assert workspace.settings.model == ("terramind-tiny", "seed-42")
    with pytest.raises(RefusedError, match=r"model: 'seed-42' is neither a known model \(.*\) nor a folder"):
        workspace.model_folders  # noqa: B018
    (tmp_path / "seed-42").mkdir()
    assert workspace.model_folders == (
        CONFIG.parent / "models/terramind-tiny",
        tmp_path / "seed-42",
    )


def test_no_workspace(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"monitor\.yaml is missing: .*monitor demo"):
        Workspace.open(tmp_path)


@pytest.mark.parametrize("text", ["a: [1, 2", "just words", "[1, 2]", ""])
def test_not_settings(tmp_path: Path, text: str) -> None:
    (tmp_path / "monitor.yaml").write_text(text)
    with pytest.raises(RefusedError, match=r"monitor\.yaml"):
        Workspace.open(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tiles": 512}, ["tiles: no such key", "tile_size"]),
        ({"catalog": {"profile": "x", "folder": "y"}}, ["catalog.folder: no such key", "location"]),
        ({"database": {"uri": "x"}}, ["database.uri: no such key", "url"]),
        (
            {"regions": {"demo": {"bounds": [76, 42, 77, 43], "glacier": "x"}}},
            ["regions.demo.glacier: no such key", "glaciers"],
        ),
        (
            {"regions": {"demo": {"bounds": [76, 42, 77, 43], "season": {"from": "07-01"}}}},
            ["regions.demo.season.from: no such key", "start, end"],
        ),
        ({"tile_size": 1000}, ["tile_size", "multiple of 256"]),
        ({"tile_size": 128}, ["tile_size", "256"]),
        ({"catalog": {}}, ["catalog.profile: Field required"]),
        ({"regions": {"demo": {}}}, ["regions.demo", "name either bounds or outline"]),
        (
            {"regions": {"demo": {"bounds": [76, 42, 77, 43], "outline": "x"}}},
            ["regions.demo", "name either bounds or outline"],
        ),
        ({"regions": {"demo": {"bounds": [78, 42, 77, 43]}}}, ["west, south, east, north"]),
        ({"regions": {"demo": {"bounds": [42, 76, 43, 95]}}}, ["west, south, east, north"]),
        ({"regions": {"demo": {"bounds": [76, 42, 77]}}}, ["regions.demo.bounds"]),
        ({"regions": {"demo": {"bounds": [76, 42, 77, 43], "glacier_zone_km": 0}}}, ["glacier_zone_km"]),
        (
            {"regions": {"demo": {"bounds": [76, 42, 77, 43], "season": {"start": "10-01"}}}},
            ["season starts 10-01 after it ends 09-30", "within one calendar year"],
        ),
        (
            {"regions": {"demo": {"bounds": [76, 42, 77, 43], "season": {"end": "31-10"}}}},
            ["regions.demo.season.end", "the month comes first: 10-31"],
        ),
        (
            {"regions": {"demo": {"bounds": [76, 42, 77, 43], "season": {"late": "09-29"}}}},
            ["late, 09-29, lies before the season's end, 09-30"],
        ),
        (
            {"regions": {"demo": {"bounds": [76, 42, 77, 43], "season": {"end": "09-31"}}}},
            ["09-31 is not a day of every year"],
        ),
        ({"schedule": {"months": "0-13"}}, ["schedule.months", "1 to 12"]),
        ({"schedule": {"final": "02-30"}}, ["schedule.final", "02-30 is not a day of every year"]),
        ({"schedule": {"final": "31-10"}}, ["schedule.final", "the month comes first: 10-31"]),
        ({"schedule": {"final": "99-99"}}, ["schedule.final", "not a day of every year"]),
        (
            {"regions": {"Ile/Alatau": {"bounds": [76, 42, 77, 43]}}},
            ["regions.Ile/Alatau", "are named"],
        ),
        ({"regions": {"../../escape": {"bounds": [76, 42, 77, 43]}}}, ["files are named"]),
        ({"regions": {"a\n": {"bounds": [76, 42, 77, 43]}}}, ["files are named"]),
        ({"regions": {"": {"bounds": [76, 42, 77, 43]}}}, ["a region needs a name"]),
        ({"regions": {"x" * 101: {"bounds": [76, 42, 77, 43]}}}, ["too long"]),
        (
            {"regions": {name: {"bounds": [76, 42, 77, 43]} for name in ("Demo", "demo")}},
            ["'Demo' and 'demo' differ in the case of letters"],
        ),
        ({"regions": {"demo": {"bounds": [76, 42, 77, float("nan")]}}}, ["west, south, east, north"]),
        (
            {"regions": {"demo": {"bounds": [76, 42, 77, 43], "glacier_zone_km": float("inf")}}},
            ["glacier_zone_km"],
        ),
        (
            {"regions": {"demo": {"bounds": [76, 42, 77, 43], "season": {"start": "02-29"}}}},
            ["02-29 is not a day of every year"],
        ),
        ({"cluster": {"threads": 0}}, ["cluster.threads"]),
        ({"schedule": {"months": "July-October"}}, ["schedule.months", "such as 7-10"]),
        (
            {"regions": {"demo": {"bounds": [76, 42, 77, 43], "season": {"start": "7-1"}}}},
            ["regions.demo.season.start: 7-1 is not a month and a day, such as 07-01"],
        ),
        ({"regions": {2024: {"bounds": [76, 42, 77, 43]}}}, ['regions.2024: quote it: "2024"']),
        ({"model": None}, ["model", "a name of config/models.yaml, or a folder, or a list of them"]),
        ({"model": []}, ["model", "or a list of them"]),
        ({"model": ["seed-17", "seed-17"]}, ["model", "stands twice"]),
        ({"model": ["seed-17", 42]}, ["model.1", "string"]),
        ({"cluster": {"gpus": True, "address": "tcp://s:8786"}}, ["cluster", "either gpus or address"]),
        ({"cluster": {"workers": 2}}, ["cluster.workers: no such key", "address, gpus, threads"]),
    ],
)
def test_refusals_name_the_key_and_the_valid_values(
    tmp_path: Path, changes: dict, message: list[str]
) -> None:
    message = refusal(tmp_path, **changes)
    for words in message:
        assert words in message


def test_all_invalid_keys_are_reported_at_once(tmp_path: Path) -> None:
    message = refusal(tmp_path, one=1, two=2)
    assert "one: no such key" in message and "two: no such key" in message


def test_unknown_region_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="there is no region 'dmo'; known: demo"):
        opened(tmp_path).region("dmo")


def test_region_by_bounds(tmp_path: Path) -> None:
    region = opened(tmp_path).region("demo")
    assert region.outline.equals(shapely.box(76.5, 42.7, 78.2, 43.55)) and region.zone.equals(region.outline)
    assert region.season.dates(2021) == (date(2021, 7, 1), date(2021, 9, 30))


def test_default_regions_of_high_mountain_asia(tmp_path: Path) -> None:
    workspace = opened(tmp_path, regions={})
    assert "karakoram" in workspace.regions() and len(workspace.regions()) == 12
    assert workspace.region("ile_alatau").outline.bounds == (76.5, 42.7, 78.2, 43.55)


@pytest.mark.parametrize("name", ["area.gpkg", "area.geojson", "area.parquet"])
def test_region_by_outline_and_glaciers(tmp_path: Path, name: str) -> None:
    outline = polygons(tmp_path / name, SQUARE, shapely.box(78, 42, 78.5, 43))
    ice = polygons(tmp_path / "ice.gpkg", shapely.box(77.5, 42.5, 77.51, 42.51))
    settings = {"outline": outline, "glaciers": ice, "glacier_zone_km": 5}
    region = opened(tmp_path, regions={"demo": settings}).region("demo")
    assert region.outline.equals(shapely.box(77, 42, 78.5, 43))
    reach = geopandas.GeoSeries([region.zone], crs=4326).to_crs(32643).iloc[0]
    assert reach.area == pytest.approx((10_000 + 820) * (10_000 + 1110) - (4 - np.pi) * 5_000**2, rel=0.01)


def test_what_is_changed_in_an_outline_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A bow-tie becomes two triangles, half of the box that was meant."""
    bow = shapely.Polygon([(77, 42), (78, 43), (78, 42), (77, 43)])
    outline = polygons(tmp_path / "area.gpkg", bow, shapely.Point(77, 42), SQUARE)
    region = opened(tmp_path, regions={"demo": {"outline": outline}}).region("demo")
    assert region.outline.equals(SQUARE)
    assert [record.getMessage() for record in caplog.records] == [
        "regions.demo.outline: row 0 of area.gpkg is repaired: Self-intersection[77.5 42.5]",
        "regions.demo.outline: row 1 of area.gpkg is left out: it is a Point without a polygon",
    ]


def test_glaciers_elsewhere_are_refused(tmp_path: Path) -> None:
    ice = polygons(tmp_path / "ice.gpkg", shapely.box(10, 45, 10.1, 45.1))
    workspace = opened(tmp_path, regions={"demo": {"bounds": [77, 42, 78, 43], "glaciers": ice}})
    with pytest.raises(RefusedError, match=r"regions\.demo\.glaciers: .* no glacier within 10 km"):
        workspace.region("demo")


@pytest.mark.filterwarnings("ignore:'crs' was not provided:UserWarning")
@pytest.mark.parametrize("key", ["outline", "glaciers"])
def test_file_without_crs_is_refused(tmp_path: Path, key: str) -> None:
    polygons(tmp_path / "bare.shp", SQUARE, crs=None)
    settings = (
        {"outline": "bare.shp"} if key == "outline" else {"bounds": [77, 42, 78, 43], "glaciers": "bare.shp"}
    )
    with pytest.raises(RefusedError, match=rf"regions\.demo\.{key}: .*bare\.shp has no CRS.*ogr2ogr"):
        opened(tmp_path, regions={"demo": settings}).region("demo")


def test_geoparquet_without_crs_is_refused(tmp_path: Path) -> None:
    polygons(tmp_path / "bare.parquet", SQUARE, crs=None)
    with pytest.raises(RefusedError, match="has no CRS"):
        read_polygons(tmp_path / "bare.parquet", "inventory")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"inventory: there is no file .*none\.gpkg"):
        read_polygons(tmp_path / "none.gpkg", "inventory")
    for name in ("words.gpkg", "words.parquet"):
        (tmp_path / name).write_text("no polygons at all")
        with pytest.raises(RefusedError, match="cannot be read as polygons"):
            read_polygons(tmp_path / name, "inventory")
    polygons(tmp_path / "points.gpkg", shapely.Point(77, 42))
    with pytest.raises(RefusedError, match="contains no polygon"):
        read_polygons(tmp_path / "points.gpkg", "inventory")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RefusedError, match=r"table\.csv is a table without outlines"):
        read_polygons(tmp_path / "table.csv", "inventory")


def test_polygons_are_projected_and_repaired(tmp_path: Path) -> None:
    bow = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    moved = shapely.transform(bow, lambda xy: xy * 1000 + (500_000, 4_700_000))
    polygons(tmp_path / "bow.gpkg", moved, crs="EPSG:32643")
    frame = read_polygons(tmp_path / "bow.gpkg", "inventory")
    assert list(frame.repairs) == [0]
    assert frame.geometry.is_valid.all() and frame.geometry.crs.to_epsg() == 4326
    assert frame.geometry.to_crs(32643).area.iloc[0] == pytest.approx(0.5e6, rel=1e-6)


def test_outlines_without_area_are_left_out(tmp_path: Path) -> None:
    line = shapely.Polygon([(77, 42), (77.5, 42), (78, 42)])
    polygons(tmp_path / "mixed.gpkg", SQUARE, line)
    mixed = read_polygons(tmp_path / "mixed.gpkg", "inventory")
    assert len(mixed) == 2 and list(mixed.rows) == [0] and mixed.left_out == {1: NO_AREA}
    polygons(tmp_path / "line.gpkg", line)
    with pytest.raises(RefusedError, match="contains no polygon that can be used: its outline has no area"):
        read_polygons(tmp_path / "line.gpkg", "inventory")


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("2021", [2021]),
        ("2021-2023", [2021, 2022, 2023]),
        ("2021-2021", [2021]),
        ("2017,2019-2021", [2017, 2019, 2020, 2021]),
        ("2020-2021,2017,2021", [2017, 2020, 2021]),
    ],
)
def test_years(text: str, years: list[int]) -> None:
    assert parse_years(text) == years


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2023-2017", "run backwards; write 2017-2023"),
        ("1999", "seasons are years from 2015"),
        ("2014-2016", "seasons are years from 2015"),
        ("2021-2200", "later ones have not begun"),
        ("99999", "later ones have not begun"),
        ("0", "seasons are years from 2015"),
        ("-5", "is not years such as"),
        ("2_021", "is not years such as"),
        ("9" * 5000, "is not years such as"),
        ("2021-22", "run backwards"),
        ("2021-", "is not years such as"),
        ("-2021", "is not years such as"),
        ("2021-2022-2023", "is not years such as"),
        ("2021,", "is not years such as"),
        ("last", "is not years such as"),
        ("", "is not years such as"),
    ],
)
def test_invalid_years(text: str, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        parse_years(text)


def test_the_digest_depends_on_settings_that_affect_results(tmp_path: Path) -> None:
    profile = read_profile("planetary-computer", tmp_path)

    def digest(profile=profile, **region) -> str:
        settings = {"bounds": [76, 42, 77, 43], **region}
        return config_digest(opened(tmp_path, regions={"demo": settings}).region("demo"), profile)

    same = digest()
    assert digest(glacier_zone_km=3) == same, "without glaciers the zone equals the region"
    assert digest(bounds=[76, 42, 77, 43.1]) != same
    assert digest(season={"end": "10-31"}) != same
    assert digest(profile.serving("grd")) != digest(profile.serving("rtc"))
    unclassed = profile.optical.model_copy(update={"scene_classes": None})
    assert digest(profile.model_copy(update={"optical": unclassed})) != same
    reached = {"signing": "none", "url": "https://elsewhere", "connections": 2, "gdal": {"A": "b"}}
    assert digest(profile.model_copy(update=reached)) == same, "access options do not change pixels"


@pytest.mark.parametrize(
    "path", sorted(CONFIG.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONFIG))
)
def test_every_shipped_file_is_valid(path: Path, tmp_path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    if path.parent.name == "catalogs":
        read_profile(path.stem, tmp_path)
    elif path.name == "models.yaml":
        from segmenter.registry import read_registry

        assert read_registry(path).models
    elif path.parent.name == "imports":
        from segmenter.manifest import Manifest

        assert content.keys() <= Manifest.model_fields.keys()
    elif path.parent.name == "inventories":
        from monitor.history.inventories.mapping import read_mapping

        assert read_mapping(path.stem).source
    elif path.parent.name == "training":
        from training.config import read_config

        assert read_config(path).recipe
    elif path.name == "regions.yaml":
        assert all(RegionSettings.model_validate(entry).bounds for entry in content.values())
    elif path.name == "monitor.example.yaml":
        workspace = opened(tmp_path, **Settings.model_validate(content).model_dump(mode="json"))
        assert workspace.region("ile_alatau").outline.area > 0 and workspace.catalog_profile.url
    else:
        pytest.fail(f"{path} is shipped, but no test reads it")


def test_commented_keys_of_the_example_are_valid_too() -> None:
    """Every commented key of the example must be valid once its `#` is removed."""
    keys = re.compile(r"^( *)# (?=\w+: )")
    lines = [keys.sub(r"\1", line) for line in (CONFIG / "monitor.example.yaml").read_text().splitlines()[3:]]
    settings = Settings.model_validate(yaml.safe_load("\n".join(lines)))
    assert settings.database.url and settings.cluster.address and settings.catalog.location
    assert settings.regions["ile_alatau"].glaciers and settings.schedule.months == "7-10"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "regions:\n  Ötztal: {bounds: [76, 42, 78, 44]}\n".encode("cp1252"),
            r"not UTF-8 \(byte 0xd6 in line 2\)",
        ),
        ("model: a\n".encode("utf-16"), "is UTF-16 and not UTF-8"),
        (b"model: a\nmodel: b\n", "the key 'model' stands twice(.|\n)*line 2"),
        (b"regions:\n  a: {bounds: [76, 42, 78, 44]}\n  a: {bounds: [6, 7, 8, 9]}\n", "'a' stands twice"),
        (b"regions:\n  no: {bounds: [76, 42, 78, 44]}\n", 'reads the key no as False: quote it, as "no"'),
        (b"~: 1\n", 'reads the key ~ as None: quote it, as "~"'),
        (b"[" * 2_000, "nested too deeply"),
        (b"model: \x00\n", "is not YAML"),
    ],
)
def test_files_that_are_not_settings_as_they_are_written(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "monitor.yaml").write_bytes(content)
    with pytest.raises(RefusedError, match=message) as caught:
        Workspace.open(tmp_path)
    assert str(tmp_path / "monitor.yaml") in str(caught.value)


def test_a_byte_order_mark_and_line_ends_of_windows_are_read(tmp_path: Path) -> None:
    (tmp_path / "monitor.yaml").write_bytes(yaml.safe_dump(GOOD).replace("\n", "\r\n").encode("utf-8-sig"))
    assert list(Workspace.open(tmp_path).regions()) == ["demo"]


def test_names_in_another_form_of_unicode_are_the_same_name(tmp_path: Path) -> None:
    region = {"bounds": [76, 42, 77, 43]}
    assert list(opened(tmp_path, regions={"O\u0308tztal": region}).regions()) == ["\u00d6tztal"]
    assert "differ in the case" in refusal(tmp_path, regions={"O\u0308tztal": region, "\u00d6tztal": region})


@given(days=st.lists(st.dates(date(2023, 1, 1), date(2023, 12, 31)), min_size=2, max_size=2))
def test_the_late_dates_follow_the_end_of_any_season(days: list[date]) -> None:
    start, end = (f"{day:%m-%d}" for day in sorted(days))
    window = SeasonWindow(start=start, end=end)
    first, last = window.dates(2024)
    assert first <= last <= window.reserve(2024) <= date(2024, 12, 31)
    after = (window.reserve(2023) - window.dates(2023)[1]).days
    assert 0 <= after <= 31 and (after >= 28 or window.late == "12-31")


@pytest.mark.parametrize(
    ("end", "late"),
    [("09-30", "10-31"), ("03-31", "04-30"), ("01-31", "02-28"), ("09-15", "10-15"), ("12-15", "12-31")],
)
def test_the_late_dates_end_a_month_later(end: str, late: str) -> None:
    assert SeasonWindow(start="01-01", end=end).late == late


@given(
    text=st.builds("{:02d}-{:02d}".format, st.integers(0, 13), st.integers(0, 32)),
    key=st.sampled_from(["start", "end", "late", "final"]),
)
def test_a_day_is_a_day_of_every_year_or_refused(text: str, key: str) -> None:
    """`late` and the season's ends must be in order, too; then the settings can be used in any year."""
    try:
        model = ScheduleSettings(final=text) if key == "final" else SeasonWindow(**{key: text})
    except ValidationError:
        return
    for year in (2023, 2024):
        date.fromisoformat(f"{year}-{text}")
        if isinstance(model, SeasonWindow):
            start, end = model.dates(year)
            assert start <= end <= model.reserve(year)


def test_the_schedule_follows_the_seasons_of_the_regions(tmp_path: Path) -> None:
    north, south = {"bounds": [76, 42, 77, 43]}, {"bounds": [-73, -50, -72, -49]}
    south = south | {"season": {"start": "01-01", "end": "03-31"}}
    settings = opened(tmp_path, regions={"north": north, "south": south}).settings
    assert (settings.nights("south").months, settings.nights("south").final) == ("1-4", ("05-15",))
    both = settings.nights("north", "south")
    assert (both.month_numbers, both.final) == ([1, 2, 3, 4, 7, 8, 9, 10], ("11-15", "05-15"))
    given_ones = {"months": "11-3", "final": "04-15", "nightly_hour": 5}
    nights = opened(tmp_path, regions={"north": north}, schedule=given_ones).settings.nights("north")
    assert (nights.month_numbers, nights.final, nights.nightly_hour) == ([1, 2, 3, 11, 12], ("04-15",), 5)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "Europe"])
def test_an_unknown_time_zone_is_refused(tmp_path: Path, zone: str) -> None:
    with pytest.raises(RefusedError, match=r"schedule\.time_zone.* is not a time zone, such as UTC"):
        opened(tmp_path, schedule={"time_zone": zone})


def test_a_season_that_has_not_begun_is_refused(tmp_path: Path) -> None:
    today = date.today()
    later = {"start": "12-31", "end": "12-31"}
    if today.month == 12 and today.day == 31:
        return
    workspace = opened(tmp_path, regions={"late": {"bounds": [76, 42, 77, 43], "season": later}})
    with pytest.raises(RefusedError, match=f"begins on {today.year}-12-31; the latest .* {today.year - 1}"):
        workspace.refuse_future(["late"], [2020, today.year])
    workspace.refuse_future(["late"], [2020, today.year - 1])


def test_season_window_of_a_year() -> None:
    assert SeasonWindow(start="07-15", end="10-31").dates(2024) == (date(2024, 7, 15), date(2024, 10, 31))
