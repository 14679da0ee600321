"""Select the requests that fail, and their faults, from a seed and the request itself, so that runs repeat.

The selection does not depend on the order of arrival: the n-th repetition of a request has the same fault in
every run with the same seed and rules, whatever other threads and processes request in between.
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
    """Fault in place of a normal response."""

    #: 403, as blob storage responds to an expired signature
    FORBIDDEN = "403"
    #: 404 for a file that exists
    MISSING = "404"
    #: 429 with Retry-After
    THROTTLED = "429"
    UNAVAILABLE = "503"
    #: the connection is reset before a response
    RESET = "reset"
    #: half of the promised bytes, then the connection closes
    TRUNCATED = "truncated"
    #: the complete response, in small pieces with pauses
    SLOW = "slow"
    #: half of the promised bytes, then nothing until the client closes
    STALLED = "stalled"


@dataclass(frozen=True)
class Rule:
    """Make a share of the requests with a matching URL fail, each of the kinds equally often."""

    #: regular expression, searched in the URL without its signature
    matching: str = ""
    rate: float = 1.0
    kinds: Sequence[Fault] = tuple(Fault)
    #: number of failures of the same request, after which it succeeds; None: no limit
    times: int | None = None


@dataclass(frozen=True)
class Injection:
    """A fault injected into the `nth` repetition (from 0) of a request."""

    fault: Fault
    method: str
    url: str
    range: str | None
    nth: int


class Faults:
    """The rules of a run and the faults they injected. The first rule that matches a URL applies."""

    def __init__(self, rules: Sequence[Rule] = (), seed: int = 0) -> None:
        self.rules, self.seed = rules, seed
        #: in order of time
        self.injected: list[Injection] = []
        self._asked: Counter[tuple[str, ...]] = Counter()

    def decide(self, method: str, url: str, range_: str | None, body: bytes = b"") -> Fault | None:
        """Return the fault of a request, None if it succeeds."""
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
