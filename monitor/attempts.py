"""Trying again: what is read of an archive may fail for a moment, and is given up only when nothing moves."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sized
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from monitor.errors import AssetError
from monitor.profiles import CatalogProfile
from monitor.reading import FIRST_PAUSE, LONGEST_PAUSE, TRIES, TRIES_ABSENT, GivenUp, _status, _words
from monitor.scenes import Scene
from monitor.signing import forget, sign, unsigned

T = TypeVar("T")
#: seconds to connect, and to wait for the next bytes
TIMEOUT = (10, 60)


def tried(
    scene: Scene, file: tuple[str, str], profile: CatalogProfile, job: Callable[[str], T], kept: Sized = ()
) -> T:
    """What `job` makes of the signed address of an (asset, href), tried as `monitor.reading` tries.

    `kept` grows while a failing job makes progress all the same. What can be read and is not what it should
    be (a ValueError, or what parsers of XML throw) is not tried again.

    Raises:
        AssetError: it is given up.
    """
    from rasterio.errors import RasterioError

    asset, href = file
    idle = 0
    while True:
        before, signed = len(kept), href
        try:
            signed = sign(href, profile)
            return job(signed)
        except GivenUp as error:
            raise AssetError(scene.id, asset, unsigned(href), _words(error)) from None
        except (RasterioError, OSError) as error:
            cause = _words(error)
        except (ValueError, TypeError, LookupError, SyntaxError) as error:
            raise AssetError(scene.id, asset, unsigned(href), _words(error)) from None
        idle = idle + 1 if len(kept) == before else 1
        status = _status(cause)
        if "://" not in href or idle >= (TRIES_ABSENT if status == 404 else TRIES):
            raise AssetError(scene.id, asset, unsigned(href), cause)
        if status == 403:
            forget(signed, profile)
        time.sleep(min(FIRST_PAUSE * 2 ** (idle - 1), LONGEST_PAUSE) * random.uniform(0.5, 1.5))


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
