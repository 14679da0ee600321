"""Commands as people write them: options before or after the command, and every command of the pages."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from monitor.settings import CONFIG
from tests.support.commands import commands, parsed
from tests.support.places import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
#: what a person reads of a program: its messages, and comments of its settings
MESSAGES = sorted(
    [*(ROOT / "monitor").rglob("*.py"), *(ROOT / "storage").rglob("*.py"), *CONFIG.rglob("*.yaml")]
)
COMMAND = r"(?:\.venv/bin/)?monitor "
#: groups of commands, spoken of by name
GROUPS = [["alerts"], ["db"], ["export"], ["glaciers"], ["inventory"], ["lakes"], ["model"], ["review"]]
#: required arguments of a command, by name; an option's first name stands before its value
VALUES = {
    "season": "2023", "years": "2017-2023", "start": "2021", "end": "2022", "file": "lakes.gpkg",
    "folder": "out", "lake": "GL077053E42520N", "region": "ile_alatau", "name": "a-model",
    "into": "backups", "backup": "backups/mine", "alert": "1a2b3c4d", "by": "Aizhan",
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
    """Commands of `monitor` in a page or file: lines of blocks, and spans of code."""
    text = re.sub(r"\\\\\n\s*", "", page.read_text())
    blocks = re.findall(r"(?ms)^```\w*\n(.*?)^```", text) if page.suffix == ".md" else []
    text = re.sub(r"(?ms)^```.*?^```", "", text)
    blocks += re.findall(r"(?m)^ {4}monitor .*$", text) if page.suffix == ".md" else []
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    commands = [re.sub(r"\s{2,}.*", "", line) for line in lines if re.match(COMMAND, line)]  # without remarks
    commands += [" ".join(span.split()) for span in re.findall(rf"`({COMMAND}[^`]+)`", text)]
    return [re.sub(r"\{[^{}]*\}", "2023", command) for command in commands]  # fields of f-strings


def without_rest(command: str) -> list[str]:
    """The words of a command, up to a comment, a pipe or the next command."""
    words = shlex.split(command, comments=True)
    ends = [at for at, word in enumerate(words) if word in ("|", ";", "&&", "&", ">")]
    return [PLACEHOLDERS.get(word, word) for word in words[1 : min(ends, default=None)]]


@pytest.mark.parametrize("page", [*PAGES, *MESSAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_or_message_is_understood(page: Path) -> None:
    refused = []
    for command in commands_of(page):
        words = without_rest(command)
        if words[-1:] == ["--help"] or words[-1].endswith(("...", "…")):
            continue
        alone = [known for name, known in commands() if list(name) == words]
        words = [*words, *(required(alone[0]) if alone else ())]  # its name stands for the command
        if words in GROUPS:
            continue
        try:
            parsed(*words)
        except Exception as error:  # errors of click, which typer has a copy of
            refused.append(f"{command}: {error}")
    assert not refused, "\n".join(refused)


def test_pages_and_messages_do_name_commands() -> None:
    assert sum(len(commands_of(page)) for page in PAGES) > 70
    assert sum(len(commands_of(page)) for page in MESSAGES) > 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_regions_of_the_pages_exist(page: Path) -> None:
    known = {"demo", "REGION", *yaml.safe_load((CONFIG / "regions.yaml").read_text())}
    for block in re.findall(r"(?ms)^```yaml\n(regions:.*?)^```", page.read_text()):
        known |= set(yaml.safe_load(block)["regions"])
    used = {name for command in commands_of(page) for name in re.findall(r"(?:--region|-r) (\w+)", command)}
    assert used <= known


@pytest.mark.parametrize(
    "name", ["history", "inventories", "clusters", "notebooks", "first-season", "archives", "measurements"]
)
def test_files_that_a_page_names_exist(name: str) -> None:
    """Folders that are made by a command apart."""
    text = (ROOT / f"docs/{name}.md").read_text()
    rooms = "monitor|segmenter|storage|training|tests|benchmarks|config|docs|alembic"
    named = re.findall(rf"(?<![\w/])((?:{rooms})/[\w./-]*\w)", text)
    links = [f"docs/{link}" for link in re.findall(r"\]\(([\w-]+\.md)\)", text)]
    assert [path for path in [*named, *links] if not (ROOT / path).exists()] == []
