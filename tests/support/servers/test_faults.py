"""Selection of the requests that fail: share, kinds, rules, and independence of the order."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.support.servers.conftest import RemoteFile
from tests.support.servers.faults import Fault, Faults, Injection, Rule
from tests.support.servers.online import OnlineArchive

URL = "http://archive.test/archive/B03.tif"
QUICK = (Fault.FORBIDDEN, Fault.UNAVAILABLE)


def test_share_and_kinds() -> None:
    faults = Faults([Rule(rate=0.05)], seed=1)
    n = 40_000
    for start in range(n):
        faults.decide("GET", URL, f"bytes={start}-")
    counts = Counter(injection.fault for injection in faults.injected)
    assert counts.total() == pytest.approx(0.05 * n, rel=0.1)  # 4.6 standard deviations
    for kind in Fault:
        assert counts[kind] == pytest.approx(0.05 * n / len(Fault), rel=0.3)  # 4.7 standard deviations


def test_repetitions_of_a_request_have_independent_faults() -> None:
    faults = Faults([Rule(rate=0.5)])
    results = [faults.decide("GET", URL, None) is None for _ in range(40)]
    assert 8 < sum(results) < 32


def test_a_signature_does_not_change_the_fault() -> None:
    signed = [f"{URL}?page=1&st=1&se={expiry}&sp=rl&sv=1&sr=c&sig=a%2B" for expiry in range(100)]
    one, other = (Faults([Rule(rate=0.3)]) for _ in range(2))
    results = [one.decide("GET", url, None) for url in signed]
    assert any(results) and results == [other.decide("GET", url, None) for url in reversed(signed)]
    assert {injection.url for injection in one.injected} == {f"{URL}?page=1"}


def test_the_first_rule_that_matches_decides() -> None:
    rules = [
        Rule("B03", kinds=(Fault.MISSING,), times=2),
        Rule("archive", rate=0.0),
        Rule(kinds=(Fault.RESET,)),
    ]
    faults = Faults(rules)
    assert [faults.decide("GET", URL, None) for _ in range(3)] == [Fault.MISSING, Fault.MISSING, None]
    assert faults.decide("GET", "http://archive.test/B02.tif", None) is None
    assert faults.decide("POST", "http://catalog.test/search", None, b"{}") is Fault.RESET


def test_order_does_not_matter(archive_online: OnlineArchive, remote: RemoteFile) -> None:
    """Request forty ranges three times each, in sequence and then shuffled over four threads."""
    requested = [f"bytes={start}-{start + 99}" for start in range(0, 4000, 100)] * 3

    def run(ranges: list[str], threads: int, seed: int = 5) -> set[Injection]:
        archive_online.begin(Rule(rate=0.2, kinds=QUICK), seed=seed)
        with requests.Session() as session, ThreadPoolExecutor(threads) as pool:

            def status(range_: str) -> int:
                return session.get(remote.open_url, headers={"Range": range_}, timeout=3).status_code

            statuses = Counter(pool.map(status, ranges))
        traffic = archive_online.traffic()
        assert statuses == Counter({206: len(traffic.reads)}) + Counter(
            {int(f): n for f, n in traffic.faults.items()}
        )
        return set(traffic.injected)

    first = run(requested, 1)
    assert 10 < len(first) < 40
    assert run(random.Random(0).sample(requested, len(requested)), 4) == first
    assert run(requested, 1, seed=6) != first
