"""Signatures: the real client gets them from the endpoint, and unsigned reads are refused."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import requests

from tests.support.servers.conftest import RemoteFile, get
from tests.support.servers.online import OnlineArchive
from tests.support.servers.process import BLOB_HOST

SIGN_TWO = (
    "import sys, planetary_computer, requests\n"
    "for url in sys.argv[1:]:\n"
    "    print(requests.get(planetary_computer.sign(url), timeout=5).status_code)\n"
)


def token(account: str, container: str) -> str:
    url = f"{os.environ['PC_SDK_SAS_URL']}/{account}/{container}"
    return str(requests.get(url, timeout=3).json()["token"])


@pytest.mark.parametrize(("lifetime", "issued"), [(3600, 1), (30, 2)])
def test_planetary_computer_signs(
    archive_online: OnlineArchive, remote: RemoteFile, lifetime: float, issued: int
) -> None:
    """One token per container. The client package does not reuse one that expires within a minute."""
    archive_online.begin(token_lifetime_s=lifetime)
    urls = [remote.blob_url, remote.blob_url.replace("B03", "B02")]
    command = [sys.executable, "-W", "ignore", "-c", SIGN_TWO, *urls]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["200", "200"]
    traffic = archive_online.traffic()
    assert traffic.token_requests == issued and traffic.requests == {"sas.test": issued, BLOB_HOST: 2}


def test_a_signature_expires(archive_online: OnlineArchive, remote: RemoteFile) -> None:
    archive_online.begin(token_lifetime_s=2)  # expiry is in whole seconds: valid for at least 1 s
    url = f"{remote.blob_url}?{token('lakes', 'archive')}"
    assert get(url, "bytes=0-9").status_code == 206
    time.sleep(2.1)
    late = get(url, "bytes=0-9")
    assert late.status_code == 403 and "<Code>AuthenticationFailed</Code>" in late.text


def test_only_a_signature_of_the_endpoint_is_accepted(remote: RemoteFile) -> None:
    valid = token("lakes", "archive")
    later = valid.replace("se=2", "se=3")
    for query in ("", token("lakes", "other"), token("other", "archive"), later, valid.rpartition("&")[0]):
        assert get(f"{remote.blob_url}?{query}").status_code == 403, query
    assert get(f"{remote.blob_url}?{valid}").status_code == 200
    assert get(remote.open_url).status_code == 200, "other hosts require no signature"
