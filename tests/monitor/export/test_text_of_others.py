"""An inventory whose every text is hostile, in every place where text of other people is shown or written."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterator
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from uuid import NAMESPACE_URL, uuid4, uuid5
from xml.etree import ElementTree

import geopandas as gpd
import pandas as pd
import pytest
import requests
import shapely
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from monitor import open_cube, open_history
from monitor.cli.console import OneLine, Screen, styled, table
from monitor.cli.lakes import show_history, show_lakes
from monitor.drawing.maps import Place, label_places
from monitor.drawing.pictures import plain_text, save_picture
from monitor.drawing.text import cell_text, one_line, visible
from monitor.errors import RefusedError
from monitor.export.formats import TableFormat
from monitor.export.lakes import LakesRequest, export_lakes
from monitor.workspace import Workspace
from storage import history, registry
from storage.codes import SurveyKind
from storage.database import Database
from storage.recording import record_survey
from tests.support.places import MODEL
from tests.support.sites import own_database, site_of

HOSTILE = (
    "<script>window.bad=1</script>",
    '"><img src=x onerror="window.bad=1">',
    "</script><svg onload=window.bad=1>",
    "' onmouseover='window.bad=1",
    '=HYPERLINK("http://x.invalid","a")',
    "+1+1",
    "-2+3",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    "\uff1d1+1",
    "[bold red]X[/v2]",
    "[/]",
    ":smile:",
    r"$\frac{a}{b}$ $x",
    "\x1b[31mred\x1b]0;title\x07",
    "\x9b31mred",
    "\u202egnp.exe",
    "line\nforged: line",
    "a'b\"c`d;--",
    "{{ 7*7 }} ${x} %s {0}",
    "x" * 10_000,
    "😀",
)
SOURCE = "X [/v2] $\\frac$ <script>window.bad=1</script>\x1b[31m"


@given(st.text())
@example("".join(HOSTILE))
@example("\udce9")
def test_text_in_a_line(text: str) -> None:
    line = one_line(text)
    assert len(line) <= 300 and line.encode().decode() == line and len(line.splitlines()) <= 1
    assert not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in line)
    assert visible(visible(text)) == visible(text)
    if text.isprintable() and len(text) <= 300:
        assert one_line(text) == text, "names in any script stay as they are"


@given(st.text())
@example("=1")
@example("\uff0b1")
def test_text_in_a_cell(text: str) -> None:
    cell = cell_text(text)
    assert cell[:1] not in [*"=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"]
    assert text in (cell, cell[1:])


@pytest.fixture(scope="module")
def database(postgis_url: str, migrated_template: str) -> Iterator[Database]:
    """A lake for each text, which is its label, attributes, and flag; the source is hostile, too."""
    with own_database(postgis_url, migrated_template) as database:
        lakes = [uuid5(NAMESPACE_URL, str(number)) for number in range(len(HOSTILE))]
        shapes = [shapely.box(77 + n / 100, 42, 77.003 + n / 100, 42.003) for n in range(len(HOSTILE))]
        rows = gpd.GeoDataFrame(
            {
                "lake_id": lakes,
                "outcome": "water",
                "seen_share": 1.0,
                "label": HOSTILE,
                "attributes": [{text: text} for text in HOSTILE],
            },
            geometry=shapes,
            crs=4326,
        )
        flags = gpd.GeoDataFrame(
            [
                {"tile": None, "lake_id": lake, "kind": "drained", "explained": False, "score": 1.0,
                 "detail": {"why": text}}
                for lake, text in zip(lakes, HOSTILE, strict=True)
            ],
            geometry=shapes,
            crs=4326,
        )  # fmt: skip
        with database.begin() as conn:
            registry.upsert_region(conn, "demo", shapely.MultiPolygon([shapely.box(76.9, 41.9, 77.5, 42.1)]))
            record_survey(
                conn,
                history.Survey(uuid4(), "demo", 2020, SurveyKind.INVENTORY, SOURCE, "sha256:abc"),
                rows,
                lakes=pd.DataFrame({"id": lakes, "code": [f"G{number}" for number in range(len(lakes))]}),
                lineage=pd.DataFrame(columns=["kind", "lake_id", "other_lake_id"]),
                flags=flags,
            )
        yield database


@pytest.fixture(scope="module")
def folder(database: Database, module_workspace: Path) -> Path:
    module_workspace.mkdir(exist_ok=True)
    content = {
        "catalog": {"profile": "planetary-computer"},
        "model": str(MODEL),
        "regions": {"demo": {"bounds": [76.9, 41.9, 77.5, 42.1]}},
        "database": {"url": database.url},
    }
    (module_workspace / "monitor.yaml").write_text(yaml.safe_dump(content))
    return module_workspace


@pytest.fixture(scope="module")
def site(database: Database) -> Iterator[str]:
    with site_of(database) as address:
        yield address


class Page(HTMLParser):
    """What a browser would load, run or show of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.handlers: list[str] = []
        self.tags: set[str] = set()
        self.inline: list[str] = []
        self.shown: list[str] = []
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._in_script = tag == "script"
        for name, value in attrs:
            if name.startswith("on") or (value or "").strip().lower().startswith("javascript:"):
                self.handlers.append(f"{name}={value}")
            if name in ("src", "data-source") or (name == "href" and tag == "link"):
                self.loaded.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        (self.inline if self._in_script else self.shown).append(data)


