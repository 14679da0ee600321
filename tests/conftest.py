"""A real PostGIS for every test that wants one, folders that fit it, and a simulated archive, also online."""

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


#: in a module: none of its tests is for `make test-fast`, which then need not import it
SLOW_MODULE = "\npytestmark = pytest.mark.slow\n"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave slow modules out of `make test-fast`: what they import takes longer than its tests."""
    fast = str(config.getoption("markexpr")).startswith("fast")
    slow = collection_path.suffix == ".py" and SLOW_MODULE in collection_path.read_text()
    return True if fast and slow else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as `fast` the tests of `make test-fast`: they need no service, and none of them is marked slow."""
    for item in items:
        if not SERVICES & set(getattr(item, "fixturenames", ())) and not item.get_closest_marker("slow"):
            item.add_marker("fast")


@pytest.fixture(scope="session")
def postgis_url() -> Iterator[str]:
    """One embedded server for the whole session, in a RAM disk where there is room; its URL."""
    server = EmbeddedPostgis(_roomy_folder(), durable=False)
    with server as url:
        yield url
    server.wait_stopped()
    shutil.rmtree(server.folder)


@pytest.fixture(scope="session")
def migrated_template(postgis_url: str) -> str:
    """Name of a migrated, empty database that others are cloned from."""
    _administer(postgis_url, f"CREATE DATABASE {TEMPLATE}")
    template = _database(postgis_url, TEMPLATE)
    template.upgrade()
    template.dispose()
    return TEMPLATE


@pytest.fixture(scope="session")
def new_database(postgis_url: str, migrated_template: str) -> Callable[[], AbstractContextManager[Database]]:
    """Makes fresh, migrated databases (about 30 ms each), for tests that need several."""

    @contextmanager
    def fresh() -> Iterator[Database]:
        name = f"test_{uuid4().hex}"
        _administer(postgis_url, f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
        database = _database(postgis_url, name)
        try:
            yield database
        finally:
            database.dispose()
            _administer(postgis_url, f"DROP DATABASE {name} WITH (FORCE)")

    return fresh


@pytest.fixture
def database(new_database: Callable[[], AbstractContextManager[Database]]) -> Iterator[Database]:
    """A fresh, migrated database of the test's own."""
    with new_database() as fresh:
        yield fresh


@pytest.fixture
def workspace() -> Iterator[Path]:
    """An empty folder, in a RAM disk where there is room; an embedded database in it is waited for."""
    yield from _workspace()


@pytest.fixture(scope="module")
def module_workspace() -> Iterator[Path]:
    """The same, shared by a module's tests."""
    yield from _workspace()


@pytest.fixture(scope="session")
def small_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5 x 5 km, three seasons, as the simulator's own command writes it."""
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
    """The small archive behind a STAC API and signed addresses, on a clean network; see `servers`."""
    _archive_online.begin()
    return _archive_online


def _workspace() -> Iterator[Path]:
    folder = _roomy_folder()
    yield folder
    cluster = EmbeddedPostgis(folder / "postgis")
    if (cluster.folder / "users.lock").exists():
        cluster.wait_stopped()
    shutil.rmtree(folder)


def _roomy_folder() -> Path:
    ram = Path("/dev/shm")
    roomy = ram.is_dir() and os.access(ram, os.W_OK) and shutil.disk_usage(ram).free > 2 * 1024**3
    return Path(tempfile.mkdtemp(prefix="lakes-", dir=ram if roomy else None))


def _database(url: str, name: str) -> Database:
    return Database(make_url(url).set(database=name).render_as_string(hide_password=False))


def _administer(url: str, statement: str) -> None:
    engine = create_engine(make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(text(statement))
    engine.dispose()
