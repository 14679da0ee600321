"""The command line's own parser, without running what it parses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command

from monitor.cli.main import app


def parsed(*arguments: str) -> dict[str, Any]:
    """The parameters that `monitor` gives to the command of these arguments.

    Raises:
        typer's own UsageError: no such command, option or value.
    """
    context = get_command(app).make_context("monitor", list(arguments))
    command: Any = context.command
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
    return dict(context.params)


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its name's words."""

    def below(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
        if isinstance(command, typer.core.TyperGroup):
            for name, inner in command.commands.items():
                yield from below(inner, (*words, name))
        else:
            yield words, command

    yield from below(get_command(app), ())
