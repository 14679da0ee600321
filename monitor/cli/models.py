"""`monitor model`: models on this machine, and the import of checkpoints."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.console import err, out, print_json, progress_of, say, styled, table
from monitor.cli.options import JsonOption

if TYPE_CHECKING:
    from monitor.models.importing import Imported
    from monitor.models.source import Request
    from segmenter.registry import Registry

model_app = typer.Typer(help="Models on this machine, and the import of checkpoints.", no_args_is_help=True)


@model_app.command("import")
def import_checkpoint(
    name: Annotated[str, typer.Argument(help="Name of the model: one of the registry, or a new one.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="Lightning checkpoint on this disk, instead of the hub's.")
    ] = None,
    repository: Annotated[str | None, typer.Option(help="Repository on the hub: owner/name.")] = None,
    file: Annotated[str | None, typer.Option(help="Path of the checkpoint in the repository.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of the repository.")] = None,
    sha256: Annotated[str | None, typer.Option(help="SHA-256 that the checkpoint must have.")] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(help="YAML with the values that a checkpoint does not hold; see docs/models.md."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Folder of the model; models/NAME if not given.")
    ] = None,
    water_class: Annotated[
        str | None, typer.Option(help="Class that is water, of two, by name or number.")
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store weights as float16: half the size, less precision.")
    ] = False,
    unsafe: Annotated[
        bool,
        typer.Option(
            "--unsafe-pickle", help="Allow the checkpoint to run code; only if you trust its source."
        ),
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the model that is in the folder.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Convert a terratorch checkpoint of TerraMind into a model: safetensors, manifest and card."""
    from monitor.models.source import Request

    run_import(
        Request(
            name,
            checkpoint,
            repository,
            file,
            revision,
            sha256,
            manifest,
            folder,
            water_class,
            half,
            unsafe,
            replace,
        ),
        json=json,
    )


@model_app.command("list")
def list_all(json: JsonOption = False) -> None:
    """List models of the registry and below models/: use, and whether they are installed."""
    from monitor.models.listing import MODELS_HOME, MODELS_ROOT, known_models, list_models

    entries = list_models(known_models(), MODELS_ROOT, MODELS_HOME)
    if json:
        print_json([asdict(entry) for entry in entries])
        return
    rows = [[e.name, e.use, e.s1_kind, e.state, e.version or "-"] for e in entries]
    table("Models", "model|for|S1|state|version", rows)
    for entry in entries:
        if entry.problem:
            err.print(f"  {entry.problem}", highlight=False, soft_wrap=True)


@model_app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name or folder.")],
    json: JsonOption = False,
) -> None:
    """Show the whole manifest of a model."""
    import yaml

    from monitor.models.listing import folder_of_model
    from segmenter.manifest import read_manifest

    folder = folder_of_model(name)
    manifest = read_manifest(folder)
    if json:
        fields = manifest.model_dump(mode="json")
        print_json({"folder": folder, "fingerprint": manifest.fingerprint, "manifest": fields})
        return
    fields = manifest.model_dump(mode="json", exclude_none=True)
    text = yaml.safe_dump(fields, sort_keys=False, default_flow_style=None, allow_unicode=True, width=100)
    out.print(f"# {folder}\n# fingerprint {manifest.fingerprint}\n{text}", soft_wrap=True, end="")


def run_import(request: Request, *, json: bool = False) -> None:
    """Import a checkpoint and print the result."""
    from monitor.models.importing import import_model
    from monitor.models.listing import MODELS_HOME, MODELS_ROOT, known_models
    from monitor.models.source import draft_of, find_source, folder_of

    known = known_models()
    folder_of(request, known, MODELS_HOME)  # refused before anything is fetched
    draft_of(request, known, MODELS_ROOT)
    if request.unsafe:
        err.print(
            styled(
                ("warning", "bold yellow"),
                ": --unsafe-pickle allows the checkpoint to run any code that it contains, with your rights",
            )
        )
    source = find_source(request, known)
    result = import_model(request, known, MODELS_ROOT, source, progress_of(request.name), home=MODELS_HOME)
    if json:
        print_json(_as_json(result))
    else:
        _print_result(request, result, known)


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


def _print_result(request: Request, result: Imported, known: Registry) -> None:
    """Print the parts left out, the folder, the difference from the checkpoint, and the setting."""
    for part in result.dropped:
        megabytes = part.size / 1e6
        err.print(
            f"  not imported: {part.what}, {part.tensors} tensors, {megabytes:.1f} MB",
            highlight=False,
        )
    if not result.pinned:
        err.print(
            f"  the checkpoint's digest was not given; it is sha256 {result.sha256} and is recorded in the "
            "manifest",
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
        say(f"use it with `model: {named}` in monitor.yaml")
