"""Draw `docs/schema.svg` and fill the generated parts of `docs/schema.md`: `python -m docs.draw_schema`.

Tables are read from `storage.tables`, views and their comments from a temporary database. The positions of
boxes and the paths of arrows are set by hand; a table or foreign key without one is an error.
`tests/storage/test_schema_page.py` verifies that both files are up to date.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import CheckConstraint, Column, Connection, ForeignKey, Table, UniqueConstraint, text
from sqlalchemy.dialects import postgresql

from storage.tables import Base

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAGE = Path(__file__).with_name("schema.md")
PICTURE = Path(__file__).with_name("schema.svg")

# measures of the picture in points, y downwards
ROW, HEAD, WIDTH, GUTTER, LEFT, TOP = 13.0, 20.0, 196.0, 66.0, 24.0, 44.0
SIZE = (1293.0, 778.0)
#: left edges of the five columns
Z, A, B, C, D = (LEFT + n * (WIDTH + GUTTER) for n in range(5))
#: fill colour and line colour of each group of tables
GROUPS = {
    "work": ("#e8eef7", "#3d5a80"),
    "history": ("#e9f3ec", "#2d6a4f"),
    "review": ("#f8eee6", "#9a5b2e"),
    "alerts": ("#f7e9ea", "#8c3b45"),
}


@dataclass(frozen=True)
class Box:
    """Position of a table: left edge, upper edge; and its group."""

    x: float
    y: float
    group: str


BOXES = {
    "night": Box(Z, TOP, "work"),
    "region_lock": Box(Z, TOP + 157, "work"),
    "alert": Box(Z, 440, "alerts"),
    "tile": Box(A, TOP, "work"),
    "scene": Box(A, TOP + 118, "work"),
    "task_scene": Box(A, TOP + 288, "work"),
    "task": Box(B, TOP + 20, "work"),
    "run": Box(C, TOP, "work"),
    "model": Box(C, TOP + 131, "work"),
    "region": Box(C, TOP + 249, "work"),
    "review_verdict": Box(D, TOP, "review"),
    "review_flag": Box(D, TOP + 131, "review"),
    "inventory": Box(A, 440, "history"),
    "survey": Box(B, 440, "history"),
    "lake_observation": Box(C, 440, "history"),
    "lake": Box(D, 478, "history"),
    "lake_lineage": Box(D, 594, "history"),
}
#: colours of arrows by their target table
COLOURS = {
    "tile": "#7b6d8d",
    "scene": "#6c757d",
    "task": "#c0392b",
    "run": "#8d8d2c",
    "model": "#b9770e",
    "region": "#16827a",
    "inventory": "#6d4c41",
    "survey": "#1f5fbf",
    "lake": "#2e7d32",
    "review_flag": "#ad4e8f",
}
#: path of each arrow: side of the start, lanes (x, then y, then x ...), side of the end; see `_corners`
PATHS: dict[str, tuple[str, tuple[float, ...], str]] = {
    "night.run_id": ("R", (A - 38, TOP - 5, B + WIDTH + 25), "L"),
    "region_lock.run_id": ("R", (A - 38, TOP - 5, B + WIDTH + 25), "L"),
    "task_scene.task_key": ("R", (A + WIDTH + 16,), "L"),
    "task_scene.scene_id": ("L", (A - 11,), "L"),
    "task.tile": ("L", (B - 28,), "R"),
    "task.region": ("R", (B + WIDTH + 52,), "L"),
    "task.model_digest": ("R", (B + WIDTH + 43,), "L"),
    "task.run_id": ("R", (B + WIDTH + 34,), "L"),
    "task.survey_id": ("L", (B - 14,), "L"),
    "task.superseded_by": ("R", (B + WIDTH + 8,), "R"),
    "survey.region": ("R", (B + WIDTH + 52,), "L"),
    "survey.model_digest": ("R", (B + WIDTH + 43,), "L"),
    "survey.run_id": ("R", (B + WIDTH + 34,), "L"),
    "survey.inventory_id": ("L", (A + WIDTH + 20,), "R"),
    "survey.superseded_by": ("R", (B + WIDTH + 8,), "R"),
    "lake_observation.survey_id": ("L", (B + WIDTH + 16,), "R"),
    "lake_observation.lake_id": ("R", (D - 44,), "L"),
    "lake_observation.task_key": ("L", (B + WIDTH + 25,), "R"),
    "lake.region": ("L", (D - 55,), "R"),
    "lake_lineage.survey_id": ("L", (D - 18, 424.0, B + WIDTH + 16), "R"),
    "lake_lineage.lake_id": ("R", (D + WIDTH + 11,), "R"),
    "lake_lineage.other_lake_id": ("R", (D + WIDTH + 11,), "R"),
    "review_flag.survey_id": ("L", (D - 18, 424.0, B + WIDTH + 16), "R"),
    "review_flag.tile": ("L", (D - 32, TOP - 11, B - 28), "R"),
    "review_flag.lake_id": ("R", (D + WIDTH + 11,), "R"),
    "review_verdict.flag_id": ("L", (D - 9,), "L"),
}
TYPES = {
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "DOUBLE PRECISION": "float8",
    "INTEGER": "int",
    "BIGINT": "bigint",
    "BOOLEAN": "bool",
    "geometry(MULTIPOLYGON,4326)": "multipolygon",
    "geometry(POLYGON,4326)": "polygon",
}
#: units by the suffix of a column's name, and units of individual columns
UNITS = {
    "_m2": "m²",
    "_m": "m",
    "_share": "0 to 1",
    "probability": "0 to 1",
    "season": "year",
    "_day": "date, UTC",
    "_at": "time",
    "geom": "degrees, EPSG:4326",
}
UNITS_OF = {"tile.size": "pixels of 10 m", "tile.row": "pixels of 10 m", "tile.col": "pixels of 10 m"}


def tables() -> list[Table]:
    """All tables, in the order of `BOXES`."""
    known = {table.name: table for table in Base.metadata.sorted_tables}
    if missing := sorted(set(known) ^ set(BOXES)):
        raise SystemExit(
            f"docs/draw_schema.py: tables without an entry in BOXES, or entries without a table: {missing}"
        )
    return [known[name] for name in BOXES]


def kind(column: Column[Any]) -> str:
    """Short name of a column's type."""
    name = column.type.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
    return TYPES.get(name, name.lower())


