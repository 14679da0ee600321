"""Files of a hub, over real connections: pinned, resumed, and refused with a way out."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from segmenter.errors import HubError
from segmenter.hub import check_digest, fetch
from tests.support.hub import COMMIT, REPOSITORY, Hub, serving

FILE = "fine_tune/checkpoints/soup.ckpt"
CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that the library is pointed to as a person would, with a cache of the test's own."""
    import huggingface_hub.constants

    monkeypatch.setattr("time.sleep", lambda _: None)  # the library's, between attempts
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with serving(Hub({FILE: CONTENT})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


def test_fetches_a_file_and_says_which_commit(hub: Hub) -> None:
    fetched = fetch(REPOSITORY, FILE)
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.commit == COMMIT
    assert ("HEAD", f"/{REPOSITORY}/resolve/main/{FILE}", "") in hub.asked
    assert (
        check_digest(fetched.path, hashlib.sha256(CONTENT).hexdigest()) == hashlib.sha256(CONTENT).hexdigest()
    )


def test_a_file_that_is_here_is_not_fetched_again(hub: Hub) -> None:
    fetch(REPOSITORY, FILE)
    hub.asked.clear()
    assert fetch(REPOSITORY, FILE, COMMIT).path.read_bytes() == CONTENT
    assert not [asked for asked in hub.asked if asked[0] == "GET"]


def test_a_cut_connection_is_taken_up_where_it_broke(hub: Hub) -> None:
    large = np.random.default_rng(0).bytes(24_000_000)  # the hub's library writes 10 MB at a time
    hub.files, hub.cut_after, hub.cuts = {FILE: large}, 15_000_000, 1
    assert fetch(REPOSITORY, FILE).path.read_bytes() == large
    ranges = [range_ for method, path, range_ in hub.asked if method == "GET" and "resolve" not in path]
    assert len(ranges) == 2
    assert 0 < int(ranges[1].removeprefix("bytes=").removesuffix("-")) <= 15_000_000


def test_a_connection_that_keeps_breaking_is_given_up(hub: Hub) -> None:
    hub.cut_after, hub.cuts = 1000, 100
    with pytest.raises(HubError, match=r"was not fetched: .*--checkpoint FILE"):
        fetch(REPOSITORY, FILE)


def test_another_digest_is_refused_with_both(hub: Hub) -> None:
    path = fetch(REPOSITORY, FILE).path
    found = hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(
        HubError, match=rf"soup\.ckpt: sha256: is {found}, the registry says {64 * '0'}"
    ) as caught:
        check_digest(path, 64 * "0", "the registry says")
    assert f"delete {path}" in str(caught.value)


@pytest.mark.parametrize(
    ("repository", "file", "revision", "said"),
    [
        (
            "glaciers/rivers",
            FILE,
            None,
            "glaciers/rivers: the repository does not exist or is private",
        ),
        (REPOSITORY, "last.ckpt", None, "has no file last.ckpt at its main branch"),
        (REPOSITORY, FILE, "v9", "has no revision 'v9'"),
        ("lakes.ckpt/a/b", FILE, None, "was not fetched"),
    ],
)
def test_what_the_hub_does_not_have_is_named(
    hub: Hub, repository: str, file: str, revision: str | None, said: str
) -> None:
    with pytest.raises(HubError, match=said) as caught:
        fetch(repository, file, revision)
    assert hub.endpoint in str(caught.value)


def test_a_closed_repository_asks_for_a_token(hub: Hub) -> None:
    hub.closed = True
    with pytest.raises(HubError, match=r"is private; .*HF_TOKEN"):
        fetch(REPOSITORY, FILE)


def test_without_a_network_a_file_can_be_given(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        closed = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    monkeypatch.setenv("HF_ENDPOINT", closed)
    with pytest.raises(HubError, match=r"cannot be reached \(.*refused.*--checkpoint FILE"):
        fetch(REPOSITORY, FILE)
