"""Why a scene is not used, or a tile is planned again: a code with typed parameters, and its sentence.

Code compares codes and parameters; only the sentence is written for people. Explanations of one code are
summarised in one sentence, with a range where their numbers differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from string import Formatter
from typing import Any, Self

from monitor.errors import printable

#: a tuple is a list of names, such as asset keys
Value = str | int | float | tuple[str, ...]

#: distinct values of a parameter that a summary lists; more are given as "…"
LISTED = 3


class Code(StrEnum):
    """Base of enumerations of codes. Each code has a sentence, a format string with its parameters."""

    sentence: str

    def __new__(cls, value: str, sentence: str) -> Self:
        code = str.__new__(cls, value)
        code._value_ = value
        code.sentence = sentence
        return code

    @cached_property
    def parameters(self) -> frozenset[str]:
        """Names of the parameters in the sentence."""
        return frozenset(name for _, name, _, _ in Formatter().parse(self.sentence) if name is not None)

    def because(self, **params: Value) -> Explanation:
        """An explanation of this code."""
        return Explanation(self, params)


@dataclass(frozen=True)
class Explanation:
    """A code and the values of its parameters; `str()` gives the sentence.

    Raises:
        TypeError: the parameters are not those of the code.
    """

    code: Code
    params: Mapping[str, Value] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.params.keys() != self.code.parameters:
            raise TypeError(f"{self.code} takes {sorted(self.code.parameters)}, not {sorted(self.params)}")

    def __str__(self) -> str:
        return summary([self])

    @property
    def plain(self) -> dict[str, Any]:
        """Code, parameters and sentence, for JSON."""
        return {"code": self.code.value, "params": dict(self.params), "reason": str(self)}


def summary(explanations: Sequence[Explanation]) -> str:
    """One sentence for explanations of one code.

    Where the values of a parameter differ, numbers are given as a range and other values as a list.
    """
    parts = []
    for literal, name, spec, _ in Formatter().parse(explanations[0].code.sentence):
        parts.append(literal)
        if name is not None:
            parts.append(_either([explanation.params[name] for explanation in explanations], spec or ""))
    return "".join(parts)


def _either(values: Sequence[Value], spec: str) -> str:
    """The values of one parameter in the format of the sentence."""
    numbers = sorted(value for value in values if isinstance(value, int | float))
    if numbers:
        low, high = format(numbers[0], spec), format(numbers[-1], spec)
        return low if low == high else f"{low} to {high}"
    words = sorted(
        {printable(", ".join(value) if isinstance(value, tuple) else str(value)) for value in values}
    )
    return " / ".join(words) if len(words) <= LISTED else "…"


class Refusal(Code):
    """Why an item of a catalogue is not used."""

    # by the settings or because of the item
    EXCLUDED = "excluded", "excluded by the settings: {why}"
    CONTENT = "content", "refused when it was read: {why}"
    UNUSABLE_ID = "unusable_id", "its id is no text of 1 to {longest} printable characters"
    FORBIDDEN_ADDRESS = "forbidden_address", "asset {asset} at {href} is not read: {rule}"
    NO_COLLECTION = "no_collection", "has no collection, so its product is unknown"
    NO_ASSETS = "no_assets", "comes without assets"
    NO_OUTLINE = (
        "no_outline",
        "its outline cannot be used: {cause}; report it to the catalogue's operator or correct the item",
    )
    MALFORMED = "malformed", "cannot be used: {fault}"
    NO_TIME = "no_time", "neither datetime nor start_datetime is a time"
    LACKS_ASSETS = "lacks_assets", "lacks the asset {assets}"
    LACKS_POLARISATIONS = "lacks_polarisations", "lacks the polarisation {polarisations}"
    OTHER_MODE = "other_mode", "instrument mode {mode}, not IW"
    UNKNOWN_PASS = (
        "unknown_pass",
        "its pass direction is unknown (sat:orbit_state is neither ascending nor descending), and directions "
        "are never mixed",
    )
    NEWER_BASELINE = "newer_baseline", "the same acquisition in a newer baseline: {newer}"

    # because its offset cannot be decided
    UNKNOWN_BASELINE = (
        "unknown_baseline",
        "unknown processing baseline '{baseline}' in {key}: whether it carries the +1000 offset is unknown",
    )
    FLAG_MISSING = (
        "flag_missing",
        "there is no {flag} at baseline {baseline}: such scenes are served with and without the +1000 offset",
    )
    FLAG_NOT_TRUE = (
        "flag_not_true",
        "{flag} is {flagged} at baseline {baseline}: "
        "such scenes are served with and without the +1000 offset",
    )
    FLAG_AGAINST_BASELINE = (
        "flag_against_baseline",
        "{flag} is {flagged}, but baseline {baseline} adds nothing that could be taken out",
    )
    NO_OFFSET = "no_offset", "asset {asset} declares no scale and offset for band {band}"
    DIFFERENT_OFFSETS = (
        "different_offsets",
        "its bands declare different scales or offsets: {declared}",
    )
    OTHER_SCALE = (
        "other_scale",
        "declares scale {scale:g} and offset {offset:g}; "
        "Sentinel-2 L2A has scale 0.0001 and offset 0 or -0.1",
    )
    OFFSET_NOT_ADDED = "offset_not_added", "declares the offset -0.1, but baseline {baseline} adds nothing"
    OFFSET_NOT_DECLARED = "offset_not_declared", "declares the offset 0, but baseline {baseline} adds 1000"

    # because other scenes are better, or the file cannot be read
    UNREADABLE = "unreadable", "asset {asset} at {href} cannot be read: {cause}"
    NOTHING_SEEN = "nothing_seen", "shows nothing of the region"
    CLOUDIER = (
        "cloudier",
        "clearer dates are used in all of its cells ({cloud:.0%} cloud over the region's cells)",
    )
    CLOUD_UNKNOWN = (
        "cloud_unknown",
        "other dates are used in all of its cells, and its own cloud is unknown",
    )
    NO_OPTICAL_DATE = "no_optical_date", "there is no optical date to pair it with"
    FAR_IN_TIME = "far_in_time", "{days:.1f} days from the nearest optical date"
    OTHER_RADAR = (
        "other_radar",
        "{direction} {satellites}, the region's radar is {region_direction} {region_satellites}",
    )
    FARTHER_IN_TIME = "farther_in_time", "radar scenes nearer in time are used in all of its cells"


#: item id and why the item is not used
Refused = tuple[tuple[str, Explanation], ...]