def unit(column: Column[Any]) -> str:
    """Unit of a column, from its name."""
    ends = (words for end, words in UNITS.items() if column.name.endswith(end))
    return UNITS_OF.get(f"{column.table.name}.{column.name}", next(ends, ""))


def arrows() -> dict[str, tuple[str, str, str, str]]:
    """Start (table, column) and end (table, column) of each arrow, by its name in `PATHS`."""
    found = {}
    for table in tables():
        for rule in table.foreign_key_constraints:
            key = rule.elements[0]
            name = f"{table.name}.{key.parent.name}"
            found[name] = (table.name, key.parent.name, key.column.table.name, key.column.name)
    if wrong := sorted(set(found) ^ set(PATHS)):
        raise SystemExit(
            f"docs/draw_schema.py: arrows without an entry in PATHS, or entries without an arrow: {wrong}"
        )
    return found


def draw(path: Path) -> None:
    """Write the picture as SVG, with text as text."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "schema",
        "font.family": "sans-serif",
        "font.size": 8.5,
    }
    with rc_context(style):
        figure = Figure(figsize=(SIZE[0] / 72, SIZE[1] / 72))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, SIZE[0]), ylim=(SIZE[1], 0))
        axes.axis("off")
        _groups(axes)
        for name, (table, column, to, to_column) in arrows().items():
            _arrow(axes, name, table, column, to, to_column)
        for one in tables():
            _box(axes, one)
        _key(axes)
        figure.savefig(path, metadata={"Date": None}, dpi=144, facecolor="white")


def _height(table: Table) -> float:
    return HEAD + ROW * len(table.columns) + 4


def _groups(axes: Axes) -> None:
    from matplotlib.patches import FancyBboxPatch

    pad = 17.0
    names = {
        "work": "work: runs, tasks and their inputs",
        "history": "history: surveys, lakes and observations",
        "review": "review: flags and verdicts",
        "alerts": "alerts: conditions that need a person",
    }
    for group, (fill, ink) in GROUPS.items():
        inside = [(BOXES[t.name], _height(t)) for t in tables() if BOXES[t.name].group == group]
        left, right = min(b.x for b, _ in inside) - pad, max(b.x for b, _ in inside) + WIDTH + pad
        top, bottom = min(b.y for b, _ in inside) - 30, max(b.y + height for b, height in inside) + 12
        axes.add_patch(
            FancyBboxPatch(
                (left, top), right - left, bottom - top,
                boxstyle="round,pad=0,rounding_size=8", facecolor=fill, edgecolor="none", zorder=0,
            )
        )  # fmt: skip
        axes.text(left + 10, top + 14, names[group], color=ink, fontsize=9.5, fontweight="bold", va="center")


def _box(axes: Axes, table: Table) -> None:
    from matplotlib.patches import Rectangle

    box, height = BOXES[table.name], _height(table)
    ink = GROUPS[box.group][1]
    axes.add_patch(Rectangle((box.x, box.y), WIDTH, height, facecolor="white", edgecolor=ink, lw=1, zorder=3))
    axes.add_patch(Rectangle((box.x, box.y), WIDTH, HEAD, facecolor=ink, edgecolor=ink, lw=1, zorder=3))
    axes.text(
        box.x + 8, box.y + HEAD / 2, table.name, color="white", fontsize=10, fontweight="bold", va="center",
        zorder=4,
    )  # fmt: skip
    for column in table.columns:
        y = _middle(table.name, column.name)
        weight = "bold" if column.primary_key else "normal"
        colour = "#1b1b1b"
        if column.foreign_keys:
            colour = COLOURS[_simplest_key(column).column.table.name]
        axes.text(box.x + 8, y, column.name, color=colour, fontweight=weight, va="center", zorder=4)
        label = kind(column) + ("" if not column.nullable else " ?")
        axes.text(
            box.x + WIDTH - 7, y, label, color="#6f6f6f", fontsize=7.8, va="center", ha="right", zorder=4
        )


def _simplest_key(column: Column[Any]) -> ForeignKey:
    """The foreign key of a column with the fewest columns."""
    return min(
        column.foreign_keys,
        key=lambda one: (len(one.constraint.columns) if one.constraint else 0, one.target_fullname),
    )


def _middle(table: str, column: str) -> float:
    """Vertical position of a column's row."""
    place = list(Base.metadata.tables[table].columns.keys()).index(column)
    return BOXES[table].y + HEAD + 2 + ROW * (place + 0.5)


