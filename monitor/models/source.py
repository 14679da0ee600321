"""The source of an import: a file of this machine, of the hub, or of the registry's entry."""

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
    """The options of an import."""

    name: str
    #: a file of this machine
    checkpoint: Path | None = None
    #: else a file of the hub
    repository: str | None = None
    file: str | None = None
    revision: str | None = None
    sha256: str | None = None
    #: YAML file with the fields of the manifest that a checkpoint does not contain
    draft: Path | None = None
    folder: Path | None = None
    water_class: str | None = None
    half: bool = False
    unsafe: bool = False
    replace: bool = False


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint on this machine, the facts of its origin, and the digest it must have."""

    path: Path
    facts: dict[str, Any]
    sha256: str | None


def find_source(request: Request, registry: Registry) -> CheckpointFile:
    """The checkpoint of a request, fetched if it is not on this machine.

    Raises:
        RefusedError: neither the request nor the registry has its location, or there is no such file.
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
            f"model {request.name!r}: its checkpoint is not in the registry. Give a file with --checkpoint, "
            f"or one of the hub with --repository and --file; the registry has checkpoints of: {known}"
        )
    try:
        fetched = fetch(repository, file, revision)
    except HubError as error:
        raise MonitorError(str(error)) from error
    return CheckpointFile(
        fetched.path, {"repository": repository, "file": file, "revision": fetched.commit}, pinned
    )


def draft_of(request: Request, registry: Registry, root: Path) -> tuple[dict[str, Any], str]:
    """The drafted fields of the manifest, and the path of their file.

    Raises:
        RefusedError: there is no draft.
    """
    entry = registry.models.get(request.name)
    path = request.draft or (root / entry.draft if entry is not None and entry.draft is not None else None)
    if path is None:
        raise RefusedError(
            "--manifest: a checkpoint does not contain its license, statistics or kind of backscatter; give "
            "a YAML file with them (docs/models.md has an example)"
        )
    return read_draft(path), str(path)


def folder_of(request: Request, registry: Registry, root: Path) -> Path:
    """The folder to which the model is written.

    Raises:
        RefusedError: the name is not valid as a folder.
    """
    if not re.fullmatch(r"\w[\w.-]*", request.name):
        raise RefusedError(
            f"{request.name!r} is not a valid name for a model; use letters, digits, dots and hyphens"
        )
    if request.folder is not None:
        return request.folder
    entry = registry.models.get(request.name)
    return root / (entry.folder if entry is not None else Path("models") / request.name)
