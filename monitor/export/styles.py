"""How exported layers look: one description each, written as a QGIS style (QML) and as OGC SLD 1.1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree as Xml

import matplotlib

from monitor.report.region_map import COLOURS

_SLD, _SE, _OGC = "http://www.opengis.net/sld", "http://www.opengis.net/se", "http://www.opengis.net/ogc"
#: areas at which the colour changes, hectares
CLASSES_HA = (1.0, 5.0, 20.0, 100.0)


@dataclass(frozen=True)
class Look:
    """One class of features: which, what they are called, and their colours (#rrggbb)."""

    label: str
    outline: str
    fill: str | None = None
    """None leaves the inside clear."""
    value: str | int | None = None
    """What the attribute is, for styles by value."""
    low: float = 0.0
    high: float | None = None
    """From `low` up to `high`, for styles by size; None has no end."""


@dataclass(frozen=True)
class Style:
    """A layer's look by one attribute: by value where its classes name values, else by size."""

    title: str
    attribute: str
    looks: Sequence[Look] = field(default_factory=tuple)
    tip: str = ""
    """HTML shown beside the pointer, with QGIS expressions between [% and %]."""
    opacity: float = 0.45
    """Of the inside, 0 to 1."""

    @property
    def by_value(self) -> bool:
        return any(look.value is not None for look in self.looks)


def latest_style() -> Style:
    """Lakes by size, larger ones darker."""
    edges = (0.0, *CLASSES_HA)
    blues = matplotlib.colormaps["Blues"]
    looks = []
    for number, low in enumerate(edges):
        high = edges[number + 1] if number + 1 < len(edges) else None
        label = (
            f"under {high:g} ha" if number == 0 else f"{low:g} to {high:g} ha" if high else f"over {low:g} ha"
        )
        colour = matplotlib.colors.to_hex(blues(0.35 + 0.6 * number / len(CLASSES_HA)))
        looks.append(Look(label, "#08306b", colour, low=low * 1e4, high=None if high is None else high * 1e4))
    tip = (
        '<b>[% "code" %]</b> [% "season" %]<br>[% round("area_m2" / 10000, 2) %] ha '
        '([% round("area_low_m2" / 10000, 2) %] to [% round("area_high_m2" / 10000, 2) %])<br>[% "source" %]'
    )
    return Style("Lakes by size", "area_m2", tuple(looks), tip, opacity=0.6)


def history_style(seasons: Sequence[int]) -> Style:
    """Shorelines by season, later ones darker; insides clear, for they lie over one another."""
    viridis = matplotlib.colormaps["viridis_r"]
    last = max(len(seasons) - 1, 1)
    looks = tuple(
        Look(str(season), matplotlib.colors.to_hex(viridis(number / last)), value=season)
        for number, season in enumerate(seasons)
    )
    tip = '<b>[% "code" %]</b> [% "season" %]<br>[% round("area_m2" / 10000, 2) %] ha<br>[% "source" %]'
    return Style("Shorelines by season", "season", looks, tip)


def changes_style() -> Style:
    """Lakes by what happened to them, in the colours of the demo's picture."""
    looks = tuple(
        Look(verdict.value, colour, colour, value=verdict.value) for verdict, colour in COLOURS.items()
    )
    tip = (
        '<b>[% "code" %]</b> [% "season_from" %] to [% "season_to" %]<br>[% "verdict" %]: '
        '[% round("change_m2" / 10000, 2) %] ha ± [% round("detection_limit_m2" / 10000, 2) %]'
    )
    return Style("Changes by verdict", "verdict", looks, tip)


def qml(style: Style) -> str:
    """The style as QGIS (3.18 and later) reads it from a file or from `layer_styles`."""
    root = Xml.Element("qgis", version="3.22.0", styleCategories="Symbology|MapTips")
    renderer = Xml.SubElement(root, "renderer-v2", attr=style.attribute, symbollevels="0", enableorderby="0")
    renderer.set("forceraster", "0")
    if style.by_value:
        renderer.set("type", "categorizedSymbol")
        categories = Xml.SubElement(renderer, "categories")
        for number, look in enumerate(style.looks):
            kind = "string" if isinstance(look.value, str) else "long"
            shown = {"value": str(look.value), "type": kind, "symbol": str(number), "label": look.label}
            Xml.SubElement(categories, "category", {**shown, "render": "true"})
    else:
        renderer.set("type", "graduatedSymbol")
        renderer.set("graduatedMethod", "GraduatedColor")
        ranges = Xml.SubElement(renderer, "ranges")
        for number, look in enumerate(style.looks):
            edges = {"lower": f"{look.low:.6f}", "upper": f"{1e12 if look.high is None else look.high:.6f}"}
            Xml.SubElement(
                ranges, "range", {**edges, "symbol": str(number), "label": look.label, "render": "true"}
            )
    symbols = Xml.SubElement(renderer, "symbols")
    for number, look in enumerate(style.looks):
        symbol = Xml.SubElement(symbols, "symbol", type="fill", name=str(number), alpha="1")
        symbol.set("clip_to_extent", "1")
        symbol.set("force_rhr", "0")
        layer = Xml.SubElement(
            symbol, "layer", {"class": "SimpleFill", "pass": "0", "enabled": "1", "locked": "0"}
        )
        options = Xml.SubElement(layer, "Option", type="Map")
        for name, value in {
            "color": _rgba(look.fill or look.outline, style.opacity if look.fill else 0),
            "style": "solid" if look.fill else "no",
            "outline_color": _rgba(look.outline, 1),
            "outline_style": "solid",
            "outline_width": "0.4",
            "outline_width_unit": "MM",
            "joinstyle": "round",
        }.items():
            Xml.SubElement(options, "Option", name=name, value=value, type="QString")
    Xml.SubElement(root, "mapTip", enabled="1").text = style.tip
    Xml.SubElement(root, "layerGeometryType").text = "2"
    doctype = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
    return doctype + Xml.tostring(root, encoding="unicode")


def sld(style: Style, layer: str) -> str:
    """The style as OGC Styled Layer Descriptor 1.1 with Symbology Encoding, for GeoServer and others."""
    for prefix, space in (("sld", _SLD), ("se", _SE), ("ogc", _OGC)):
        Xml.register_namespace(prefix, space)
    root = Xml.Element(f"{{{_SLD}}}StyledLayerDescriptor", version="1.1.0")
    named = Xml.SubElement(root, f"{{{_SLD}}}NamedLayer")
    Xml.SubElement(named, f"{{{_SE}}}Name").text = layer
    user = Xml.SubElement(named, f"{{{_SLD}}}UserStyle")
    Xml.SubElement(user, f"{{{_SE}}}Name").text = style.title
    rules = Xml.SubElement(user, f"{{{_SE}}}FeatureTypeStyle")
    for look in style.looks:
        rule = Xml.SubElement(rules, f"{{{_SE}}}Rule")
        Xml.SubElement(rule, f"{{{_SE}}}Name").text = look.label
        _filter(rule, style.attribute, look)
        symbol = Xml.SubElement(rule, f"{{{_SE}}}PolygonSymbolizer")
        if look.fill:
            _paint(symbol, "Fill", {"fill": look.fill, "fill-opacity": f"{style.opacity:g}"})
        _paint(symbol, "Stroke", {"stroke": look.outline, "stroke-width": "1.5"})
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode")


def _filter(rule: Xml.Element, attribute: str, look: Look) -> None:
    tests = (
        [("PropertyIsEqualTo", str(look.value))]
        if look.value is not None
        else [("PropertyIsGreaterThanOrEqualTo", f"{look.low:.1f}")]
        + ([] if look.high is None else [("PropertyIsLessThan", f"{look.high:.1f}")])
    )
    parent = Xml.SubElement(rule, f"{{{_OGC}}}Filter")
    if len(tests) > 1:
        parent = Xml.SubElement(parent, f"{{{_OGC}}}And")
    for name, value in tests:
        test = Xml.SubElement(parent, f"{{{_OGC}}}{name}")
        Xml.SubElement(test, f"{{{_OGC}}}PropertyName").text = attribute
        Xml.SubElement(test, f"{{{_OGC}}}Literal").text = value


def _paint(symbol: Xml.Element, part: str, values: dict[str, str]) -> None:
    element = Xml.SubElement(symbol, f"{{{_SE}}}{part}")
    for name, value in values.items():
        Xml.SubElement(element, f"{{{_SE}}}SvgParameter", name=name).text = value


def _rgba(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"{red},{green},{blue},{round(255 * opacity)}"
