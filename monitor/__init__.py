"""From a region and a season to lakes, their changes and the review queue.

Notebooks use `open_cube` and `open_history` (docs/notebooks.md); everything else is a command of `monitor`.
Heavy libraries are imported when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monitor.export.notebooks import open_cube, open_history

__all__ = ["open_cube", "open_history"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from monitor.export import notebooks

        return getattr(notebooks, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
