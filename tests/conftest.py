"""Fixtures for all tests: a PostGIS server, workspace folders, a simulated archive on disk and online."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text

from storage.database import Database
from storage.embedded import EmbeddedPostgis
from tests.support.servers import online

TEMPLATE = "lake_template"
#: fixtures that need a database, a network, a simulated archive or a trained network
SERVICES = {
    "postgis_url",
    "small_archive",
    "workspace",
    "module_workspace",
    "_archive_online",
}


#: Text that marks a whole module as slow. `make test-fast` does not import such a module.
SLOW_MODULE = "\npytestmark = pytest.mark.slow\n"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip slow modules under `make test-fast`: their imports take longer than the fast tests."""
    fast = str(config.getoption("markexpr")).startswith("fast")
    slow = collection_path.suffix == ".py" and SLOW_MODULE in collection_path.read_text()
    return True if fast and slow else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of `make test-fast` as `fast`: they use no service, and are not marked slow."""
    for item in items:
        if not SERVICES & set(getattr(item, "fixturenames", ())) and not item.get_closest_marker("slow"):
            item.add_marker("fast")


@pytest.fixture(scope="session")
def postgis_url() -> Iterator[str]:
    """Start one embedded server for the session, in a RAM disk if there is space; return its URL."""
    server = EmbeddedPostgis(_temporary_folder(), durable=False)
    with server as url:
        yield url
    server.wait_stopped()
    shutil.rmtree(server.folder)


@pytest.fixture(scope="session")
def migrated_template(postgis_url: str) -> str:
    """Name of a migrated, empty database, the template of all test databases."""
    _execute_as_admin(postgis_url, f"CREATE DATABASE {TEMPLATE}")
    template = _database(postgis_url, TEMPLATE)
    template.upgrade()
    template.dispose()
    return TEMPLATE


@pytest.fixture(scope="session")
def new_database(postgis_url: str, migrated_template: str) -> Callable[[], AbstractContextManager[Database]]:
    """Context manager that creates a fresh, migrated database (about 30 ms), for tests that need several."""

    @contextmanager
    def fresh() -> Iterator[Database]:
        name = f"test_{uuid4().hex}"
        _execute_as_admin(postgis_url, f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
        database = _database(postgis_url, name)
        try:
            yield database
        finally:
            database.dispose()
            _execute_as_admin(postgis_url, f"DROP DATABASE {name} WITH (FORCE)")

    return fresh


@pytest.fixture
def database(new_database: Callable[[], AbstractContextManager[Database]]) -> Iterator[Database]:
    """A fresh, migrated database for one test."""
    with new_database() as fresh:
        yield fresh


@pytest.fixture
def workspace() -> Iterator[Path]:
    """An empty folder, in a RAM disk if there is space. Teardown waits for its database to stop."""
    yield from _workspace()


@pytest.fixture(scope="module")
def module_workspace() -> Iterator[Path]:
    """An empty folder as in `workspace`, shared by the tests of a module."""
    yield from _workspace()


@pytest.fixture(scope="session")
def small_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of 5 x 5 km and three seasons, written by the simulator's command."""
    folder = tmp_path_factory.mktemp("small") / "archive"
    command = [sys.executable, "-m", "simulator", str(folder), "--size", "512"]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    return folder


@pytest.fixture(scope="session")
def _archive_online(small_archive: Path, postgis_url: str) -> Iterator[online.OnlineArchive]:
    with online.archive_online(small_archive, postgis_url) as archive:
        yield archive


@pytest.fixture
def archive_online(_archive_online: online.OnlineArchive) -> online.OnlineArchive:
    """The small archive behind a STAC API with signed addresses, without network faults; see `servers`."""
    _archive_online.begin()
    return _archive_online


def _workspace() -> Iterator[Path]:
    folder = _temporary_folder()
    yield folder
    for place in (folder, *folder.iterdir()):
        cluster = EmbeddedPostgis(place / "postgis")
        if (cluster.folder / "users.lock").exists():
            cluster.wait_stopped()
    shutil.rmtree(folder)


def _temporary_folder() -> Path:
    ram = Path("/dev/shm")
    has_space = ram.is_dir() and os.access(ram, os.W_OK) and shutil.disk_usage(ram).free > 2 * 1024**3
    return Path(tempfile.mkdtemp(prefix="lakes-", dir=ram if has_space else None))


def _database(url: str, name: str) -> Database:
    return Database(make_url(url).set(database=name).render_as_string(hide_password=False))


def _execute_as_admin(url: str, statement: str) -> None:
    engine = create_engine(make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(text(statement))
    engine.dispose()
