"""Downloads from a hub over real connections: pinned, resumed, and refused with advice."""

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
    """A hub configured through the environment, with an empty cache for each test."""
    import huggingface_hub.constants

    monkeypatch.setattr("time.sleep", lambda _: None)  # pause of the library between attempts
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with serving(Hub({FILE: CONTENT})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


def test_a_file_is_fetched_with_its_commit(hub: Hub) -> None:
    fetched = fetch(REPOSITORY, FILE)
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.commit == COMMIT
    assert ("HEAD", f"/{REPOSITORY}/resolve/main/{FILE}", "") in hub.requests
    assert (
        check_digest(fetched.path, hashlib.sha256(CONTENT).hexdigest()) == hashlib.sha256(CONTENT).hexdigest()
    )


def test_a_cached_file_is_not_fetched_again(hub: Hub) -> None:
    fetch(REPOSITORY, FILE)
    hub.requests.clear()
    assert fetch(REPOSITORY, FILE, COMMIT).path.read_bytes() == CONTENT
    assert not [request for request in hub.requests if request[0] == "GET"]


def test_an_interrupted_download_is_resumed(hub: Hub) -> None:
    large = np.random.default_rng(0).bytes(24_000_000)  # the hub's library writes 10 MB at a time
    hub.files, hub.cut_after, hub.cuts = {FILE: large}, 15_000_000, 1
    assert fetch(REPOSITORY, FILE).path.read_bytes() == large
    ranges = [range_ for method, path, range_ in hub.requests if method == "GET" and "resolve" not in path]
    assert len(ranges) == 2
    assert 0 < int(ranges[1].removeprefix("bytes=").removesuffix("-")) <= 15_000_000


def test_repeated_interruptions_end_in_an_error(hub: Hub) -> None:
    hub.cut_after, hub.cuts = 1000, 100
    with pytest.raises(HubError, match=r"was not fetched: .*--checkpoint FILE"):
        fetch(REPOSITORY, FILE)


def test_another_digest_is_refused_naming_both(hub: Hub) -> None:
    path = fetch(REPOSITORY, FILE).path
    found = hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(
        HubError, match=rf"soup\.ckpt: sha256: is {found}, the registry says {64 * '0'}"
    ) as caught:
        check_digest(path, 64 * "0", "the registry says")
    assert f"delete {path}" in str(caught.value)


@pytest.mark.parametrize(
    ("repository", "file", "revision", "message"),
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
def test_missing_files_are_named(
    hub: Hub, repository: str, file: str, revision: str | None, message: str
) -> None:
    with pytest.raises(HubError, match=message) as caught:
        fetch(repository, file, revision)
    assert hub.endpoint in str(caught.value)


def test_a_gated_repository_requires_a_token(hub: Hub) -> None:
    hub.closed = True
    with pytest.raises(HubError, match=r"is private; .*HF_TOKEN"):
        fetch(REPOSITORY, FILE)


def test_without_a_network_a_local_file_is_suggested(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setenv("HF_ENDPOINT", closed)
    with pytest.raises(HubError, match=r"cannot be reached \(.*refused.*--checkpoint FILE"):
        fetch(REPOSITORY, FILE)
