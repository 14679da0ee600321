"""Which request fails, and how: decided by a seed and the request itself, so that a run can be repeated.

Decisions do not hang on the order of arrival: the same request, asked for the n-th time, has the same fate in
every run of the same seed and rules, whatever other threads and processes ask meanwhile.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from .tokens import SIGNATURE


class Fault(StrEnum):
    """What a request meets instead of its answer."""

    #: 403 as storage answers an expired signature
    FORBIDDEN = "403"
    #: 404 of something that is there
    MISSING = "404"
    #: 429 with Retry-After
    THROTTLED = "429"
    UNAVAILABLE = "503"
    #: the connection is reset before an answer
    RESET = "reset"
    #: half of the promised bytes, then the connection ends
    TRUNCATED = "truncated"
    #: the whole answer, in dribs and drabs
    SLOW = "slow"
    #: half of the promised bytes, then nothing until the client gives up
    STALLED = "stalled"


@dataclass(frozen=True)
class Rule:
    """A share of the requests whose URL matches fails, each of the kinds alike often."""

    #: regular expression, searched in the URL without its signature
    matching: str = ""
    rate: float = 1.0
    kinds: Sequence[Fault] = tuple(Fault)
    #: how often the same request may fail before it always succeeds; None: no limit
    times: int | None = None


@dataclass(frozen=True)
class Injection:
    """One fault that was injected into the `nth` (from 0) asking of a request."""

    fault: Fault
    method: str
    url: str
    range: str | None
    nth: int


class Faults:
    """The rules of a run and what they did; the first rule that matches a URL decides."""

    def __init__(self, rules: Sequence[Rule] = (), seed: int = 0) -> None:
        self.rules, self.seed = rules, seed
        #: in the order they happened
        self.injected: list[Injection] = []
        self._asked: Counter[tuple[str, ...]] = Counter()

    def decide(self, method: str, url: str, range_: str | None, body: bytes = b"") -> Fault | None:
        """The fate of a request: its fault, None where it passes."""
        url = unsigned(url)
        request = (method, url, range_ or "", hashlib.sha256(body).hexdigest())
        nth = self._asked[request]
        self._asked[request] += 1
        rule = next((rule for rule in self.rules if re.search(rule.matching, url)), None)
        if rule is None or (rule.times is not None and nth >= rule.times):
            return None
        chance, kind = self._draw(*request, str(nth))
        if chance >= rule.rate:
            return None
        fault = rule.kinds[int(kind * len(rule.kinds))]
        self.injected.append(Injection(fault, method, url, range_, nth))
        return fault

    def _draw(self, *request: str) -> tuple[float, float]:
        """Two numbers of [0, 1), the same for the same seed and request."""
        digest = hashlib.sha256("\n".join((str(self.seed), *request)).encode()).digest()
        return (
            int.from_bytes(digest[:6]) / 2**48,
            int.from_bytes(digest[6:12]) / 2**48,
        )


def unsigned(url: str) -> str:
    """A URL without its signature, which differs from run to run."""
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query, True) if key not in SIGNATURE]
    return urlunsplit(parts._replace(query=urlencode(query)))
