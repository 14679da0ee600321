"""Read the SQL files of a migration (views, functions, triggers) and substitute `storage.policy` in them.

The files contain placeholders such as `:z95` and `:seen_whole`. A view cannot take parameters, so the values
are written into its text when it is created.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from storage.policy import DRAINAGE_LOSS, PREFERENCE, SEEN_WHOLE, Z95

__all__ = ["POLICIES", "read_sql"]

POLICIES: Mapping[str, str] = {
    "z95": str(Z95),
    "seen_whole": str(SEEN_WHOLE),
    "drainage_loss": str(DRAINAGE_LOSS),
    "preference": PREFERENCE,
}

# a name after a single colon; a double colon is a cast
_NAME = re.compile(r"(?<!:):([a-z]\w*)")


def read_sql(file: Path, **names: str) -> str:
    """Text of a file with the values of policies and `names` in place of `:name`.

    Raises KeyError for an unknown name.
    """
    known = {**POLICIES, **names}
    return _NAME.sub(lambda found: known[found[1]], file.read_text(encoding="utf-8"))
