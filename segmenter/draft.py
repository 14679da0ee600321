"""Drafts of manifests: what a checkpoint cannot say of itself, written by a person, and the two made one."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from segmenter.errors import ManifestError, fields_at_fault
from segmenter.manifest import NO_WEIGHTS, Manifest, ModalityName
from segmenter.recognise import BANDS, Found


def read_draft(path: Path | str) -> dict[str, Any]:
    """The fields in a YAML file; `ManifestError` naming the file where it holds none."""
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
    """The manifest of the model `name` that a checkpoint becomes; its digest is still `NO_WEIGHTS`.

    Args:
        draft: fields by a person; they may repeat what was found, but not contradict it.
        found: what the checkpoint says of itself.
        checkpoint: where it comes from; becomes `training.checkpoint`.
        where: the draft's name, for errors.

    Raises:
        ManifestError: fields are missing, wrong or contradict the checkpoint; names `where` and the field.
    """
    asked = draft.get("architecture") or {}
    for field in asked.keys() & found.architecture.keys():
        if _listed(asked[field]) != _listed(found.architecture[field]):
            raise ManifestError(
                f"{where}: architecture.{field}: is {asked[field]}, but the checkpoint has "
                f"{found.architecture[field]}"
            )
    if draft.get("name", name) != name:
        raise ManifestError(f"{where}: name: is {draft['name']!r}, but the model is imported as {name!r}")
    fields = draft | {
        "name": name,
        "digest": NO_WEIGHTS,
        "architecture": found.architecture | asked,
        "inputs": _inputs(draft.get("inputs") or {}, found, where),
        "training": (draft.get("training") or {}) | {"checkpoint": checkpoint},
    }
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        raise ManifestError(f"{where}: {fields_at_fault(error)}") from error


def _inputs(inputs: dict[str, Any], found: Found, where: str) -> dict[str, Any]:
    """The inputs of a draft with what the checkpoint says: bands, kind of backscatter, what it never sees."""
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
        else:  # the network is not shown it, so its numbers mean nothing
            unused = {"bands": bands, "mean": (0.0,) * len(bands), "std": (1.0,) * len(bands)}
            filled[name] = unused | {key: part[key] for key in ("kind",) if key in part}
    return filled


def _all_bands(
    part: dict[str, Any], name: ModalityName, taken: tuple[str, ...], where: str
) -> dict[str, Any]:
    """A modality with a statistic for every band; bands the network does not know get those of the others."""
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
    """A value whose sequences compare whether they are lists or tuples."""
    if isinstance(value, list | tuple):
        return [_listed(part) for part in value]
    return value
