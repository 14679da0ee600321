"""Connection to the database of the lake history, and the version of its schema."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import psycopg
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from alembic import command
from storage.errors import StorageError

__all__ = ["Database", "migrations"]


def migrations() -> Path:
    """Folder of the migrations: inside the package when it is installed, beside it in a checkout."""
    package = Path(str(files("storage")))
    installed = package / "_data" / "alembic"
    return installed if installed.is_dir() else package.parent / "alembic"


class Database:
    """A PostGIS database by its URL (`postgresql+psycopg://…`); connects on first use.

    Raises StorageError for a URL of another kind.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError) as error:  # ValueError: the port is no number
            raise StorageError(
                f"database.url is not a URL: {error}. Write postgresql+psycopg://user@host/name."
            ) from error
        if parsed.get_backend_name() != "postgresql":
            raise StorageError(
                f"database.url names {parsed.drivername}; only postgresql+psycopg:// (PostGIS) works."
            )
        self.url = url
        self.engine: Engine = create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            hide_parameters=True,  # the values of a statement do not belong into error messages
            pool_size=3,
            max_overflow=5,
            pool_pre_ping=True,
            # JIT compilation costs more than it saves in a spatial join (measured: 9 s with, 6 s without).
            # Ranking 300,000 observations fits into 64 MB of work_mem; with the default of 4 MB it uses the
            # disk.
            connect_args={"options": "-c jit=off -c work_mem=64MB -c timezone=UTC"},
        )

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back by any exception.

        Raises StorageError when the server cannot be reached or its disk is full.
        """
        with self._storage_errors(), self.engine.begin() as conn:
            yield conn

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection for reading; the server refuses writes through it."""
        with self._storage_errors(), self.engine.connect() as conn:
            yield conn.execution_options(postgresql_readonly=True)

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """A connection of its own, closed at the end, for locks that last longer than a transaction.

        Every statement is committed at once.
        """
        with self._storage_errors(), self.engine.connect() as conn:
            conn.execution_options(isolation_level="AUTOCOMMIT")
            conn.detach()
            yield conn

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Hold a lock called `what`: one process at a time, on any machine."""
        with self.begin() as conn:
            conn.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 0))"), {"what": what})
            yield

    def upgrade(self, revision: str = "head") -> None:
        """Upgrade the schema; do nothing when it is up to date. Concurrent calls wait for one another."""
        with self.begin() as conn:
            command.upgrade(self._alembic(conn), revision)

    def check_current(self) -> None:
        """Raise StorageError when the schema is not the version that this code needs."""
        wanted = ScriptDirectory.from_config(self._alembic()).get_current_head()
        with self.connect() as conn:
            found = MigrationContext.configure(conn).get_current_revision()
        if found != wanted:
            raise StorageError(
                f"The database {self.shown_url} has schema {found or 'none'}, this version needs {wanted}. "
                "Run `monitor db upgrade`."
            )

    def dispose(self) -> None:
        """Close idle connections."""
        self.engine.dispose()

    @property
    def shown_url(self) -> str:
        """The URL without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    @property
    def client_url(self) -> str:
        """The URL (`postgresql://…`, with its password) for PostgreSQL's own clients, QGIS and GDAL."""
        return self.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)

    @property
    def client_address(self) -> tuple[str, dict[str, str]]:
        """`client_url` without its password, since all users see command lines, and the variables with it."""
        url = make_url(self.client_url)
        secrets = {"PGPASSWORD": str(url.password)} if url.password else {}
        return url.set(password=None).render_as_string(), secrets

    def _alembic(self, conn: Connection | None = None) -> Config:
        config = Config(attributes={"connection": conn})
        config.set_main_option("script_location", str(migrations()).replace("%", "%%"))
        return config

    @contextmanager
    def _storage_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if isinstance(error.orig, psycopg.errors.DiskFull):
                raise StorageError(
                    f"The disk of the database {self.shown_url} is full. The transaction was rolled back and "
                    "earlier results are unchanged; free some space and run the same command again."
                ) from error
            if isinstance(error.orig, psycopg.errors.DataCorrupted | psycopg.errors.IndexCorrupted):
                raise StorageError(
                    f"The database {self.shown_url} is damaged: {_message(error)}. Restore a backup; "
                    "`monitor doctor --deep` names the damaged tables."
                ) from error
            if isinstance(error, OperationalError) and error.connection_invalidated:
                raise StorageError(
                    f"The connection to the database {self.shown_url} was lost: {_message(error)}. "
                    "The transaction was rolled back; run the same command again."
                ) from error
            if isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", None) is None:
                raise StorageError(
                    f"The database {self.shown_url} cannot be reached: {_message(error)}. "
                    "Check database.url and that the server is running."
                ) from error
            raise


def _message(error: DBAPIError) -> str:
    return " ".join(str(error.orig).split())
