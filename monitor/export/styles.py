"""Styles of exported layers: `templates/<view>.qml` for QGIS 3.18 and later, `<view>.sld` in OGC SLD 1.1.

The colours and class names of changes are those of `monitor.drawing.palette`; a test checks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from storage.exports import View

TITLES = {
    View.LATEST: "Lakes by size",
    View.HISTORY: "Shorelines by season",
    View.CHANGES: "Changes by verdict",
}


@dataclass(frozen=True)
class Style:
    """The look of a layer in both languages."""

    title: str
    qml: str
    sld: str


def style_of(view: View) -> Style:
    """The style that is delivered for a view."""
    folder = resources.files("monitor.export") / "templates"
    qml, sld = (folder.joinpath(f"{view.value}.{language}").read_text("utf-8") for language in ("qml", "sld"))
    return Style(TITLES[view], qml, sld)
