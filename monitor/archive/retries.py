"""Retries of reads from an archive, with growing pauses and fresh signatures, up to a number of tries."""

from __future__ import annotations

import itertools
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from monitor.archive.addresses import forbidden, is_remote, local_path
from monitor.archive.limits import ANNOTATION, content_of
from monitor.archive.profiles import CatalogProfile
from monitor.archive.redirects import get
from monitor.archive.sessions import Session, retry_after
from monitor.archive.signing import forget, sign
from monitor.archive.validity import ContentError
from monitor.errors import AssetError, ContentRefusedError
from storage.redaction import redacted

if TYPE_CHECKING:
    import requests
    from rasterio.errors import RasterioError

T = TypeVar("T")
#: tries of a file or request, and of one that answers 404, which object stores also return for objects that
#: exist
TRIES, TRIES_ABSENT = 6, 4
#: seconds before the second try; twice as long before each further one, up to the longest
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
#: HTTP statuses of a server that may answer a moment later
TRANSIENT = (429, 500, 502, 503, 504)
#: seconds to connect, and to wait for the next bytes
TIMEOUT = (10, 60)
#: most seconds of a Retry-After that are waited
LONGEST_LATER = 60.0
#: HTTP status by GDAL's error number (cpl_error.h): CPLE_AWSObjectNotFound, CPLE_AWSAccessDenied
GDAL_STATUS = {13: 404, 14: 403}


class HttpError(OSError):
    """An HTTP response without the requested content.

    Attributes:
        status: HTTP status.
        later: seconds to wait before the next try, from Retry-After; 0 without one.
    """

    def __init__(self, response: requests.Response, reason: str | None = None) -> None:
        super().__init__(f"HTTP {response.status_code} {reason or response.reason}")
        self.status = response.status_code
        self.later = later_of(response)


def later_of(response: requests.Response | None) -> float:
    """Seconds to wait by the Retry-After of a response, at most `LONGEST_LATER`; 0 without one."""
    return 0.0 if response is None else min(retry_after(response.headers), LONGEST_LATER)


class GivenUp(OSError):
    """A request that failed in all of its tries, so that its caller does not retry it."""


def tried(item: str, file: tuple[str, str], profile: CatalogProfile, job: Callable[[str], T]) -> T:
    """The result of `job` on the signed address of `file`, an (asset, href); failures are retried.

    A local file is not tried again, and neither is one with wrong content, which raises errors of any type
    in the libraries that decode it. A file at an address that is not one of the catalogue's is not read.

    Raises:
        AssetError: the last try failed.
        ContentRefusedError: the content of the file contradicts its item.
    """
    from rasterio.errors import RasterioError

    asset, href = file
    if rule := forbidden(href, profile.sources):
        raise AssetError(item, asset, redacted(href), rule)
    for number in itertools.count(1):
        signed, tries, status, later = href, TRIES if is_remote(href) else 1, None, 0.0
        kind: type[AssetError] = AssetError
        try:
            signed = sign(href, profile)
            return job(signed)
        except ContentError as error:
            cause, tries, kind = words_of(error), 1, ContentRefusedError
        except GivenUp as error:
            cause, tries = words_of(error), 1
        except HttpError as error:
            cause, status, later = words_of(error), error.status, error.later
        except RasterioError as error:
            cause = words_of(error)
            status = _status_of(error)
        except OSError as error:
            cause, later = words_of(error), later_of(getattr(error, "response", None))
        except MemoryError:
            cause, tries = "it does not fit into the memory of this process", 1
        except (ValueError, TypeError, LookupError, SyntaxError) as error:
            cause, tries = words_of(error) or type(error).__name__, 1
        except Exception as error:  # a damaged file can raise any error of GDAL, PROJ or an XML library
            cause, tries = f"{type(error).__name__}: {words_of(error)}", 1
        if number >= min(tries, TRIES_ABSENT if status == 404 else tries):
            # outside of `except`, so that the error, which may contain a signature, is not its context
            raise kind(item, asset, href, cause)
        if status in (401, 403):
            forget(signed, profile)
        pause(number, later)
    raise AssertionError("unreachable")


def pause(tried: int, least: float = 0.0) -> None:
    """Wait before another try: longer each time, with jitter, and at least `least` seconds."""
    time.sleep(max(least, min(FIRST_PAUSE * 2 ** (tried - 1), LONGEST_PAUSE) * random.uniform(0.5, 1.5)))


def _status_of(error: RasterioError) -> int | None:
    """The HTTP status behind an error of GDAL, which reads buckets (`/vsis3/` and the like) itself.

    GDAL has error numbers for a missing object and for denied access. The status of another response stands
    only in the text of its message, such as "HTTP response code: 503", so that this text is read here and
    nowhere else. All other requests raise an `HttpError`, which has the status.
    """
    for cause in _causes(error):
        if (number := getattr(cause, "errno", None)) in GDAL_STATUS:
            return GDAL_STATUS[number]
        if found := re.search(r"response[ _]code(?: on \S+)?[:=] ?([45]\d\d)\b", str(cause)):
            return int(found[1])
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and its causes, deepest last."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def words_of(error: BaseException) -> str:
    """The messages of an error and its causes, deepest first, without signatures."""
    said: list[str] = []
    for cause in _causes(error):
        words = redacted(str(cause)).strip()
        if words and words not in said:
            said.insert(0, words)
    return "; ".join(said)


def fetch(href: str, sources: Sequence[str] | None = None) -> bytes:
    """Content of a small file at a signed address or a path; redirects stay in `sources`, as of `forbidden`.

    Raises:
        HttpError: its server answers with an error.
        OSError: it cannot be read.
        ValueError: the address is neither HTTP nor a path, or the file is larger than `ANNOTATION`.
    """
    if href.startswith(("http://", "https://")):
        with Session() as session, get(session, href, sources, timeout=TIMEOUT, stream=True) as answer:
            if not answer.ok:
                raise HttpError(answer)
            content = bytearray()
            for part in answer.iter_content(2**16):
                content += part
                if len(content) > ANNOTATION:
                    raise ValueError(f"it has more than {ANNOTATION // 2**20} MB")
            return bytes(content)
    if is_remote(href):
        scheme = href.split("://", maxsplit=1)[0]
        raise ValueError(f"annotations are read over https or from a folder, not over {scheme}")
    return content_of(local_path(href), ANNOTATION)
