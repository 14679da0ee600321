"""Signatures as Azure and Planetary Computer give them: a token for a container, valid for a while.

The endpoint answers like https://planetarycomputer.microsoft.com/api/sas/v1/token/{account}/{container}, so
the `planetary_computer` package can be pointed at it through PC_SDK_SAS_URL.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

#: hosts whose files need a signature
SIGNED_HOSTS = ".blob.core.windows.net"
#: query parameters of a signature, not of what is asked for
SIGNATURE = frozenset({"st", "se", "sp", "sv", "sr", "sig"})
_STAMP = "%Y-%m-%dT%H:%M:%SZ"
#: what blob storage answers, with 403, to a signature that is missing, forged or expired
REFUSAL = (
    '<?xml version="1.0" encoding="utf-8"?><Error><Code>AuthenticationFailed</Code><Message>Server failed to '
    "authenticate the request. Make sure the value of Authorization header is formed correctly including the "
    "signature.</Message></Error>"
)


class SasTokens:
    """Issues tokens and knows its own; `requests` counts."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes()
        self.begin(3600.0)

    def begin(self, lifetime_s: float) -> None:
        """No requests so far; tokens are valid for `lifetime_s` from now on, those that are out as before."""
        self.lifetime_s = lifetime_s
        self.requests = 0

    def issue(self, account: str, container: str) -> dict[str, str]:
        """A token for a container and when it expires (UTC, whole seconds)."""
        now = datetime.now(UTC)
        expiry = (now + timedelta(seconds=self.lifetime_s)).strftime(_STAMP)
        terms = {"st": now.strftime(_STAMP), "se": expiry, "sp": "rl", "sv": "2024-05-04", "sr": "c"}
        token = urlencode({**terms, "sig": self._sign(account, container, terms)})
        return {"msft:expiry": expiry, "token": token}

    def valid(self, account: str, container: str, query: Mapping[str, str]) -> bool:
        """Whether a URL's query holds an unexpired token of ours for that container."""
        if not query.keys() >= SIGNATURE:
            return False
        genuine = hmac.compare_digest(query["sig"], self._sign(account, container, query))
        return genuine and datetime.now(UTC) < datetime.strptime(query["se"], _STAMP).replace(tzinfo=UTC)

    def app(self) -> Starlette:
        """The endpoint: GET /token/{account}/{container}."""

        async def answer(request: Request) -> Response:
            self.requests += 1
            return JSONResponse(self.issue(**request.path_params))

        return Starlette(routes=[Route("/token/{account}/{container}", answer)])

    def _sign(self, account: str, container: str, terms: Mapping[str, str]) -> str:
        signed = "\n".join([account, container, *(terms[name] for name in sorted(SIGNATURE - {"sig"}))])
        return base64.b64encode(hmac.digest(self._key, signed.encode(), hashlib.sha256)).decode()