def _corners(name: str, table: str, column: str, to: str, to_column: str) -> list[tuple[float, float]]:
    """Points of an arrow: from a row, along its lanes, to a row."""
    leaves, lanes, enters = PATHS[name]
    start = (BOXES[table].x + (WIDTH if leaves == "R" else 0), _middle(table, column))
    end = (BOXES[to].x + (WIDTH if enters == "R" else 0), _middle(to, to_column))
    points, x, y = [start], start[0], start[1]
    for number, lane in enumerate(lanes):
        x, y = (lane, y) if number % 2 == 0 else (x, lane)
        points.append((x, y))
    return [*points, (x, end[1]), end]


def _arrow(axes: Axes, name: str, table: str, column: str, to: str, to_column: str) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Line

    points = _corners(name, table, column, to, to_column)
    spots, codes = [points[0]], [Line.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        for towards, last in ((before, False), (after, True)):
            length = abs(towards[0] - corner[0]) + abs(towards[1] - corner[1])
            part = min(5.0, length / 2) / length if length else 0.0
            spot = (corner[0] + part * (towards[0] - corner[0]), corner[1] + part * (towards[1] - corner[1]))
            spots += [corner, spot] if last else [spot]
            codes += [Line.CURVE3, Line.CURVE3] if last else [Line.LINETO]
    spots.append(points[-1])
    codes.append(Line.LINETO)
    arrow = FancyArrowPatch(
        path=Line(spots, codes), arrowstyle="-|>,head_length=4,head_width=2.2", color=COLOURS[to],
        linewidth=1.1, zorder=2, shrinkA=0, shrinkB=0, mutation_scale=1, gid=f"{name}-{to}",
    )  # fmt: skip
    axes.add_patch(arrow)
    axes.plot(*points[0], "o", color=COLOURS[to], markersize=3, zorder=5)


def _key(axes: Axes) -> None:
    legend = (
        "bold: primary key · coloured: foreign key, in the colour of its arrow · ?: may be null · "
        "polygons in degrees (EPSG:4326)"
    )
    axes.text(A - 17, SIZE[1] - 16, legend, color="#555555", fontsize=8.5, va="center")


def columns_of(table: Table) -> str:
    """Columns and constraints of a table in Markdown."""
    lines = ["| column | type | null | unit | references |", "|---|---|---|---|---|"]
    for column in table.columns:
        keys = sorted(f"`{key.column.table.name}.{key.column.name}`" for key in column.foreign_keys)
        name = f"**`{column.name}`**" if column.primary_key else f"`{column.name}`"
        made = ", computed" if column.computed is not None else ""
        cells = (name, kind(column) + made, "yes" if column.nullable else "", unit(column), ", ".join(keys))
        lines.append(f"| {' | '.join(cells)} |")
    rules = [str(rule.sqltext) for rule in _sorted(table, CheckConstraint)]
    rules += [f"unique: {', '.join(rule.columns.keys())}" for rule in _sorted(table, UniqueConstraint)]
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        if index.unique:
            where = index.dialect_options["postgresql"]["where"]
            rules.append(
                f"unique: {', '.join(index.columns.keys())}" + f" where {where}" * (where is not None)
            )
    return "\n".join([*lines, "", *(f"- `{rule}`" for rule in rules)]).rstrip()


def _sorted(table: Table, kind: type[Any]) -> list[Any]:
    return sorted((rule for rule in table.constraints if isinstance(rule, kind)), key=lambda r: str(r.name))


def views_of(conn: Connection) -> str:
    """All views in Markdown: comments and columns."""
    query = text(
        """
        SELECT c.relname, obj_description(c.oid) AS comment,
            array_agg(a.attname ORDER BY a.attnum) AS columns
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relkind = 'v' AND c.relnamespace = 'public'::regnamespace
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
        GROUP BY c.oid ORDER BY c.relname
        """
    )
    lines = ["| view | content | columns |", "|---|---|---|"]
    for name, comment, columns in conn.execute(query):
        lines.append(f"| `{name}` | {comment} | {', '.join(f'`{column}`' for column in columns)} |")
    return "\n".join(lines)


def kept_by(conn: Connection) -> str:
    """Changes that the triggers of the database refuse, in Markdown."""
    query = text(
        """
        SELECT r.relname, bool_or(t.tgtype & 16 > 0 AND t.tgattr = '') AS all_columns,
            bool_or(t.tgtype & 8 > 0) AS deletes,
            (SELECT array_agg(DISTINCT a.attname ORDER BY a.attname) FROM pg_trigger u
                JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = ANY(u.tgattr)
                WHERE u.tgrelid = r.oid) AS columns
        FROM pg_trigger t JOIN pg_class r ON r.oid = t.tgrelid
            JOIN pg_proc p ON p.oid = t.tgfoid AND p.proname = 'refuse_change'
        GROUP BY r.oid ORDER BY r.relname
        """
    )
    kept = conn.execute(query).all()
    lines = [f"- `{name}`: rows are never changed or deleted" for name, whole, _, _ in kept if whole]
    for name, whole, deletes, columns in kept:
        free = [c.name for c in Base.metadata.tables[name].columns if c.name not in (columns or ())]
        if not whole and deletes:
            may = ", ".join(f"`{column}`" for column in free)
            lines.append(f"- `{name}`: rows are never deleted; only {may} may change")
    return "\n".join(lines)


def parts(conn: Connection) -> dict[str, str]:
    """Generated parts of the page by name: one per table, `views` and `kept`."""
    lists = {table.name: columns_of(table) for table in tables()}
    return {**lists, "views": views_of(conn), "kept": kept_by(conn)}


def filled(page: str, generated: dict[str, str]) -> str:
    """Return `page` with each generated part between its markers."""
    found = re.findall(r"<!-- generated: (\w+) -->", page)
    if wrong := sorted(set(found) ^ set(generated)):
        raise SystemExit(f"docs/schema.md: parts that are missing or unknown: {wrong}")
    for name, part in generated.items():
        pattern = rf"<!-- generated: {name} -->\n.*?<!-- end -->"
        before, after = re.split(pattern, page, maxsplit=1, flags=re.DOTALL)
        page = f"{before}<!-- generated: {name} -->\n{part}\n<!-- end -->{after}"
    return page


def main() -> None:
    from storage.database import Database
    from storage.embedded import EmbeddedPostgis

    draw(PICTURE)
    server = EmbeddedPostgis(Path(tempfile.mkdtemp()), durable=False)
    with server as url:
        database = Database(url)
        database.upgrade()
        with database.connect() as conn:
            PAGE.write_text(filled(PAGE.read_text(), parts(conn)))
        database.dispose()
    server.wait_stopped()
    shutil.rmtree(server.folder)


if __name__ == "__main__":
    main()
