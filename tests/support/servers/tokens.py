"""Signatures in the form of Azure and Planetary Computer: a token per container, with an expiry.

The endpoint responds like https://planetarycomputer.microsoft.com/api/sas/v1/token/{account}/{container}, so
that the `planetary_computer` package can use it through PC_SDK_SAS_URL.
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

#: hosts whose files require a signature
SIGNED_HOSTS = ".blob.core.windows.net"
#: query parameters of a signature, which are not part of the request's identity
SIGNATURE = frozenset({"st", "se", "sp", "sv", "sr", "sig"})
_STAMP = "%Y-%m-%dT%H:%M:%SZ"
#: body of blob storage's 403 for a signature that is missing, forged or expired
REFUSAL = (
    '<?xml version="1.0" encoding="utf-8"?><Error><Code>AuthenticationFailed</Code><Message>Server failed to '
    "authenticate the request. Make sure the value of Authorization header is formed correctly including the "
    "signature.</Message></Error>"
)


class SasTokens:
    """Issue tokens and check them; `requests` counts those issued."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes()
        self.begin(3600.0)

    def begin(self, lifetime_s: float) -> None:
        """Reset the count. Tokens issued from now on are valid for `lifetime_s`; earlier ones keep their
        expiry."""
        self.lifetime_s = lifetime_s
        self.requests = 0

    def issue(self, account: str, container: str) -> dict[str, str]:
        """A token for a container, and its expiry (UTC, whole seconds)."""
        now = datetime.now(UTC)
        expiry = (now + timedelta(seconds=self.lifetime_s)).strftime(_STAMP)
        terms = {"st": now.strftime(_STAMP), "se": expiry, "sp": "rl", "sv": "2024-05-04", "sr": "c"}
        token = urlencode({**terms, "sig": self._sign(account, container, terms)})
        return {"msft:expiry": expiry, "token": token}

    def valid(self, account: str, container: str, query: Mapping[str, str]) -> bool:
        """Whether a URL's query holds an unexpired token of this endpoint for that container."""
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
