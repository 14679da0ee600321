"""Damaged pages of the embedded database: found on disk and by reading, and named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from storage.database import Database
from storage.database_damage import damaged_pages, damaged_relations, has_checksums
from storage.embedded import EmbeddedPostgis
from storage.embedded_system import installed
from storage.errors import StorageError

pytestmark = pytest.mark.slow
PAGE = 8192


@pytest.fixture(scope="module")
def server(module_workspace: Path) -> Iterator[EmbeddedPostgis]:
    """A server with a table of several pages, one of long values, and an index; stopped between uses."""
    made = EmbeddedPostgis(module_workspace / "postgis", durable=False)
    with made as url:
        database = Database(url)
        with database.begin() as conn:
            conn.execute(
                text(
                    "CREATE TABLE lakes AS SELECT i AS id, repeat('x', 100) AS name "
                    "FROM generate_series(1, 5000) i"
                )
            )
            conn.execute(text("CREATE INDEX lakes_id ON lakes (id)"))
            conn.execute(text("CREATE TABLE long (value text)"))
            conn.execute(text("ALTER TABLE long ALTER value SET STORAGE EXTERNAL"))
            conn.execute(text("INSERT INTO long SELECT repeat(i::text, 20000) FROM generate_series(1, 9) i"))
        assert has_checksums(database)
        assert damaged_pages(made, database) == damaged_relations(database) == []
        database.dispose()
    yield made
    made.wait_stopped()


def test_a_database_of_an_earlier_version_gets_checksums(server: EmbeddedPostgis) -> None:
    server.wait_stopped()
    assert server._offline(installed(server.data), server.data, "pg_checksums", "--disable").returncode == 0
    with server as url:
        database = Database(url)
        assert has_checksums(database) and damaged_pages(server, database) == []
        database.dispose()


def flip(server: EmbeddedPostgis, relation: str, block: int) -> None:
    """Flip a bit of a page while the server is stopped."""
    with server as url:
        database = Database(url)
        with database.begin() as conn:
            query = text(f"SELECT pg_relation_filepath({relation})")
            path = server.data / str(conn.execute(query).scalar_one())
        database.dispose()
    server.wait_stopped()
    with path.open("r+b") as file:
        file.seek(block * PAGE + 5000)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 4]))


@pytest.mark.parametrize(
    ("relation", "name"),
    [
        ("'lakes'", "lakes"),
        ("'lakes_id'", "lakes_id"),
        ("(SELECT reltoastrelid FROM pg_class WHERE relname = 'long')", "long"),
    ],
    ids=["table", "index", "long values"],
)
def test_a_flipped_bit_is_named(server: EmbeddedPostgis, relation: str, name: str) -> None:
    flip(server, relation, 2)
    with server as url:
        database = Database(url)
        pages, relations = damaged_pages(server, database), damaged_relations(database)
        words = "is damaged: .*invalid page in block 2.*--deep"
        if name == "lakes":
            with pytest.raises(StorageError, match=words), database.connect() as conn:
                conn.execute(text("SELECT sum(length(name)) FROM lakes")).all()
        with database.connect() as conn:
            assert conn.execute(text("SELECT 1 FROM pg_extension WHERE extname = 'amcheck'")).all() == []
        database.dispose()
    server.wait_stopped()
    flip(server, relation, 2)  # sound again
    assert pages == [f"{name}, block 2"]
    assert name in [entry.split(":")[0] for entry in relations]
    assert {entry.split(":")[0] for entry in relations} <= {name, "lakes_id"}
