"""Trying again: what is read of an archive may fail for a moment; it is given up when it keeps failing."""

from __future__ import annotations

import itertools
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from monitor.archive.profiles import CatalogProfile
from monitor.archive.signing import forget, sign, unsigned
from monitor.errors import AssetError

T = TypeVar("T")
#: tries of a file or request, and of what is said not to be there: object stores say so of what is
TRIES, TRIES_ABSENT = 6, 4
#: seconds before the second try; twice as long before each further one, up to the longest
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
#: seconds to connect, and to wait for the next bytes
TIMEOUT = (10, 60)


class GivenUp(OSError):
    """A request that was tried often enough by itself."""


def tried(item: str, file: tuple[str, str], profile: CatalogProfile, job: Callable[[str], T]) -> T:
    """What `job` makes of the signed address of an (asset, href), tried until it is there or given up.

    What can be read and is not what it should be (a ValueError, or what parsers of XML throw) is not tried
    again, and neither is a local file.

    Raises:
        AssetError: it is given up.
    """
    from rasterio.errors import RasterioError

    asset, href = file
    for number in itertools.count(1):
        signed, tries = href, TRIES if is_remote(href) else 1
        try:
            signed = sign(href, profile)
            return job(signed)
        except (GivenUp, ValueError, TypeError, LookupError, SyntaxError) as error:
            cause, tries = words_of(error), 1
        except (RasterioError, OSError) as error:
            cause = words_of(error)
        status = status_in(cause)
        if number >= min(tries, TRIES_ABSENT if status == 404 else tries):
            # outside of `except`: the error's own words may hold a signature
            raise AssetError(item, asset, unsigned(href), cause)
        if status == 403:
            forget(signed, profile)
        pause(number)
    raise AssertionError("unreachable")


def pause(tried: int, least: float = 0.0) -> None:
    """Wait before another try: longer each time, out of step with others, at least `least` seconds."""
    time.sleep(max(least, min(FIRST_PAUSE * 2 ** (tried - 1), LONGEST_PAUSE) * random.uniform(0.5, 1.5)))


def is_remote(href: str) -> bool:
    """Whether an address leads over a network."""
    return "://" in href and not href.startswith("file:")


def status_in(words: str) -> int | None:
    """The HTTP status in the words of an error."""
    found = re.search(r"(?:response[ _]code|HTTP)\D{0,200}?\b([45]\d\d)\b", words)
    return int(found[1]) if found else None


def words_of(error: BaseException) -> str:
    """What was said of an error and its causes, deepest first, without signatures."""
    said: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        words = unsigned(str(cause)).strip()
        if words and words not in said:
            said.insert(0, words)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "; ".join(said)


def fetch(href: str) -> bytes:
    """Content of a small file at a signed address or a path.

    Raises:
        OSError: it cannot be read, or lies in a bucket.
    """
    parts = urlsplit(href)
    if parts.scheme in ("http", "https"):
        import requests

        answer = requests.get(href, timeout=TIMEOUT)
        if not answer.ok:
            raise OSError(f"HTTP {answer.status_code} {answer.reason}")
        return answer.content
    if parts.scheme == "file":
        return Path(unquote(parts.path)).read_bytes()
    if "://" in href:
        raise ValueError(f"annotations are read over https or from a folder, not over {parts.scheme}")
    return Path(href).read_bytes()
