"""Models by name: which folder holds each, and where the published ones come from."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segmenter.errors import RegistryError, fields_at_fault
from segmenter.manifest import MANIFEST_FILE, S1Kind


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HubFile(_Frozen):
    """A checkpoint published on the Hugging Face hub."""

    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    file: Annotated[str, Field(min_length=1)]
    revision: Annotated[str, Field(min_length=1)] | None = None
    """Branch, tag or commit; the repository's main branch without it."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Digest the file must have; without it the first import says and records the one it found."""


class NamedModel(_Frozen):
    """One model of the registry."""

    use: Literal["trying", "production", "comparison"]
    """``trying``: trained on simulated scenes, for demos and tests; ``production``: for real seasons;
    ``comparison``: an index of bands, no model."""
    s1_kind: S1Kind
    """Kind of backscatter it takes; a catalogue that serves the other can be refused before any download."""
    folder: Path
    """Where its manifest and weights lie, relative to the root the caller gives."""
    hub: HubFile | None = None
    """Where its weights are published, for one that is not delivered with the software."""
    draft: Path | None = None
    """What its checkpoint does not say of itself, as the fields of a manifest; relative to the same root."""


class Registry(_Frozen):
    """All models of ``config/models.yaml``."""

    models: Annotated[dict[str, NamedModel], Field(min_length=1)]

    def find(self, name: str) -> NamedModel:
        """The entry of that name; `RegistryError` listing the names there are."""
        if name not in self.models:
            raise RegistryError(
                f"model {name!r} is not in the registry; it knows {', '.join(sorted(self.models))}"
            )
        return self.models[name]

    def folder(self, name: str, root: Path | str) -> Path:
        """The folder to `segmenter.model.load`, below `root`; `RegistryError` when it is not on this disk."""
        entry = self.find(name)
        folder = Path(root) / entry.folder
        if (folder / MANIFEST_FILE).is_file():
            return folder
        if entry.hub is None:
            raise RegistryError(f"model {name!r}: no {MANIFEST_FILE} in {folder}; restore the folder")
        raise RegistryError(
            f"model {name!r}: not on this disk, expected in {folder}. Its weights are published as "
            f"{entry.hub.repository}, file {entry.hub.file}, and must be imported first, which turns them "
            f"into safetensors and a manifest: `monitor model import {name}`"
        )


def read_registry(path: Path | str) -> Registry:
    """The registry in a YAML file; `RegistryError` naming the file and the field."""
    try:
        return Registry.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise RegistryError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise RegistryError(f"{path}: is not YAML: {error}") from error
    except ValidationError as error:
        raise RegistryError(f"{path}: {fields_at_fault(error)}") from error
