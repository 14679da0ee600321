"""Models on this machine: those of the registry, and other folders below models/."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import platformdirs

from monitor.errors import RefusedError
from monitor.settings import CONFIG, DATA
from segmenter.errors import ManifestError, RegistryError
from segmenter.manifest import MANIFEST_FILE, WEIGHTS_FILE, read_manifest
from segmenter.registry import Registry, read_registry

#: folder to which the registry's paths are relative
MODELS_ROOT = DATA
#: folder of imported models: the repository in a checkout, else the user's data folder
MODELS_HOME = DATA if DATA.name != "_data" else platformdirs.user_data_path("lake-monitor")


def known_models() -> Registry:
    """All models of config/models.yaml."""
    return read_registry(CONFIG / "models.yaml")


def root_of(known: Registry, name: str) -> Path:
    """The folder to which the path of a model of the registry is relative."""
    return MODELS_ROOT if known.find(name).hub is None else MODELS_HOME


@dataclass(frozen=True)
class Entry:
    """A model of the list."""

    name: str
    use: str
    s1_kind: str
    #: ready, not imported, or broken
    state: str
    version: str | None
    digest: str | None
    size_mb: float | None
    folder: Path
    #: error of a broken model
    problem: str | None = None


def list_models(known: Registry, root: Path, home: Path | None = None) -> list[Entry]:
    """The registry's models in its order, then the other model folders by name.

    Args:
        root: folder to which the registry's paths are relative.
        home: folder of imported models, `root` by default.
    """
    home = home or root
    folders = {
        name: (root if entry.hub is None else home) / entry.folder for name, entry in known.models.items()
    }
    others = sorted(path.parent for path in (home / "models").glob(f"[!.]*/{MANIFEST_FILE}"))
    folders |= {folder.name: folder for folder in others if folder not in folders.values()}
    return [_entry(name, folder, known) for name, folder in folders.items()]


def _entry(name: str, folder: Path, known: Registry) -> Entry:
    listed = known.models.get(name)
    use, kind = (listed.use, listed.s1_kind) if listed is not None else ("own", "-")
    if not (folder / MANIFEST_FILE).exists():
        return Entry(name, use, kind, "not imported", None, None, None, folder)
    try:
        manifest = read_manifest(folder)
    except ManifestError as error:
        return Entry(name, use, kind, "broken", None, None, None, folder, str(error))
    weights = folder / WEIGHTS_FILE
    kind, version = manifest.inputs.S1.kind, manifest.version
    if manifest.method == "index":
        return Entry(name, use, kind, "ready", version, None, None, folder)
    size = weights.stat().st_size / 1e6
    return Entry(name, use, kind, "ready", version, manifest.digest, size, folder)


def folder_of_model(name: str) -> Path:
    """The folder of a model.

    Args:
        name: a model of the registry, a folder below models/, or a path.

    Raises:
        RefusedError: there is no such model.
    """
    known = known_models()
    if name in known.models:
        return known.folder(name, root_of(known, name))
    for folder in (MODELS_HOME / "models" / name, Path(name)):
        if (folder / MANIFEST_FILE).is_file():
            return folder
    try:
        known.find(name)
    except RegistryError as error:
        raise RefusedError(f"{error}; it is not a model folder either") from error
    raise AssertionError("a known name was handled above")
