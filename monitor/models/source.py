"""What is to be imported, and from where: a file of this disk, of the hub, or what the registry says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.errors import MonitorError, RefusedError
from segmenter.draft import read_draft
from segmenter.errors import HubError
from segmenter.hub import fetch
from segmenter.registry import Registry


@dataclass(frozen=True)
class Request:
    """What is to be imported, from where and how."""

    name: str
    #: a file of this machine
    checkpoint: Path | None = None
    #: or a file of the hub
    repository: str | None = None
    file: str | None = None
    revision: str | None = None
    sha256: str | None = None
    #: fields of the manifest that a checkpoint does not hold
    draft: Path | None = None
    folder: Path | None = None
    water_class: str | None = None
    half: bool = False
    unsafe: bool = False
    replace: bool = False


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint on this disk, where it came from, and the digest it must have."""

    path: Path
    facts: dict[str, Any]
    sha256: str | None


def find_source(request: Request, registry: Registry) -> CheckpointFile:
    """The checkpoint asked for, fetched where it is not on this disk.

    Raises:
        RefusedError: it is not said where it is.
        MonitorError: it cannot be fetched.
    """
    entry = registry.models.get(request.name)
    own = request.repository is not None or request.file is not None
    hub = entry.hub if entry is not None and not own else None
    pinned = request.sha256 or (hub.sha256 if hub else None)
    if request.checkpoint is not None:
        if not request.checkpoint.is_file():
            raise RefusedError(f"--checkpoint: there is no file {request.checkpoint}")
        return CheckpointFile(request.checkpoint, {"file": request.checkpoint.name}, pinned)
    repository, file = request.repository, request.file
    revision = request.revision
    if hub is not None:
        repository, file, revision = hub.repository, hub.file, revision or hub.revision
    if repository is None or file is None:
        known = ", ".join(sorted(name for name, model in registry.models.items() if model.hub))
        raise RefusedError(
            f"model {request.name!r}: where is its checkpoint? Give a file with --checkpoint, or one of "
            f"the hub with --repository and --file; without them the registry's are known: {known}"
        )
    try:
        fetched = fetch(repository, file, revision)
    except HubError as error:
        raise MonitorError(str(error)) from error
    return CheckpointFile(
        fetched.path, {"repository": repository, "file": file, "revision": fetched.commit}, pinned
    )


def draft_of(request: Request, registry: Registry, root: Path) -> tuple[dict[str, Any], str]:
    """The manifest's fields that a person wrote, and where.

    Raises:
        RefusedError: nobody wrote any.
    """
    entry = registry.models.get(request.name)
    path = request.draft or (root / entry.draft if entry is not None and entry.draft is not None else None)
    if path is None:
        raise RefusedError(
            "--manifest: a checkpoint does not say its license, statistics or kind of backscatter; give a "
            "YAML file that does (docs/models.md has one to start from)"
        )
    return read_draft(path), str(path)


def folder_of(request: Request, registry: Registry, root: Path) -> Path:
    """Where the model goes; `RefusedError` for a name that is no folder's."""
    if not re.fullmatch(r"\w[\w.-]*", request.name):
        raise RefusedError(f"{request.name!r} is no name for a model; use letters, digits, dots and hyphens")
    if request.folder is not None:
        return request.folder
    entry = registry.models.get(request.name)
    return root / (entry.folder if entry is not None else Path("models") / request.name)
