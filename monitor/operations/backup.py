"""Backup of a workspace: its database, cubes, settings and outlines at one moment, and its restoration.

A backup is a folder that can be checked without this program (`sha256sum --check SHA256SUMS`). While it is
made, it holds the locks of all regions, so that no run records a season.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from monitor.errors import RefusedError
from monitor.operations.standstill import standstill
from monitor.progress import Progress
from monitor.settings import SETTINGS_FILE
from monitor.workspace import System, Workspace, database_of
from storage import dumps
from storage.codes import SurveyKind
from storage.database import Database
from storage.errors import StorageError

DUMP, SUMS, ABOUT = "database.dump", "SHA256SUMS", "backup.json"
KINDS = (SurveyKind.MODEL, SurveyKind.INDEX)


class About(BaseModel):
    """What a backup holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    made_at: datetime
    workspace: str
    #: rows of each table
    rows: dict[str, int]
    #: snapshot of each tag and of each region's branch, by the folder of the cube
    cubes: dict[str, dict[str, str]]
    #: bytes of all files but this one and the sums
    size: int


def back_up(system: System, into: Path, progress: Progress) -> tuple[Path, About]:
    """Write a backup to a new folder in `into`; return the folder, which exists only when it is complete.

    Waits for runs of the workspace's regions to end a season.

    Raises:
        RefusedError: `into` lies in the workspace's database or cube.
        StorageError: the dump fails, or the disk is full.
    """
    workspace = system.workspace
    made_at = datetime.now(UTC).replace(microsecond=0)
    folder = into.resolve() / f"{workspace.folder.name}-{made_at:%Y-%m-%dT%H%M%S}"
    own = [workspace.database_folder, *(workspace.cube_folder(kind) for kind in KINDS)]
    if any(folder.is_relative_to(place) for place in own):
        raise RefusedError(f"{into} lies in the workspace's database or cube; name a folder elsewhere")
    partial = folder.with_name(f".{folder.name}.partial")
    partial.mkdir(parents=True)
    try:
        with standstill(system, "backup", progress):
            with progress.stage("writing the dump of the database"):
                rows = dumps.dump(system.database, partial / DUMP)
            files = [(partial / DUMP, Path(DUMP)), *_files(workspace)]
            cubes = {place.name: heads(workspace, kind) for kind, place in zip(KINDS, own[1:], strict=True)}
            size = _copy(files, partial, progress)
        about = About(made_at=made_at, workspace=workspace.folder.name, rows=rows, cubes=cubes, size=size)
        (partial / ABOUT).write_text(about.model_dump_json(indent=1) + "\n")
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return folder, about


def restore(backup: Path, folder: Path, progress: Progress, settings: Path | None = None) -> About:
    """Make a workspace from a backup, and compare it with what the backup says that it holds.

    Args:
        folder: new or empty.
        settings: another monitor.yaml than that of the backup, such as one with another database.

    Raises:
        RefusedError: no backup, or one with a missing or changed file; or `folder` has files; or the
            database of the settings has tables.
        StorageError: pg_restore fails, or the restored workspace differs from the backup.
    """
    about = read_about(backup)
    if folder.exists() and any(folder.iterdir()):
        raise RefusedError(f"{folder} has files already; restore into a new folder")
    check(backup, progress)
    folder.mkdir(parents=True, exist_ok=True)
    names = [line[66:] for line in (backup / SUMS).read_text().splitlines()]
    with progress.count("restoring files", len(names)) as done:
        for name in names:
            if name != DUMP:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(backup / name, folder / name)
            done()
    if settings is not None:
        shutil.copyfile(settings, folder / SETTINGS_FILE)
    workspace = Workspace.open(folder)
    with _bare_database(workspace) as database:
        with progress.stage("restoring the database"):
            dumps.load(database, backup / DUMP)
        with database.connect() as conn:
            rows = dumps.row_counts(conn)
    cubes = {workspace.cube_folder(kind).name: heads(workspace, kind) for kind in KINDS}
    if (rows, cubes) != (about.rows, about.cubes):
        raise StorageError(f"The workspace restored to {folder} differs from {backup}; do not use it.")
    return about


def check(backup: Path, progress: Progress) -> None:
    """Compare every file of a backup with its digest.

    Raises:
        RefusedError: a file is missing or was changed.
    """
    lines = (backup / SUMS).read_text().splitlines()
    with progress.count("checking files", len(lines)) as done:
        for line in lines:
            digest, name = line[:64], line[66:]
            path = backup / name
            if not path.resolve().is_relative_to(backup.resolve()) or not path.is_file():
                raise RefusedError(f"{path} is missing: the backup is not complete; use another one")
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    raise RefusedError(f"{path} was changed or is damaged; use another backup")
            done()


def read_about(backup: Path) -> About:
    """What a backup holds. Raises RefusedError when `backup` is none."""
    try:
        return About.model_validate_json((backup / ABOUT).read_bytes())
    except (OSError, ValidationError) as error:
        raise RefusedError(f"{backup} is no backup of a workspace: it has no valid {ABOUT}") from error


def heads(workspace: Workspace, kind: SurveyKind) -> dict[str, str]:
    """Snapshot of each tag and of each region's branch of a cube; empty if there is no cube."""
    if not workspace.cube_folder(kind).is_dir():
        return {}
    cube = workspace.cube_of(kind)
    found = {f"tag {tag}": cube.view(tag).snapshot for tag in cube.tags()}
    return found | {f"region {name}": workspace.cube_of(kind, name).head() for name in cube.regions()}


def _files(workspace: Workspace) -> Iterator[tuple[Path, Path]]:
    """Files of a workspace, and their paths in its folder: settings; outlines and models in it; cubes."""
    named = [SETTINGS_FILE]
    for region in workspace.settings.regions.values():
        named += [name for name in (region.outline, region.glaciers) if name]
    places = [workspace.path(name) for name in dict.fromkeys((*named, *workspace.settings.model))]
    places += [workspace.cube_folder(kind) for kind in KINDS]
    for place in places:
        if place.is_relative_to(workspace.folder) and place.exists():
            for path in [place] if place.is_file() else sorted(place.rglob("*")):
                if path.is_file():
                    yield path, path.relative_to(workspace.folder)


def _copy(files: list[tuple[Path, Path]], into: Path, progress: Progress) -> int:
    """Copy files with their digests to a folder; return their bytes."""
    size = 0
    with progress.count("copying files", len(files)) as done, (into / SUMS).open("w") as sums:
        for path, name in files:
            target = into / name
            if target != path:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
            with target.open("rb") as file:
                sums.write(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
            size += target.stat().st_size
            done()
    return size


@contextmanager
def _bare_database(workspace: Workspace) -> Iterator[Database]:
    """The database of the settings, or the workspace's own one, without tables."""
    with ExitStack() as stack:
        database = database_of(workspace, stack)
        if not dumps.is_empty(database):
            raise RefusedError(
                f"{workspace.folder / SETTINGS_FILE} names the database {database.shown_url}, which has a "
                "lake history already; give settings with an empty one (--settings FILE)"
            )
        yield database