PAGES = [
    "/",
    "/api.html",
    "/conformance",
    "/collections",
    "/tileMatrixSets",
    "/tileMatrixSets/WebMercatorQuad",
    "/collections/lake_latest",
    "/collections/lake_latest/queryables",
    "/collections/lake_latest/tiles",
    "/collections/lake_latest/tiles/WebMercatorQuad",
    "/collections/lake_latest/viewer.html?label=%3Cscript%3Ewindow.bad=1%3C/script%3E",
    "/collections/lake_area_history/items?limit=100",
    "/collections/lake_area_history/items?limit=100&label=%22%3E%3Cimg%20src%3Dx%20onerror%3D%22window.bad%3D1%22%3E",
    "/collections/review_queue/items?limit=100",
    "/collections/lake_change_yearly/items",
]


@pytest.mark.parametrize("path", PAGES)
def test_pages_show_text_and_load_nothing_from_elsewhere(site: str, path: str) -> None:
    answer = requests.get(f"{site}{path}", headers={"Accept": "text/html"}, timeout=30)
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/html")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy
    page = Page(answer.text)
    assert all(one.startswith(("/", "data:,")) and not one.startswith("//") for one in page.loaded), (
        page.loaded
    )
    assert page.handlers == page.inline == []
    assert not page.tags & {"img", "svg", "iframe", "object", "embed", "base", "style"}
    for one in page.loaded:
        if one.startswith("/pages/"):
            assert requests.get(f"{site}{one}", timeout=30).status_code == 200


def test_pages_show_every_text(site: str) -> None:
    listed = requests.get(f"{site}/collections/lake_area_history/items?limit=100&f=html", timeout=30)
    shown = Page(listed.text).shown
    for text in HOSTILE:
        assert text.replace("\r", "\n") in shown or text.strip() in "".join(shown), text[:40]
    (first,) = requests.get(
        f"{site}/collections/lake_area_history/items", params={"label": HOSTILE[0]}, timeout=30
    ).json()["features"]
    one = Page(
        requests.get(f"{site}/collections/lake_area_history/items/{first['id']}?f=html", timeout=30).text
    )
    assert HOSTILE[0] in one.shown and one.inline == []


def test_the_script_of_the_pages_sets_text_only_as_text() -> None:
    script = (Path(__file__).parents[3] / "monitor/export/static/map.js").read_text()
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "setHTML",
        "Function(",
    ):
        assert word not in script
    assert "http" not in script


def test_sheets_of_the_api_run_no_formula(site: str) -> None:
    answer = requests.get(f"{site}/collections/lake_area_history/items?f=csv&limit=100", timeout=30)
    rows = list(csv.DictReader(StringIO(answer.text, newline="")))
    _cells_are_text(rows)
    assert json.loads(rows[0]["attributes"]).keys() <= set(HOSTILE)


def _cells_are_text(rows: list[dict[str, str]]) -> None:
    assert sorted(row["label"] for row in rows) == sorted(map(cell_text, HOSTILE))
    for row in rows:
        assert not any(cell[:1] in "=+@\t\r\uff1d" for cell in row.values() if cell)


