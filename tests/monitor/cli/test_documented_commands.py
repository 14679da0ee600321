"""Commands as people write them: options before or after the command, and every command of the pages."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.support.commands import commands, parsed
from tests.support.places import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
#: required arguments of a command, by name; an option's first name stands before its value
VALUES = {
    "season": "2023", "years": "2017-2023", "start": "2021", "end": "2022", "file": "lakes.gpkg",
    "folder": "out", "lake": "GL077053E42520N", "region": "ile_alatau", "name": "a-model",
}  # fmt: skip
#: words that stand for a value in a page
PLACEHOLDERS = {"YEAR": "2023", "YEARS": "2017-2023"}
WITH_WORKSPACE = [
    (words, command)
    for words, command in commands()
    if any(parameter.name == "workspace" for parameter in command.params)
]


def required(command) -> list[str]:
    """Arguments without which the command is refused."""
    given: list[str] = []
    for parameter in command.params:
        if parameter.required:
            name = [parameter.opts[0]] if parameter.param_type_name == "option" else []
            given += [*name, VALUES[parameter.name]]
    return given


@pytest.mark.parametrize(("words", "command"), WITH_WORKSPACE, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("option", ["--workspace", "-w"])
def test_the_workspace_may_stand_before_and_after(words, command, option: str) -> None:
    needed = required(command)
    before = parsed(option, "mine", *words, *needed)
    assert before["workspace"] == Path("mine")
    assert before == parsed(*words, option, "mine", *needed) == parsed(*words, *needed, option, "mine")
    assert parsed(option, "other", *words, *needed, option, "mine") == before


def test_the_workspace_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_WORKSPACE", "mine")
    assert parsed("status")["workspace"] == Path("mine")
    assert parsed("status", "-w", "other")["workspace"] == Path("other")


def commands_of(page: Path) -> list[str]:
    """Commands of `monitor` in a page: lines of fenced blocks, and spans of code."""
    found: list[str] = []
    fenced = False
    for line in re.sub(r"\\\n\s*", "", page.read_text()).splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced:
            found += re.findall(r"^\s*(?:\$ )?((?:\.venv/bin/)?monitor .*)$", line)
    spans = re.findall(
        r"(?<!`)`((?:\.venv/bin/)?monitor [^`]+)`(?!`)", re.sub(r"(?s)```.*?```", "", page.read_text())
    )
    return found + [" ".join(span.split()) for span in spans]


def without_rest(command: str) -> list[str]:
    """The words of a command, up to a comment, a pipe or the next command."""
    words = shlex.split(command, comments=True)
    ends = [at for at, word in enumerate(words) if word in ("|", ";", "&&", "&", ">")]
    return [PLACEHOLDERS.get(word, word) for word in words[1 : min(ends, default=None)]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_the_pages_is_understood(page: Path) -> None:
    refused = []
    for command in commands_of(page):
        words = without_rest(command)
        if words == ["--help"] or "..." in command or "…" in command:
            continue
        group = [command for name, command in commands() if list(name) == words]
        words = [*words, *(required(group[0]) if group else ())]  # its name alone is spoken of
        try:
            parsed(*words)
        except Exception as error:  # click's errors, also those of its private copy in typer
            refused.append(f"{command}: {error}")
    assert not refused, "\n".join(refused)


def test_the_pages_do_name_commands() -> None:
    assert sum(len(commands_of(page)) for page in PAGES) > 60
