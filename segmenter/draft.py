"""Drafts of manifests: fields written by a person, completed with the fields found in a checkpoint."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from segmenter.errors import ManifestError, fields_at_fault
from segmenter.manifest import NO_WEIGHTS, Manifest, ModalityName
from segmenter.recognise import BANDS, Found


def read_draft(path: Path | str) -> dict[str, Any]:
    """Read the fields of a draft from a YAML file. Raises `ManifestError` naming the file."""
    try:
        fields = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: is not YAML: {error}") from error
    if not isinstance(fields, dict):
        raise ManifestError(f"{path}: must hold a manifest's fields, such as version, license and inputs")
    return fields


def complete(
    draft: dict[str, Any], name: str, found: Found, checkpoint: dict[str, Any], where: str
) -> Manifest:
    """Combine a draft and a checkpoint to the manifest of the model `name`, with the digest `NO_WEIGHTS`.

    Args:
        draft: fields written by a person; they may repeat those of the checkpoint, but not contradict them.
        found: fields found in the checkpoint.
        checkpoint: origin of the checkpoint; becomes `training.checkpoint`.
        where: name of the draft, for errors.

    Raises:
        ManifestError: fields are missing, wrong or contradict the checkpoint; names `where` and the field.
    """
    given = draft.get("architecture") or {}
    for field in given.keys() & found.architecture.keys():
        if _listed(given[field]) != _listed(found.architecture[field]):
            raise ManifestError(
                f"{where}: architecture.{field}: is {given[field]}, but the checkpoint has "
                f"{found.architecture[field]}"
            )
    if draft.get("name", name) != name:
        raise ManifestError(f"{where}: name: is {draft['name']!r}, but the model is imported as {name!r}")
    fields = draft | {
        "name": name,
        "digest": NO_WEIGHTS,
        "architecture": found.architecture | given,
        "inputs": _inputs(draft.get("inputs") or {}, found, where),
        "training": (draft.get("training") or {}) | {"checkpoint": checkpoint},
    }
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        raise ManifestError(f"{where}: {fields_at_fault(error)}") from error


def _inputs(inputs: dict[str, Any], found: Found, where: str) -> dict[str, Any]:
    """Inputs of a draft, completed with the checkpoint's bands and kind of backscatter, and unused inputs."""
    filled: dict[str, Any] = dict(inputs)
    for name, bands in BANDS.items():
        part = dict(inputs.get(name) or {})
        if (
            name == "S1"
            and found.s1_kind is not None
            and part.setdefault("kind", found.s1_kind) != found.s1_kind
        ):
            raise ManifestError(
                f"{where}: inputs.S1.kind: is {part['kind']!r}, but the checkpoint embeds backscatter as "
                f"{found.s1_kind!r}"
            )
        if name in found.bands:
            filled[name] = _all_bands(part, name, found.bands[name], where)
        else:  # the network does not take this modality, so its statistics have no effect
            unused = {"bands": bands, "mean": (0.0,) * len(bands), "std": (1.0,) * len(bands)}
            filled[name] = unused | {key: part[key] for key in ("kind",) if key in part}
    return filled


def _all_bands(
    part: dict[str, Any], name: ModalityName, taken: tuple[str, ...], where: str
) -> dict[str, Any]:
    """A modality with statistics for every band; unused bands have those of the first."""
    given = tuple(part.get("bands") or taken)
    if given not in (taken, BANDS[name]):
        raise ManifestError(
            f"{where}: inputs.{name}.bands: are {' '.join(given)}, but the checkpoint takes {' '.join(taken)}"
        )
    filled = part | {"bands": BANDS[name]}
    for statistic in ("mean", "std"):
        values = part.get(statistic)
        if isinstance(values, list) and len(values) == len(given) < len(BANDS[name]):
            known = dict(zip(given, values, strict=True))
            filled[statistic] = [known.get(band, values[0]) for band in BANDS[name]]
    return filled


def _listed(value: Any) -> Any:
    """The value with tuples converted to lists, for comparison."""
    if isinstance(value, list | tuple):
        return [_listed(part) for part in value]
    return value