@pytest.mark.parametrize("kind", [*TableFormat])
def test_files_hold_every_text(database: Database, folder: Path, tmp_path: Path, kind: TableFormat) -> None:
    """Sheets with an apostrophe before formulas, the other formats unchanged."""
    file = tmp_path / f"lakes of #2020?.{ {'geoparquet': 'parquet'}.get(kind, kind) }"
    request = LakesRequest(file, kind, history=True)
    written = export_lakes(database, Workspace.open(folder), request)
    item = json.loads(written.item.read_text("utf-8"))
    assert item["assets"]["lakes"]["href"] == f"./lakes%20of%20%232020%3F{file.suffix}"
    assert item["properties"]["lake_monitor:surveys"][0]["source"] == SOURCE
    if kind is TableFormat.CSV:
        with file.open(newline="", encoding="utf-8") as opened:
            _cells_are_text(list(csv.DictReader(opened)))
        return
    if kind is TableFormat.GEOPARQUET:
        lakes = gpd.read_parquet(file)
    else:
        lakes = gpd.read_file(file, layer="lake_area_history")
    assert sorted(lakes.label) == sorted(HOSTILE)
    assert set(lakes.source) == {SOURCE}
    texts = [json.loads(one) if isinstance(one, str) else one for one in lakes.attributes]
    assert sorted(next(iter(one)) for one in texts) == sorted(HOSTILE)


def test_notebooks_get_the_texts_and_no_answer_to_another_question(folder: Path) -> None:
    lakes = open_history(folder, "demo")
    assert sorted(lakes.label) == sorted(HOSTILE)
    with pytest.raises(RefusedError, match="factor 0: the cube has 1, 2"):
        open_cube(folder, factor=0)
    with pytest.raises(RefusedError, match="no surveyed region 'atlantis'; known: demo"):
        open_history(folder, "atlantis")


@pytest.mark.parametrize(
    "name", ["a\x1b[31m.csv", "a\nb.csv", "caf\udce9.csv", f"{'x' * 300}.csv", "a.parquet"]
)
def test_names_of_files_that_are_refused(folder: Path, database: Database, tmp_path: Path, name: str) -> None:
    from monitor.export.formats import table_format

    with pytest.raises(RefusedError):
        kind = table_format(tmp_path / name, TableFormat.CSV)
        export_lakes(database, Workspace.open(folder), LakesRequest(tmp_path / name, kind))
    assert list(tmp_path.iterdir()) == []


def test_terminals_show_text_as_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_lakes(folder, None, 100, json=False)
    show_history(folder, "G0", None, json=False)
    printed = capsys.readouterr().out
    assert "\x1b[31m" not in printed and "[/v2]" in printed


@given(st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=4))
def test_a_screen_prints_what_it_is_given(texts: list[str]) -> None:
    screen = Screen(file=StringIO(), width=400)
    for text in texts:
        screen.print(text, highlight=False, soft_wrap=True)
        screen.print(styled(("note:", "bold"), f" {text}"), highlight=False, soft_wrap=True)
    printed = screen.file.getvalue()  # type: ignore[attr-defined]
    for text in texts:
        assert visible(text).strip() in printed
    assert not {"\x1b", "\x9b", "\u202e", "\r", "\x07"} & set(printed)


def test_tables_print_what_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(file=StringIO(), width=400)
    monkeypatch.setattr("monitor.cli.console.out", screen)
    table("Title [/v2]", "name|code", [[text, "[red]"] for text in HOSTILE])
    printed = screen.file.getvalue()  # type: ignore[attr-defined]
    assert printed.count("[red]") == len(HOSTILE) and "Title [/v2]" in printed
    assert len(printed.splitlines()) == len(HOSTILE) + 5, "a line for each row"
    assert "\x1b" not in printed and "\u202e" not in printed


def test_log_lines_stay_lines() -> None:
    record = logging.LogRecord("x", logging.WARNING, "", 1, "%s: %s", ("a\nb", "\x1b[31m"), None)
    assert OneLine("%(message)s").format(record) == r"a\nb: \x1b[31m"


def test_pictures_draw_text_as_it_is(tmp_path: Path) -> None:
    """Formulas are not set, and SVG stays XML; `$\\frac$` as a formula would be an error."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with plain_text():
        figure = Figure()
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.plot([0, 1], [0, 1], label=one_line(r"$\frac$ \x1b"))
        axes.legend()
        places = [
            Place(text, (0.2, n / 30, 0.3, n / 30 + 0.01)) for n, text in enumerate((*HOSTILE, r"$\frac$"))
        ]
        labels = label_places(axes, places)
    assert max(len(label.get_text()) for label in labels) <= 40
    save_picture(figure, tmp_path / "a.svg")
    save_picture(figure, tmp_path / "a.png")
    ElementTree.parse(tmp_path / "a.svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.svg"]


def test_a_curve_of_a_hostile_source(folder: Path, tmp_path: Path) -> None:
    show_history(folder, "G0", tmp_path / "curve.svg", json=True)
    words = " ".join(ElementTree.parse(tmp_path / "curve.svg").getroot().itertext())
    assert (r"$\frac$" in words and r"\x1b" in words) or "…" in words
