"""The schema's page and picture agree with the tables and the database."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from storage.database import Database
from storage.tables import Base

DOCS = Path(__file__).parents[2] / "docs"
AGAIN = "out of date: run `python -m docs.draw_schema` and commit what it writes"


@pytest.fixture(scope="module")
def draw_schema() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_schema", DOCS / "draw_schema.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words(picture: Path) -> list[str]:
    return [part.strip() for part in ElementTree.parse(picture).getroot().itertext() if part.strip()]


def ids(picture: Path) -> set[str]:
    return {str(name) for element in ElementTree.parse(picture).iter() if (name := element.get("id"))}


def test_the_page_is_up_to_date(draw_schema: ModuleType, database: Database) -> None:
    with database.connect() as conn:
        generated = draw_schema.parts(conn)
    page = (DOCS / "schema.md").read_text()
    assert draw_schema.filled(page, generated) == page, f"docs/schema.md is {AGAIN}"
    for table in Base.metadata.tables:
        assert f"### {table}\n" in page
    for table in ("lake", "lake_observation", "inventory", "review_verdict"):
        assert f"- `{table}`: rows are never changed or deleted" in generated["kept"]
    for view in ("lake_area_history", "lake_trend", "review_queue", "lake_renamed"):
        assert f"| `{view}` |" in generated["views"]
    assert "| None |" not in generated["views"], "every view has a comment"


def test_the_picture_is_up_to_date(draw_schema: ModuleType, tmp_path: Path) -> None:
    draw_schema.draw(tmp_path / "schema.svg")
    assert words(DOCS / "schema.svg") == words(tmp_path / "schema.svg"), f"docs/schema.svg is {AGAIN}"
    arrows = {f"{name}-{to}" for name, (_, _, to, _) in draw_schema.arrows().items()}
    assert arrows <= ids(DOCS / "schema.svg")
    for table in Base.metadata.sorted_tables:
        assert {table.name, *table.columns.keys()} <= set(words(DOCS / "schema.svg"))


def test_boxes_do_not_overlap(draw_schema: ModuleType) -> None:
    boxes = [(draw_schema.BOXES[t.name], draw_schema._height(t), t.name) for t in draw_schema.tables()]
    for one, height, name in boxes:
        for other, _, beside in boxes:
            if one.x == other.x and one.y < other.y:
                assert one.y + height < other.y, f"{name} reaches into {beside}: move it in BOXES"
