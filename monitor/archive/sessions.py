"""HTTP sessions for catalogues, archives and token services, and the pauses that servers ask for.

Proxies of the environment are used. Of ~/.netrc only the entry of the requested host is: its default entry is
for other places, and a store of signed files refuses a request with a password beside the signature.
"""

from __future__ import annotations

import logging
import netrc
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_auth_from_url
from urllib3 import BaseHTTPResponse, Retry

from monitor.archive.properties import in_utc
from storage.redaction import redacted

#: parameters of signed addresses: of Azure, of S3 and Google (version 4), of S3 (version 2) and CloudFront
SIGNATURES = {"sig", "x-amz-signature", "x-goog-signature", "signature"}


class Session(requests.Session):
    """A session that sends no password to a host that it is not meant for."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = Login()

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """As in `requests`, where the default entry of ~/.netrc would be sent to the redirect's host."""
        headers, origin = prepared_request.headers, response.request.url
        if "Authorization" in headers and self.should_strip_auth(str(origin), str(prepared_request.url)):
            del headers["Authorization"]
        if "Authorization" not in headers:
            Login()(prepared_request)


class Login(AuthBase):
    """The password of the address itself, else that of its host in ~/.netrc, unless the address is signed."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        address = str(request.url)
        parts = urlsplit(address)
        own = get_auth_from_url(address)
        if any(own):
            return HTTPBasicAuth(*own)(request)
        if SIGNATURES & {key.lower() for key, _ in parse_qsl(parts.query)}:
            return request
        known = _entry_of(parts.hostname or "")
        return HTTPBasicAuth(*known)(request) if known else request


def _entry_of(host: str) -> tuple[str, str] | None:
    """Login and password of a host in the user's .netrc, without its default entry."""
    named = os.environ.get("NETRC")
    for path in [Path(named)] if named else [Path("~/.netrc"), Path("~/_netrc")]:
        try:
            entry = netrc.netrc(str(path.expanduser())).hosts.get(host)
        except (OSError, RuntimeError, ValueError, netrc.NetrcParseError):
            continue
        if entry and host != "default":
            login, account, password = entry
            return login or account or "", password or ""
    return None


class PoliteRetry(Retry):
    """Retries of urllib3, with the pause of `Retry-After` by the server's own clock."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        return retry_after(response.headers) or None


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a response asks to wait: `Retry-After` as a number or as a date (RFC 9110), else 0.

    A date is compared with the response's own `Date`, because the clocks of client and server can differ.
    """
    value = (headers.get("Retry-After") or "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    until = moment_of(value)
    return max((until - sent_at(headers)).total_seconds(), 0.0) if until else 0.0


def sent_at(headers: Mapping[str, str]) -> datetime:
    """Time of a response by its server's clock, else by this machine's."""
    return moment_of(headers.get("Date") or "") or datetime.now(UTC)


def moment_of(text: str) -> datetime | None:
    """An HTTP date (UTC), None for other text."""
    try:
        return in_utc(parsedate_to_datetime(text))
    except (TypeError, ValueError, IndexError):
        return None


def _without_secrets(record: logging.LogRecord) -> bool:
    record.msg, record.args = redacted(record.getMessage()), ()
    return True


# these write each requested address, and pystac_client the headers, into their debug logs
for _name in ("urllib3.connectionpool", "pystac_client.stac_api_io", "pystac_client.client"):
    logging.getLogger(_name).addFilter(_without_secrets)
