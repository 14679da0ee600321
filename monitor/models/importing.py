"""From somebody's checkpoint to a model folder that answers the same, or to no change at all."""

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

#: largest difference of a logit that is rounding, for weights kept as float32
ROUNDING = 1e-4
#: digest, reading, the checkpoint's answer, converting, comparing
STEPS = 5


@dataclass(frozen=True)
class Imported:
    """What came of an import."""

    manifest: Manifest
    folder: Path
    #: False where the very same model was there before
    changed: bool
    sha256: str
    #: whether somebody had said before which digest the checkpoint must have
    pinned: bool
    #: largest, of a logit of a random chip, from the checkpoint's own network
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
    """Turn a checkpoint into a model folder; nothing of the folder changes before all of it is right.

    Args:
        root: the registry's paths are relative to it.
        home: folders of imported models are relative to it, if not to `root`.

    Raises:
        RefusedError: the folder holds another model, or is no model's.
        SegmenterError: the checkpoint, the draft or the two together do not make a model.
        MonitorError: the folder's answers are not the checkpoint's.
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
    there = _there(folder, request.replace)
    sha256 = check_digest(source.path, source.sha256, "must be")
    pinned = source.sha256 is not None or _recorded(there) == sha256
    if not request.replace and _recorded(there) not in (None, sha256):
        raise RefusedError(
            f"{folder}: holds a model made of another checkpoint (sha256 {_recorded(there)}, this one has "
            f"{sha256}); --replace takes this one"
        )
    step()
    from segmenter.checkpoint import read_checkpoint
    from segmenter.conversion import water_class

    checkpoint = read_checkpoint(source.path, unsafe=request.unsafe)
    shapes = {name: tuple(value.shape) for name, value in checkpoint.weights.items()}
    found = recognise(shapes, checkpoint.arguments)
    facts = source.facts | {"sha256": sha256} | checkpoint.facts
    asked = request.water_class if request.water_class is not None else draft.pop("water_class", None)
    draft.pop("water_class", None)
    manifest = complete(draft, request.name, found, facts, where)
    water = water_class(found, checkpoint.class_names, asked)
    _check_kind(manifest, entry)
    step()
    beside = folder.with_name(f".{folder.name}-{os.getpid()}.part")
    try:
        written, difference = _convert(checkpoint, found, manifest, water, beside, request.half, step)
        if not request.half and not difference <= ROUNDING:
            raise MonitorError(
                f"{folder}: not written: the imported model's logits differ by {difference:.2g} from the "
                "checkpoint's; please report it with the checkpoint's name"
            )
        changed = _move(beside, folder, written, there, request.replace)
    except OSError as error:
        raise MonitorError(f"{folder}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
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
    """Write the model, and compare it, loaded as a run loads it, with the checkpoint's own network."""
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
            f"model {manifest.name!r}: inputs.S1.kind is {manifest.inputs.S1.kind!r}, the registry says "
            f"{entry.s1_kind!r}; correct config/models.yaml, or import it under another name"
        )


def _there(folder: Path, replace: bool) -> Manifest | None:
    """The model in `folder`; None where there is none, or one so broken that it is to be replaced."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if not (folder / MANIFEST_FILE).is_file():
        raise RefusedError(f"{folder}: is there, and is no model's folder; name another with --folder")
    try:
        return read_manifest(folder)
    except ManifestError as error:
        if replace:
            return None
        raise RefusedError(
            f"{folder}: holds a model that is broken ({error}); --replace puts this one in its place"
        ) from error


def _recorded(there: Manifest | None) -> str | None:
    """SHA-256 of the checkpoint that a model was made of, if it was imported."""
    made_of = there.training.get("checkpoint") if there is not None else None
    return str(made_of["sha256"]) if isinstance(made_of, dict) and "sha256" in made_of else None


def _move(beside: Path, folder: Path, written: Manifest, there: Manifest | None, replace: bool) -> bool:
    """Put the new folder in its place; False where the same model is there already."""
    if there is not None:
        ours, theirs = (m.model_dump(exclude={"training"}) for m in (written, there))
        other = [name for name, value in ours.items() if value != theirs[name]]
        if not other:
            return False
        if not replace:
            raise RefusedError(
                f"{folder}: holds another model: its {', '.join(other)} would change; --replace puts this "
                "one in its place"
            )
    old = folder.with_name(f".{folder.name}-{os.getpid()}.old")
    if folder.exists():
        folder.rename(old)
    try:
        beside.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
    return True
