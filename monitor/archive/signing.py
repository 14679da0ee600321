"""Addresses as they can be read now: signed when read, so that no signature outlives its time."""

from __future__ import annotations

import re
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from monitor.archive.profiles import CatalogProfile

if TYPE_CHECKING:
    from planetary_computer.sas import SASToken

#: seconds before a token's end at which another is asked for
EARLY = 60.0
#: seconds for a connection to the token service, and without an answer
TIMEOUT = (10.0, 20.0)

#: tokens of this process by account and container; one thread asks, the others wait for its answer
#: (planetary_computer's own cache has no lock, and its requests have no time limit)
_tokens: dict[tuple[str, str], SASToken] = {}
_asking = Lock()
#: what follows the path of an address; signatures stand there
_QUERY = re.compile(r"(/[^\s?'\"]*)\?[^\s'\"]+")


def sign(href: str, profile: CatalogProfile) -> str:
    """`href` as it can be read now; a signature that it has already is replaced, it may be of yesterday.

    A token is asked for once in a process, for all files of its container, and again before it expires.

    Raises:
        requests.RequestException: no token is given.
    """
    if profile.signing != "planetary-computer":
        return href
    from planetary_computer.sas import BLOB_STORAGE_DOMAIN
    from planetary_computer.utils import parse_blob_url

    address = urlparse(href)
    if not address.netloc.endswith(BLOB_STORAGE_DOMAIN):
        return href
    place = parse_blob_url(address)
    with _asking:
        token = _tokens.get(place)
        if token is None or token.ttl() < EARLY:
            token = _tokens[place] = _ask(*place)
    return str(token.sign(unsigned(href)).href)


def _ask(account: str, container: str) -> SASToken:
    import requests
    from planetary_computer.sas import SASToken
    from planetary_computer.settings import Settings

    settings = Settings.get()
    key = settings.subscription_key
    headers = {"Ocp-Apim-Subscription-Key": key} if key else {}
    answer = requests.get(f"{settings.sas_url}/{account}/{container}", headers=headers, timeout=TIMEOUT)
    answer.raise_for_status()
    return SASToken(**answer.json())


def forget(signed: str, profile: CatalogProfile) -> None:
    """Ask for another token next time: the one that signed this address was refused."""
    if profile.signing == "planetary-computer":
        with _asking:
            for place in [place for place, token in _tokens.items() if token.token in signed]:
                del _tokens[place]


def unsigned(text: str) -> str:
    """`text` without the query part of any address in it: no token reaches a message or a log."""
    return _QUERY.sub(r"\1", text)
