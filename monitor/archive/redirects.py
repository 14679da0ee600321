"""GET requests whose redirects stay on the hosts of a catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from monitor.archive.addresses import forbidden

if TYPE_CHECKING:
    import requests

#: redirects that are followed in a row
REDIRECTS = 5


def get(
    session: requests.Session, address: str, sources: Sequence[str] | None, **options: Any
) -> requests.Response:
    """The response to a GET request of `session`, after redirects; `options` as of `requests.Session.get`,
    `sources` as of `forbidden`.

    A redirect is a new request, without the headers of `Authorization` that the first one had.

    Raises:
        ValueError: a redirect leaves the hosts of the catalogue, or there are more than `REDIRECTS`.
        requests.RequestException: the request fails.
    """
    for _ in range(REDIRECTS + 1):
        answer = session.get(address, allow_redirects=False, **options)
        target = session.get_redirect_target(answer)
        if target is None:
            return answer
        answer.close()
        address = urljoin(address, target)
        if not address.startswith(("https://", "http://")):
            raise ValueError("its server redirects to an address that is not HTTP")
        if rule := forbidden(address, sources):
            raise ValueError(f"its server redirects to another place: {rule}")
    raise ValueError(f"its server redirects more than {REDIRECTS} times")
