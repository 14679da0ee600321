"""Registry of models by name: their folders, and the sources of published weights."""

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
    """Branch, tag or commit; None: the main branch."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Digest that the file must have; None: the first import prints and records the digest."""


class NamedModel(_Frozen):
    """A model of the registry."""

    use: Literal["trying", "production", "comparison"]
    """``trying``: trained on simulated mountains, for demos and tests; ``production``: for real seasons;
    ``comparison``: a water index, no model."""
    s1_kind: S1Kind
    """Kind of backscatter; a catalogue that serves another kind can be refused before any download."""
    folder: Path
    """Folder of its manifest and weights, relative to the root given by the caller."""
    hub: HubFile | None = None
    """Source of its weights, for a model that is not part of the software."""
    draft: Path | None = None
    """Draft of its manifest with the fields that its checkpoint lacks; relative to the same root."""


class Registry(_Frozen):
    """All models of ``config/models.yaml``."""

    models: Annotated[dict[str, NamedModel], Field(min_length=1)]

    def find(self, name: str) -> NamedModel:
        """The entry of a name. Raises `RegistryError` listing all names."""
        if name not in self.models:
            raise RegistryError(
                f"model {name!r} is not in the registry; it has {', '.join(sorted(self.models))}"
            )
        return self.models[name]

    def folder(self, name: str, root: Path | str) -> Path:
        """The folder of a model below `root`. Raises `RegistryError` when it does not exist."""
        entry = self.find(name)
        folder = Path(root) / entry.folder
        if (folder / MANIFEST_FILE).is_file():
            return folder
        if entry.hub is None:
            raise RegistryError(f"model {name!r}: no {MANIFEST_FILE} in {folder}; restore the folder")
        raise RegistryError(
            f"model {name!r}: not on this disk, expected in {folder}. Its weights are published as "
            f"{entry.hub.repository}, file {entry.hub.file}, and must be imported first, which converts them "
            f"to safetensors and a manifest: `monitor model import {name}`"
        )


def read_registry(path: Path | str) -> Registry:
    """Read the registry from a YAML file. Raises `RegistryError` naming the file and the field."""
    try:
        return Registry.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise RegistryError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise RegistryError(f"{path}: is not YAML: {error}") from error
    except ValidationError as error:
        raise RegistryError(f"{path}: {fields_at_fault(error)}") from error
