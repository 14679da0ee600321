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
    from storage.codes import SurveyKind
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
    def model_folders(self) -> tuple[Path, ...]:
        """Where the model lies, or each model of an ensemble."""
        return tuple(model_folder(self.workspace, name) for name in self.workspace.settings.model)

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of the model or the ensemble, checked against the weights."""
        from segmenter.opening import read_manifests

        return read_manifests(self.model_folders)

    @property
    def survey_kind(self) -> SurveyKind:
        """What surveys made of it are called: an index's are never taken for a model's."""
        from storage.codes import SurveyKind

        return SurveyKind.INDEX if self.manifest.method == "index" else SurveyKind.MODEL


@dataclass
class System(Sources):
    """What a run reads, and the database and cube that it writes."""

    database: Database

    @cached_property
    def cube(self) -> Cube:
        return self.cube_of(self.survey_kind)

    def cube_of(self, kind: SurveyKind) -> Cube:
        """The layers; an index's lie beside the model's, whose seasons must not be compared with them."""
        from storage.codes import SurveyKind
        from storage.cube import Cube

        folder = self.workspace.cube_folder
        if kind == SurveyKind.INDEX:
            folder = folder.with_name(f"{folder.name}-index")
        return Cube(folder, self.workspace.settings.tile_size)


def model_folder(workspace: Workspace, name: str) -> Path:
    """Where a model of the settings lies, `name` being one of config/models.yaml or a folder.

    Raises:
        RefusedError: neither.
    """
    from segmenter.registry import read_registry

    registry = read_registry(CONFIG / "models.yaml")
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
