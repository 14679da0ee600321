"""Addresses as they can be read now: signed when read, so that no signature outlives its time."""

from __future__ import annotations

import re
from threading import Lock

from monitor.profiles import CatalogProfile

#: planetary_computer keeps its tokens in a plain dict: one thread asks, the others take what it was given
_asking = Lock()
#: what follows the path of an address; signatures stand there
_QUERY = re.compile(r"(?<=://)([^\s?'\"]+)\?[^\s'\"]*")


def sign(href: str, profile: CatalogProfile) -> str:
    """`href` as it can be read now.

    A token is asked for once in a process, for all files of its container, and again before it expires.

    Raises:
        requests.RequestException: no token is given.
    """
    if profile.signing == "planetary-computer":
        import planetary_computer

        with _asking:
            return str(planetary_computer.sign_url(href))
    return href


def forget(signed: str, profile: CatalogProfile) -> None:
    """Ask for another token next time: the one that signed this address was refused."""
    if profile.signing == "planetary-computer":
        from planetary_computer.sas import TOKEN_CACHE

        query = signed.partition("?")[2]
        with _asking:
            for address in [key for key, token in TOKEN_CACHE.items() if query and token.token in query]:
                del TOKEN_CACHE[address]


def unsigned(text: str) -> str:
    """`text` without the query part of any address in it: no token reaches a message or a log."""
    return _QUERY.sub(r"\1", text)
