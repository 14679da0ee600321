"""Configuration of a rebuild: the model's name, its simulated worlds and its recipe, from a YAML file."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from segmenter.errors import fields_at_fault
from training.errors import TrainingError
from training.recipe import Recipe, parse_seeds


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Worlds(_Frozen):
    """Simulated archives, on simulated relief or on that of real elevations."""

    seeds: Annotated[tuple[int, ...], BeforeValidator(lambda text: parse_seeds(str(text)))]
    """Such as `101-110,120`."""
    relief: tuple[str, ...] = ()
    """Rasters of real elevations, below the folder of samples; the seeds take them in turn."""


class Config(_Frozen):
    """One rebuild. No seed and no raster serves two purposes, so that scores are of unseen worlds."""

    name: Annotated[str, Field(min_length=1)]
    version: Annotated[str, Field(min_length=1)]
    size: Annotated[int, Field(ge=256)] = 1024
    """Edge of an archive's square, px of 10 m."""
    seasons: str = "2021-2022"
    """Years of every archive."""
    train: tuple[Worlds, ...]
    validation: tuple[Worlds, ...]
    """Worlds on which scaling, thresholds and factors of areas are fitted."""
    test: Worlds
    test_on_relief: Worlds | None = None
    recipe: Recipe = Recipe()

    @model_validator(mode="after")
    def _one_purpose(self) -> Config:
        tests = [self.test] if self.test_on_relief is None else [self.test, self.test_on_relief]
        for what in ("seeds", "relief"):
            purposes = [
                {one for worlds in part for one in getattr(worlds, what)}
                for part in (self.train, self.validation, *([worlds] for worlds in tests))
            ]
            if twice := sorted({one for a, b in combinations(purposes, 2) for one in a & b}):
                raise ValueError(f"{what}: {twice} serve two purposes; scores need unseen worlds")
        return self

    def provenance(self) -> dict[str, Any]:
        """The configuration as it is written to the manifest of the model."""
        return self.model_dump(mode="json", exclude={"name", "version"})


def read_config(path: Path) -> Config:
    """Read a configuration.

    Raises:
        TrainingError: it cannot be read, or a field is wrong; the message names file and field.
    """
    try:
        return Config.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: is not YAML: {error}") from error
    except ValidationError as error:
        raise TrainingError(f"{path}: {fields_at_fault(error)}") from error
