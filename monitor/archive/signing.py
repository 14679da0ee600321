"""Signatures of addresses, made when a file is read, so that none has expired."""

from __future__ import annotations

import re
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from monitor.archive.profiles import CatalogProfile

if TYPE_CHECKING:
    from planetary_computer.sas import SASToken

#: seconds before the expiry of a token at which a new one is requested
EARLY = 60.0
#: seconds to connect to the token service, and to wait for its response
TIMEOUT = (10.0, 20.0)

#: tokens of this process by account and container; one thread requests a token while the others wait
#: (the cache of planetary_computer has no lock, and its requests have no time limit)
_tokens: dict[tuple[str, str], SASToken] = {}
_asking = Lock()
#: path and query of an address; the query holds the signature
_QUERY = re.compile(r"(/[^\s?'\"]*)\?[^\s'\"]+")


def sign(href: str, profile: CatalogProfile) -> str:
    """`href` with a valid signature, which replaces one that it has already.

    A process requests a token once for all files of its container, and again before it expires.

    Raises:
        requests.RequestException: the request for a token fails.
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
    """Discard the token that signed this address, so that the next signature uses a new one."""
    if profile.signing == "planetary-computer":
        with _asking:
            for place in [place for place, token in _tokens.items() if token.token in signed]:
                del _tokens[place]


def unsigned(text: str) -> str:
    """`text` without the query of any address in it, so that no token gets into a message or a log."""
    return _QUERY.sub(r"\1", text)
