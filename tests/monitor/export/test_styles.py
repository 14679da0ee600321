"""Style files: complete, consistent with each other, and in the colours of the region map."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

import pytest

from monitor.drawing.palette import VERDICTS
from monitor.export.styles import TITLES, style_of
from storage.exports import View

SE, OGC = "{http://www.opengis.net/se}", "{http://www.opengis.net/ogc}"


def qml_classes(view: View) -> dict[str, dict[str, str]]:
    """Label of each class in the QML file to its value or bounds, and the properties of its symbol."""
    renderer = Xml.fromstring(style_of(view).qml).find("renderer-v2")
    assert renderer is not None
    found = {}
    for entry in (*renderer.iter("category"), *renderer.iter("range")):
        symbol = renderer.find(f"symbols/symbol[@name='{entry.get('symbol')}']/layer/Option")
        assert symbol is not None, entry.get("label")
        options = {str(option.get("name")): str(option.get("value")) for option in symbol}
        found[str(entry.get("label"))] = {**options, **entry.attrib}
    return found


def sld_rules(view: View) -> dict[str, Xml.Element]:
    """Name of each rule in the SLD file, and the rule."""
    rules = Xml.fromstring(style_of(view).sld.encode()).iter(f"{SE}Rule")
    return {str(rule.findtext(f"{SE}Name")): rule for rule in rules}


def colours_of(rule: Xml.Element) -> dict[str, str]:
    return {str(entry.get("name")): str(entry.text) for entry in rule.iter(f"{SE}SvgParameter")}


def hexadecimal(rgba: str) -> str:
    return "#{:02x}{:02x}{:02x}".format(*(int(part) for part in rgba.split(",")[:3]))


def test_changes_have_the_names_and_colours_of_the_region_map() -> None:
    classes, rules = qml_classes(View.CHANGES), sld_rules(View.CHANGES)
    names = [verdict.value for verdict in VERDICTS]
    assert list(classes) == list(rules) == names
    for verdict, colour in VERDICTS.items():
        entry, rule = classes[verdict.value], rules[verdict.value]
        assert entry["value"] == verdict.value == rule.findtext(f".//{OGC}Literal")
        assert hexadecimal(entry["outline_color"]) == hexadecimal(entry["color"]) == colour
        painted = colours_of(rule)
        assert painted["stroke"] == painted.get("fill", colour) == colour


@pytest.mark.parametrize("view", View)
def test_both_files_of_a_view_have_the_same_classes_and_colours(view: View) -> None:
    classes, rules = qml_classes(view), sld_rules(view)
    assert list(classes) == list(rules) and len(classes) > 4
    for name, entry in classes.items():
        painted = colours_of(rules[name])
        assert painted["stroke"] == hexadecimal(entry["outline_color"])
        assert ("fill" in painted) == (entry["style"] == "solid")
        if "fill" in painted:
            assert painted["fill"] == hexadecimal(entry["color"])
            opacity = int(entry["color"].split(",")[3]) / 255
            assert float(painted["fill-opacity"]) == pytest.approx(opacity, abs=0.01)
    assert style_of(view).title == TITLES[view]
    named = Xml.fromstring(style_of(view).sld.encode()).findtext(f".//{SE}Name")
    assert named == view.value


@pytest.mark.parametrize("view", [View.LATEST, View.HISTORY])
def test_ranges_follow_one_another_without_gaps(view: View) -> None:
    step = 1 if view is View.HISTORY else 0  # seasons are integers, and both bounds are included
    ranges = [(float(e["lower"]), float(e["upper"])) for e in qml_classes(view).values()]
    assert ranges[0][0] == 0 and all(low <= high for low, high in ranges)
    assert [low for low, _ in ranges[1:]] == [high + step for _, high in ranges[:-1]]
    for (low, high), rule in zip(ranges, sld_rules(view).values(), strict=True):
        literals = [float(str(found.text)) for found in rule.iter(f"{OGC}Literal")]
        assert literals[0] == low and literals[1:] in ([high], [])


def test_every_recent_season_has_a_class_of_its_own() -> None:
    assert {str(season) for season in range(2016, 2031)} <= set(qml_classes(View.HISTORY))
