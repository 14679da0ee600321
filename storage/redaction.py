"""Passwords, tokens and signatures taken out of text that is shown and of values that are stored.

The errors of `monitor` and `storage`, their log lines and all JSON columns pass through this module; nothing
else decides what a secret is.
"""

from __future__ import annotations

import logging
import math
import re
import sys
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any

__all__ = ["RedactingFormatter", "hide_secrets", "redacted", "storable"]

HIDDEN = "***"
#: names of values that are secret
_NAMES = (
    r"(?:x-amz-|x-goog-)?(?:signature|credential|security-token)|sig|pass(?:word|wd|phrase)?|pwd"
    r"|(?:[\w-]*[_-])?(?:token|secret|api[_-]?key)|apikey|(?:[\w-]*[_-])?access[_-]?key(?:[_-]?id)?"
    r"|secret[_-][\w-]+|subscription[_-]?key|ocp-apim-subscription-key|awsaccesskeyid|googleaccessid"
    r"|authorization|account[_-]?key|sas"
)
_SECRET = re.compile(_NAMES, re.IGNORECASE)
#: parameters that are part of a signature (Azure, S3, Google, CloudFront), not secret alone
_SIGNED = re.compile(
    r"(?:x-amz-|x-goog-)[\w-]+|s[etrvpis]|spr|sip|sdd|sk[a-z]{1,3}|expires|policy|key-pair-id|key",
    re.IGNORECASE,
)
#: login and password of an address; the password may hold any character but a space, quote or @
_LOGIN = re.compile(r"(\b[a-z][a-z0-9+.-]*://)(?:[^\s/?#'\"]*|[^\s:/?#@'\"]*:[^\s@'\"]*)@", re.IGNORECASE)
#: query of an address and of a request, and of a path where it holds a secret: a file's name may contain ?
_QUERY = re.compile(
    r"(\b(?!file:)[a-z][a-z0-9+.-]*://[^\s?#'\"<>]*)(?:\?[^\s'\"<>]*|#[^\s'\"<>=]*=[^\s'\"<>]*)",
    re.IGNORECASE,
)
_REQUEST = re.compile(r"(\b(?:url:|GET|POST|HEAD) /[^\s?]*)\?\S*")
_PATH_QUERY = re.compile(rf"(/[^\s?'\"]*)\?(?:[^\s'\"]*&)?(?:{_NAMES})=[^\s'\"]*", re.IGNORECASE)
_PAIR = re.compile(rf"(?<![\w-])({_NAMES})(\s*=\s*|%3D)[^\s&'\",;)}}\]]+", re.IGNORECASE)
_ENTRY = re.compile(rf"(['\"])({_NAMES})\1(\s*:\s*)(['\"])[^'\"]*\4", re.IGNORECASE)
_HEADER = re.compile(r"(authorization\s*[:=]\s*)(?:(?:basic|bearer)\s+)?[^\s'\",}]+", re.IGNORECASE)


def redacted(text: str) -> str:
    """`text` without logins, passwords, tokens, and without the query of any address."""
    text = _QUERY.sub(r"\1", _LOGIN.sub(rf"\1{HIDDEN}@", text))
    text = _PATH_QUERY.sub(r"\1", _REQUEST.sub(r"\1", text))
    text = _ENTRY.sub(rf"\1\2\1\3\4{HIDDEN}\4", _HEADER.sub(rf"\1{HIDDEN}", text))
    return _PAIR.sub(rf"\1\2{HIDDEN}", text)


def storable(value: Any) -> Any:
    """JSON content for a database: without secrets, and without NaN and NUL, which PostgreSQL refuses.

    Of addresses logins and signatures are taken out; other parameters stay, because some servers need them to
    find a file.
    """
    if isinstance(value, str):
        return _unsigned(value.replace("\x00", ""))
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {
            storable(key): HIDDEN if _is_secret(key) and isinstance(part, str) and part else storable(part)
            for key, part in value.items()
        }
    if isinstance(value, list | tuple):
        return [storable(part) for part in value]
    return value


def _is_secret(key: Any) -> bool:
    return isinstance(key, str) and _SECRET.fullmatch(key) is not None


def _unsigned(text: str) -> str:
    """An address without login and signature; other text unchanged."""
    if "://" not in text or any(space in text for space in " \n"):
        return redacted(text) if "://" in text else text
    address, mark, query = _LOGIN.sub(r"\1", text).partition("?")
    pairs = [pair for pair in query.split("&") if pair]
    names = [pair.partition("=")[0] for pair in pairs]
    if not any(map(_is_secret, names)):
        return f"{address}{mark}{query}"
    kept = [
        pair
        for pair, name in zip(pairs, names, strict=True)
        if not _is_secret(name) and not _SIGNED.fullmatch(name)
    ]
    return f"{address}?{'&'.join(kept)}" if kept else address


def hide_secrets() -> None:
    """Take secrets out of the tracebacks of this process."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))

    sys.excepthook = hook


class RedactingFormatter(logging.Formatter):
    """Log lines without secrets, those of tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))
