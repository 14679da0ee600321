"""Commands of models: import, list, show. Each reads the registry, works and prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.markup import escape

from monitor.console import err, out, print_json, progress_bar, table
from monitor.errors import RefusedError
from monitor.settings import CONFIG
from segmenter.errors import ManifestError, RegistryError
from segmenter.manifest import MANIFEST_FILE, WEIGHTS_FILE, read_manifest
from segmenter.registry import Registry, read_registry

if TYPE_CHECKING:
    from monitor.model_import import Imported
    from monitor.model_source import Request

#: what the registry's paths are relative to
ROOT = CONFIG.parent


def registry() -> Registry:
    """All models of config/models.yaml."""
    return read_registry(CONFIG / "models.yaml")


def run_import(request: Request, *, json: bool = False) -> None:
    """Import a checkpoint and say what came of it."""
    from monitor.model_import import STEPS, import_model
    from monitor.model_source import draft_of, find_source, folder_of

    known = registry()
    folder_of(request, known, ROOT)  # refused before anything is fetched
    draft_of(request, known, ROOT)
    if request.unsafe:
        err.print(
            "[bold yellow]warning[/]: --unsafe-pickle lets the checkpoint run whatever code it carries, with "
            "your rights"
        )
    source = find_source(request, known)
    with progress_bar() as progress:
        titles = [f"{request.name}: {name}" for name in (*STEPS, "done")]
        bar = progress.add_task(titles[0], total=len(STEPS))

        def step() -> None:
            progress.advance(bar)
            progress.update(bar, description=titles[int(progress.tasks[0].completed)])

        result = import_model(request, known, ROOT, source, step)
    if json:
        print_json(_as_json(result))
    else:
        _say(request, result, known)


def _as_json(result: Imported) -> dict[str, Any]:
    return {
        "name": result.manifest.name,
        "version": result.manifest.version,
        "folder": result.folder,
        "changed": result.changed,
        "digest": result.manifest.digest,
        "checkpoint": result.manifest.training["checkpoint"],
        "pinned": result.pinned,
        "difference": result.difference,
        "dropped": [asdict(part) for part in result.dropped],
    }


def _say(request: Request, result: Imported, known: Registry) -> None:
    """What was dropped, where the model is, how equal it is, and what to do next."""
    for part in result.dropped:
        megabytes = part.size / 1e6
        err.print(
            f"  not imported: {escape(part.what)}, {part.tensors} tensors, {megabytes:.1f} MB",
            highlight=False,
        )
    if not result.pinned:
        err.print(
            f"  nobody had said what the checkpoint's digest is; it is sha256 {result.sha256} and is "
            "recorded in the manifest",
            highlight=False,
            soft_wrap=True,
        )
    state = "imported" if result.changed else "was imported before, nothing changed"
    out.print(f"{result.manifest.name} {result.manifest.version}: {state}, {result.folder}", soft_wrap=True)
    kept = "float16" if request.half else "float32"
    out.print(
        f"largest difference of a logit from the checkpoint's own network: {result.difference:.2g} ({kept})"
    )
    if result.changed:
        named = request.name if request.name in known.models and request.folder is None else result.folder
        out.print(f"use it with `model: {named}` in monitor.yaml", soft_wrap=True)


@dataclass(frozen=True)
class Entry:
    """A model as `monitor model list` shows it."""

    name: str
    use: str
    s1_kind: str
    #: ready, not imported, or broken
    state: str
    version: str | None
    digest: str | None
    size_mb: float | None
    folder: Path
    #: what is wrong with a broken one
    problem: str | None = None


def show_models(*, json: bool = False) -> None:
    """The registry's models, and other folders below models/."""
    entries = list_models(registry(), ROOT)
    if json:
        print_json([asdict(entry) for entry in entries])
        return
    rows = [[e.name, e.use, e.s1_kind, e.state, e.version or "-"] for e in entries]
    table("Models", "model|for|S1|state|version", rows)
    for entry in entries:
        if entry.problem:
            err.print(f"  {escape(entry.problem)}", highlight=False, soft_wrap=True)


def list_models(known: Registry, root: Path) -> list[Entry]:
    """The registry's models in its order, then the other model folders below `root`/models by name."""
    folders = {name: root / entry.folder for name, entry in known.models.items()}
    others = sorted(path.parent for path in (root / "models").glob(f"[!.]*/{MANIFEST_FILE}"))
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


def show_model(name: str, *, json: bool = False) -> None:
    """One model's manifest, by its name or its folder: as YAML, or as JSON for scripts."""
    folder = _folder(name)
    manifest = read_manifest(folder)
    if json:
        fields = manifest.model_dump(mode="json")
        print_json({"folder": folder, "fingerprint": manifest.fingerprint, "manifest": fields})
        return
    fields = manifest.model_dump(mode="json", exclude_none=True)
    text = yaml.safe_dump(fields, sort_keys=False, default_flow_style=None, allow_unicode=True, width=100)
    out.print(
        f"# {folder}\n# fingerprint {manifest.fingerprint}\n{text}", markup=False, soft_wrap=True, end=""
    )


def _folder(name: str) -> Path:
    """The folder of a model of the registry, of one below models/, or the folder itself."""
    known = registry()
    if name in known.models:
        return known.folder(name, ROOT)
    for folder in (ROOT / "models" / name, Path(name)):
        if (folder / MANIFEST_FILE).is_file():
            return folder
    try:
        known.find(name)
    except RegistryError as error:
        raise RefusedError(f"{error}; nor is it a model's folder") from error
    raise AssertionError("a known name was handled above")
