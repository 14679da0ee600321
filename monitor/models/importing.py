"""Import of a checkpoint as a model folder, which gives the same predictions as the checkpoint."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.errors import MonitorError, RefusedError
from monitor.models.card import CARD_FILE, card
from monitor.models.source import CheckpointFile, Request, draft_of, folder_of
from monitor.progress import SILENT, Progress
from segmenter.draft import complete
from segmenter.errors import ManifestError
from segmenter.hub import check_digest
from segmenter.manifest import MANIFEST_FILE, Manifest, read_manifest
from segmenter.recognise import Found, recognise
from segmenter.registry import NamedModel, Registry

if TYPE_CHECKING:
    from segmenter.checkpoint import Checkpoint, Dropped

#: largest difference of a logit that is accepted as rounding, for weights stored as float32
ROUNDING = 1e-4
#: steps of an import: digest, reading, prediction of the checkpoint, conversion, comparison
STEPS = 5


@dataclass(frozen=True)
class Imported:
    """The result of an import."""

    manifest: Manifest
    folder: Path
    #: False if the folder already had the same model
    changed: bool
    sha256: str
    #: whether the digest of the checkpoint was known before, and checked
    pinned: bool
    #: largest difference of a logit between model and checkpoint, on random chips
    difference: float
    dropped: tuple[Dropped, ...]


def import_model(
    request: Request,
    registry: Registry,
    root: Path,
    source: CheckpointFile,
    progress: Progress = SILENT,
    *,
    home: Path | None = None,
) -> Imported:
    """Convert a checkpoint to a model folder. The folder is replaced only after all checks have passed.

    Args:
        root: folder to which the registry's paths are relative.
        home: folder to which folders of imported models are relative, `root` by default.

    Raises:
        RefusedError: the folder contains another model, or something other than a model.
        SegmenterError: checkpoint and draft do not give a valid model.
        MonitorError: the predictions of model and checkpoint differ, or the folder cannot be written.
    """
    with progress.count("import", STEPS) as step:
        draft = draft_of(request, registry, root)
        folder = folder_of(request, registry, home or root)
        return _import(request, registry.models.get(request.name), draft, folder, source, step)


def _import(
    request: Request,
    entry: NamedModel | None,
    drafted: tuple[dict[str, Any], str],
    folder: Path,
    source: CheckpointFile,
    step: Callable[[], None],
) -> Imported:
    draft, where = drafted
    existing = _existing_model(folder, request.replace)
    recorded = _checkpoint_digest(existing)
    sha256 = check_digest(source.path, source.sha256, "must be")
    pinned = source.sha256 is not None or recorded == sha256
    if not request.replace and recorded not in (None, sha256):
        raise RefusedError(
            f"{folder}: contains a model imported from another checkpoint (sha256 {recorded}, this one has "
            f"{sha256}); --replace replaces it"
        )
    step()
    from segmenter.checkpoint import read_checkpoint
    from segmenter.conversion import water_class

    checkpoint = read_checkpoint(source.path, unsafe=request.unsafe)
    shapes = {name: tuple(value.shape) for name, value in checkpoint.weights.items()}
    found = recognise(shapes, checkpoint.arguments)
    facts = source.facts | {"sha256": sha256} | checkpoint.facts
    drafted_class = draft.pop("water_class", None)
    chosen_class = request.water_class if request.water_class is not None else drafted_class
    manifest = complete(draft, request.name, found, facts, where)
    water = water_class(found, checkpoint.class_names, chosen_class)
    _check_kind(manifest, entry)
    step()
    part = folder.with_name(f".{folder.name}-{os.getpid()}.part")
    try:
        written, difference = _convert(checkpoint, found, manifest, water, part, request.half, step)
        if not request.half and not difference <= ROUNDING:
            raise MonitorError(
                f"{folder}: not written: the logits of the imported model differ by {difference:.2g} from "
                "those of the checkpoint; please report this with the name of the checkpoint"
            )
        changed = _move(part, folder, written, existing, request.replace)
    except OSError as error:
        raise MonitorError(f"{folder}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Imported(written, folder, changed, sha256, pinned, difference, checkpoint.dropped)


def _convert(
    checkpoint: Checkpoint,
    found: Found,
    manifest: Manifest,
    water: int,
    folder: Path,
    half: bool,
    step: Callable[[], None],
) -> tuple[Manifest, float]:
    """Write the model, load it as a run does, and compare its logits with those of the checkpoint.

    Returns:
        the manifest, and the largest difference of a logit.
    """
    from segmenter.conversion import build_imported, checkpoint_logits, imported_logits, random_chips
    from segmenter.model import save

    chips = random_chips(manifest)
    expected = checkpoint_logits(checkpoint, found, manifest, water, chips)
    step()
    written = save(folder, build_imported(checkpoint, found, manifest, water), manifest, half=half)
    (folder / CARD_FILE).write_text(card(written, half=half), encoding="utf-8")
    step()
    difference = float((imported_logits(folder, chips) - expected).abs().max())
    step()
    return written, difference


def _check_kind(manifest: Manifest, entry: NamedModel | None) -> None:
    if entry is not None and entry.s1_kind != manifest.inputs.S1.kind:
        raise RefusedError(
            f"model {manifest.name!r}: inputs.S1.kind is {manifest.inputs.S1.kind!r}, but "
            f"{entry.s1_kind!r} in the registry; correct config/models.yaml, or choose another name"
        )


def _existing_model(folder: Path, replace: bool) -> Manifest | None:
    """The model in `folder`; None if there is none, or if it is broken and `replace` is set."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if not (folder / MANIFEST_FILE).is_file():
        raise RefusedError(f"{folder}: exists, and is not a model folder; choose another with --folder")
    try:
        return read_manifest(folder)
    except ManifestError as error:
        if replace:
            return None
        raise RefusedError(f"{folder}: contains a broken model ({error}); --replace replaces it") from error


def _checkpoint_digest(model: Manifest | None) -> str | None:
    """SHA-256 of the checkpoint from which a model was imported, None if it was not imported."""
    checkpoint = model.training.get("checkpoint") if model is not None else None
    return str(checkpoint["sha256"]) if isinstance(checkpoint, dict) and "sha256" in checkpoint else None


def _move(part: Path, folder: Path, written: Manifest, existing: Manifest | None, replace: bool) -> bool:
    """Move the new folder to its place; False if the same model is already there."""
    if existing is not None:
        new, old_fields = (m.model_dump(exclude={"training"}) for m in (written, existing))
        changed = [name for name, value in new.items() if value != old_fields[name]]
        if not changed:
            return False
        if not replace:
            raise RefusedError(
                f"{folder}: contains another model: its {', '.join(changed)} would change; --replace "
                "replaces it"
            )
    old = folder.with_name(f".{folder.name}-{os.getpid()}.old")
    if folder.exists():
        folder.rename(old)
    try:
        part.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
    return True
