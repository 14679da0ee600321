"""Text of other people (names of lakes, sources, item ids, errors of servers) where it is shown."""

from __future__ import annotations

import re

#: characters of a cell or log line
LONGEST = 300
#: control characters but tab and newline, marks that turn or isolate the direction of writing, separators of
#: lines, and halves of characters, which no encoding has
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
#: beginnings of formulas in spreadsheets, also in the wide forms that some programs read as the narrow ones
FORMULA = "^([=+@\t\r\n\uff1d\uff0b\uff0d\uff20-])"
_FORMULA = re.compile(FORMULA)


def visible(text: str) -> str:
    """The text with control characters written as escapes, such as \\x1b: they can rewrite a terminal."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str, longest: int = LONGEST) -> str:
    """The text on one line of at most `longest` characters, with control characters as escapes."""
    line = visible(text).replace("\n", "\\n").replace("\t", " ")
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def cell_text(text: str) -> str:
    """Text of a cell of a CSV file, with an apostrophe before it if a spreadsheet would run it as a formula.

    A formula can send the content of a sheet to another machine (OWASP, "CSV injection").
    """
    return _FORMULA.sub(r"'\1", text)
