"""SQL files of a migration: views, functions and triggers, with the policies of `storage.policy` put in.

In a file `:z95`, `:seen_whole` and the like stand where a value of a policy belongs. A view cannot take
parameters, so the value is written into its text when the view is created.
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

# a name after one colon; two colons are a cast
_NAME = re.compile(r"(?<!:):([a-z]\w*)")


def read_sql(file: Path, **names: str) -> str:
    """Text of a file with policies, and other `names`, in place of `:name`.

    Raises KeyError for a name that is neither.
    """
    known = {**POLICIES, **names}
    return _NAME.sub(lambda found: known[found[1]], file.read_text(encoding="utf-8"))
