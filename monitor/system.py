"""A workspace opened for work: its database, cube, catalogue and model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.archive.catalog import Catalog, open_catalog
from monitor.archive.profiles import CatalogProfile
from monitor.errors import RefusedError
from monitor.settings import CONFIG, Workspace

if TYPE_CHECKING:
    from segmenter.manifest import Manifest
    from storage.cube import Cube
    from storage.database import Database

DATABASE_FOLDER = "postgis"


@dataclass
class Sources:
    """What a run reads: catalogue and model; each opens when it is first asked for."""

    workspace: Workspace

    @cached_property
    def profile(self) -> CatalogProfile:
        """The catalogue's profile with the kind of radar that the model expects."""
        return self.workspace.profile.serving(self.manifest.inputs.S1.kind)

    @cached_property
    def catalog(self) -> Catalog:
        return open_catalog(self.workspace.profile, self.workspace.location)

    @property
    def excluded(self) -> dict[str, str]:
        """Items that a person took out of use, and why."""
        return self.workspace.settings.catalog.exclude

    @cached_property
    def model_folder(self) -> Path:
        return model_folder(self.workspace)

    @cached_property
    def manifest(self) -> Manifest:
        """The model's manifest, checked against its weights."""
        from segmenter.manifest import read_manifest

        return read_manifest(self.model_folder)


@dataclass
class System(Sources):
    """What a run reads, and the database and cube that it writes."""

    database: Database

    @cached_property
    def cube(self) -> Cube:
        from storage.cube import Cube

        return Cube(self.workspace.cube_folder, self.workspace.settings.tile_size)


def model_folder(workspace: Workspace) -> Path:
    """Where the settings' `model` lies: a name of config/models.yaml, or a folder.

    Raises:
        RefusedError: neither.
    """
    from segmenter.registry import read_registry

    registry = read_registry(CONFIG / "models.yaml")
    name = workspace.settings.model
    if name in registry.models:
        return registry.folder(name, CONFIG.parent)
    folder = workspace.path(name)
    if not folder.is_dir():
        known = ", ".join(sorted(registry.models))
        raise RefusedError(
            f"{workspace.folder / 'monitor.yaml'}: model: {name!r} is neither a known model ({known}) "
            "nor a folder"
        )
    return folder


@contextmanager
def open_database(workspace: Workspace) -> Iterator[Database]:
    """The settings' PostGIS, checked to be migrated; else the workspace's own, migrated by itself.

    Raises:
        RefusedError: there is no PostGIS, it does not answer, or its schema is not this version's.
    """
    from storage.errors import StorageError

    with ExitStack() as stack:
        try:
            database = _connect(workspace, stack)
        except StorageError as error:
            raise RefusedError(str(error)) from error
        yield database


def _connect(workspace: Workspace, stack: ExitStack) -> Database:
    from storage.database import Database
    from storage.embedded import EmbeddedPostgis

    url = workspace.settings.database.url
    if url is None:
        database = Database(stack.enter_context(EmbeddedPostgis(workspace.folder / DATABASE_FOLDER)))
        database.upgrade()
    else:
        database = Database(url)
        database.check_current()
    stack.callback(database.dispose)
    return database


@contextmanager
def open_system(workspace: Workspace) -> Iterator[System]:
    """Open a workspace's database; the rest follows when it is needed."""
    with open_database(workspace) as database:
        yield System(workspace, database)
