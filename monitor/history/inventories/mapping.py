"""Mapping of an inventory's file: its columns, its source, and the area it covers."""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import shapely
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from shapely.geometry.base import BaseGeometry

from monitor.entries.yaml_files import read_yaml
from monitor.errors import RefusedError
from monitor.settings import CONFIG, explain

INVENTORIES = CONFIG / "inventories"


class Mapping(BaseModel):
    """A mapping file, of `config/inventories` or of the user. Unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: name of the inventory in the history; the file's name by default
    source: Annotated[str, Field(min_length=1)] | None = None
    citation: str | None = None
    licence: str | None = None
    #: pixel size of the images that were mapped, m, for the error of the areas; that of Landsat by default
    pixel_m: Annotated[float, Field(gt=0, le=1000)] = 30.0
    #: the inventory contains every lake of the area it covers, so that a known lake it leaves out is dry
    complete: bool = False
    #: the area it covers, if smaller than the region: west, south, east, north in degrees
    bounds: tuple[float, float, float, float] | None = None
    #: column with the year, in a file of several years
    year: str | None = None
    #: column with the inventory's own id, which is stored as a label and not used as identity
    label: str | None = None
    #: column with the lake's elevation, m
    elevation_m: str | None = None
    #: columns with the first and last day of the lake's images
    first_day: str | None = None
    last_day: str | None = None
    #: format of days that are written otherwise than 2017-08-15 or 20170815, as in `strptime`: %d/%m/%Y
    day_format: Annotated[str, Field(min_length=1)] | None = None
    #: layer of a file that has several
    layer: str | None = None
    #: encoding of the texts of a file that does not declare it, such as GBK
    encoding: str | None = None
    #: other columns to store: name in the history to column of the file
    attributes: dict[str, str] = {}

    @model_validator(mode="after")
    def _degrees(self) -> Mapping:
        if self.bounds is not None:
            west, south, east, north = self.bounds
            if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
                raise ValueError(f"bounds {[*self.bounds]} are not west, south, east, north in degrees")
        return self

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str | None) -> str | None:
        try:
            "a".encode(name or "ascii")
        except LookupError as error:
            raise ValueError(f"there is no encoding {name!r}; such as GBK, cp1252, UTF-8") from error
        return name

    def covered(self, outline: BaseGeometry | None) -> BaseGeometry | None:
        """The part of a region (EPSG:4326) that the inventory covers; None if neither is known."""
        if self.bounds is None:
            return outline
        box = shapely.box(*self.bounds)
        return box if outline is None else outline.intersection(box)

    def columns(self) -> dict[str, str]:
        """Keys of this mapping to the columns that they name."""
        single = {
            key: getattr(self, key) for key in ("year", "label", "elevation_m", "first_day", "last_day")
        }
        named = {key: column for key, column in single.items() if column is not None}
        return named | {f"attributes.{name}": column for name, column in self.attributes.items()}

    def check(self, path: Path, columns: Sequence[str]) -> None:
        """Check that `columns` has each column of this mapping, once.

        Raises:
            RefusedError: columns are missing or occur twice; the message names them.
        """
        for key, column in self.columns().items():
            if columns.count(column) > 1:
                raise RefusedError(
                    f"{path} has {columns.count(column)} columns {column!r} ({key}); rename one"
                )
        missing = {key: column for key, column in self.columns().items() if column not in columns}
        if missing:
            wanted = ", ".join(f"{column!r} ({key})" for key, column in missing.items())
            raise RefusedError(f"{path} has no column {wanted}; it has {', '.join(columns)}")


def read_mapping(name: str | None, overrides: Dictionary[str, Any] | None = None) -> Mapping:
    """Read a mapping.

    Args:
        name: a file of config/inventories or a path; None for an empty mapping.
        overrides: values that replace those of the file, unless they are None; `bounds` may be text.

    Raises:
        RefusedError: there is no such file, it is not YAML, or a key is wrong.
    """
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    if isinstance(given.get("bounds"), str):
        given["bounds"] = given["bounds"].split(",")
    content: dict[str, Any] = {}
    path = Path(name or "the command line")
    if name is not None:
        path = INVENTORIES / f"{name}.yaml" if (INVENTORIES / f"{name}.yaml").is_file() else path
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in INVENTORIES.glob("*.yaml")))
            raise RefusedError(f"--mapping {name}: neither one of config/inventories ({known}) nor a file")
        content = read_yaml(path) or {}
    if not isinstance(content, dict):
        raise RefusedError(f"{path} cannot be used as a mapping: it must be a YAML mapping of keys to values")
    try:
        return Mapping.model_validate(content | given)
    except ValidationError as error:
        raise RefusedError(explain(path, error, lambda _: ", ".join(Mapping.model_fields))) from error
