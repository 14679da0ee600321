"""`monitor model`: its commands and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

model_app = typer.Typer(help="Models on this machine, and other people's checkpoints.", no_args_is_help=True)
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@model_app.command("import")
def model_import(
    name: Annotated[str, typer.Argument(help="The model's name: one of the registry, or a new one.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="Lightning checkpoint on this disk, in place of the hub's.")
    ] = None,
    repository: Annotated[str | None, typer.Option(help="Repository on the hub: owner/name.")] = None,
    file: Annotated[str | None, typer.Option(help="The checkpoint's path in the repository.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of the repository.")] = None,
    sha256: Annotated[str | None, typer.Option(help="Digest the checkpoint must have.")] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="YAML with what a checkpoint does not hold; see docs/models.md.")
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Where the model goes; models/NAME without it.")] = None,
    water_class: Annotated[
        str | None, typer.Option(help="Which of two classes is water, by name or number.")
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Keep float16: half the size, fewer digits.")] = False,
    unsafe: Annotated[
        bool, typer.Option("--unsafe-pickle", help="Let the checkpoint run code; only if you trust it.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in another model's place.")] = False,
    json: JsonOption = False,
) -> None:
    """Make a checkpoint of terratorch's TerraMind a model: safetensors, manifest and card."""
    from monitor.model_source import Request
    from monitor.models import run_import

    request = Request(
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
    )
    run_import(request, json=json)


@model_app.command("list")
def model_list(json: JsonOption = False) -> None:
    """Models of the registry and below models/: what each is for, and whether it is here."""
    from monitor.models import show_models

    show_models(json=json)


@model_app.command("show")
def model_show(
    name: Annotated[str, typer.Argument(help="Name or folder.")],
    json: JsonOption = False,
) -> None:
    """All of a model's manifest."""
    from monitor.models import show_model

    show_model(name, json=json)
