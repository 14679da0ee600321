"""Signatures of addresses, made when a file is read, so that none has expired."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from monitor.archive.profiles import CatalogProfile
from monitor.archive.properties import in_utc

if TYPE_CHECKING:
    from planetary_computer.sas import SASToken

#: seconds before the expiry of a token at which a new one is requested
EARLY = 60.0
#: seconds for which a token is used that seems to have ended before it was issued; one that the server of the
#: files refuses is replaced at once (`forget`)
UNKNOWN = 300.0
#: seconds to connect to the token service, and to wait for its response
TIMEOUT = (10.0, 20.0)

#: tokens of this process by account and container, and until when each is used, by the monotonic clock; one
#: thread requests a token while the others wait (the cache of planetary_computer has no lock, and its
#: requests have no time limit)
_tokens: dict[tuple[str, str], tuple[SASToken, float]] = {}
_asking = Lock()


def sign(href: str, profile: CatalogProfile) -> str:
    """`href` with a valid signature, which replaces one that it has already.

    A process requests a token once for all files of its container, and again before it expires.

    Raises:
        OSError: the request for a token fails.
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
        token, until = _tokens.get(place, (None, 0.0))
        if token is None or until < time.monotonic():
            token, until = _tokens[place] = _ask(*place)
    return str(token.sign(href.partition("?")[0]).href)


def _ask(account: str, container: str) -> tuple[SASToken, float]:
    """A new token, and until when it is used.

    Its lifetime is measured from the `Date` of the response, because this machine's clock may be wrong.
    """
    from planetary_computer.sas import SASToken
    from planetary_computer.settings import Settings

    from monitor.archive.sessions import Session, sent_at

    settings = Settings.get()
    key = settings.subscription_key
    headers = {"Ocp-Apim-Subscription-Key": key} if key else {}
    with Session() as session:
        answer = session.get(f"{settings.sas_url}/{account}/{container}", headers=headers, timeout=TIMEOUT)
        answer.raise_for_status()
    try:
        token = SASToken(**answer.json())
        ends = in_utc(token.expiry)
    except (TypeError, ValueError) as error:
        raise OSError(f"the response of the token service is not a token: {type(error).__name__}") from None
    left = (ends - sent_at(answer.headers)).total_seconds()
    return token, time.monotonic() + (left - min(EARLY, left / 2) if left > 0 else UNKNOWN)


def forget(signed: str, profile: CatalogProfile) -> None:
    """Discard the token that signed this address, so that the next signature uses a new one."""
    if profile.signing == "planetary-computer":
        with _asking:
            for place in [place for place, (token, _) in _tokens.items() if token.token in signed]:
                del _tokens[place]
