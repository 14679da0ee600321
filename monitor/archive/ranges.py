"""Range requests for a file over HTTP: its header in one request, then exactly the blocks that GDAL needs.

GDAL's own HTTP reader checks first that the file exists, reads more than it needs, takes a truncated response
for the end of the file, and caches failures. Here GDAL only decodes. Each response is checked when it
arrives: status, range, length, and that the file has not changed.
"""

from __future__ import annotations

import io
import itertools
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import requests
from rasterio.abc import MultiByteRangeResourceContainer
from urllib3.exceptions import HTTPError

from monitor.archive.limits import PIXELS, gigabytes
from monitor.archive.profiles import CatalogProfile
from monitor.archive.redirects import get
from monitor.archive.retries import TRIES, TRIES_ABSENT, GivenUp, HttpError, later_of, pause
from monitor.archive.sessions import Session
from monitor.archive.signing import forget, sign
from storage.redaction import redacted

#: bytes of the first request: the header of a COG with its block offsets (20 kB for a whole Sentinel-1 scene)
HEADER = 32768
#: largest gap in bytes between two ranges that are read together, which is faster than a second request
GAP = 8192
#: seconds to connect, and to wait for the next bytes
TIMEOUT = (10.0, 10.0)
#: bytes per second below which a response counts as stalled
LEAST_SPEED = 4096
#: characters of a file's name that are kept
LONGEST_NAME = 100

#: length of a range that reaches beyond the end of any file
UNBOUNDED = 2**50
#: known bytes that are compared where a version has another name, and requests until it is served again
COMPARED, MIRRORS = 65536, 4

_local = threading.local()


class HttpFile(MultiByteRangeResourceContainer):  # type: ignore[misc]
    """The parts of a remote file that have been read; an `opener` for `rasterio.open`.

    GDAL does not pass on an exception of its reader, not even that of Ctrl-C. The exception is kept in
    `fault`, and bytes that are returned after it are invalid, so that `fault` must be checked after use.
    """

    def __init__(self, href: str, profile: CatalogProfile) -> None:
        self.fault: BaseException | None = None
        # a name for GDAL, in which a name of a driver ("vrt:") or of another file system has no effect
        self.name = re.sub(r"[^\w.-]", "_", PurePosixPath(urlsplit(href).path).name)[-LONGEST_NAME:] or "_"
        self._href, self._profile = href, profile
        #: start and bytes of every range that was read
        self._parts: list[tuple[int, bytes]] = []
        #: in bytes; None as long as nothing was read
        self._size: int | None = None
        #: ETags or times of the file, several where its mirrors have their own
        self._versions: set[str] = set()

    def ranges(self, spans: list[tuple[int, int]]) -> list[bytes]:
        """The bytes of each span (start, stop); neighbouring spans are read in one request."""
        try:
            for start, stop in _merged([span for span in spans if self._known(*span) is None]):
                self._fetch(start, stop)
            found = [self._known(*span) for span in spans]
            if None in found:
                raise OSError("it ends within its own blocks")
            return [part for part in found if part is not None]
        except BaseException as error:
            self.fault = self.fault or error
            return [bytes(stop - start) for start, stop in spans]

    def read(self, start: int, size: int) -> bytes:
        """Up to `size` bytes from `start`, like `read` of a file; used mostly for the header."""
        stop = min(start + size, self.size())
        if self.fault is not None or stop <= start:
            return b""
        known = self._known(start, stop)
        if known is None:  # more than requested, because the bytes that follow are requested next
            more = min(max(stop, start + HEADER), self.size())
            known = self.ranges([(start, more)])[0][: stop - start]
        return b"" if self.fault is not None else known

    def block(self, start: int, size: int) -> bytes:
        """The bytes of a block that has been read, to be checked; invalid ones where there is a fault."""
        (found,) = self.ranges([(start, start + size)])
        return found

    def _known(self, start: int, stop: int) -> bytes | None:
        for at, part in self._parts:
            if at <= start and stop <= at + len(part):
                return part[start - at : stop - at]
        return None

    def _fetch(self, start: int, stop: int) -> None:
        """Read from `start` to `stop`, or to the end of the file; failures are retried."""
        last = (stop if self._size is None else min(stop, self._size)) - 1
        if last < start:
            raise OSError("it ends before its own blocks")
        if (size := last + 1 - start + sum(len(part) for _, part in self._parts)) > PIXELS:
            raise GivenUp(f"{gigabytes(size)} of it are needed at once, more than {gigabytes(PIXELS)}")
        for tried in itertools.count(1):
            status: int | None = None
            signed, later = self._href, 0.0
            try:
                signed = sign(self._href, self._profile)
                self._parts.append((start, self._ask(signed, start, last)))
                return
            except _Replaced:
                raise
            except ValueError as error:  # a redirect to another place
                raise GivenUp(str(error)) from None
            except HttpError as error:
                status, later, cause = error.status, error.later, str(error)
            except (HTTPError, OSError) as error:
                cause, later = redacted(str(error)), later_of(getattr(error, "response", None))
            if tried >= (TRIES_ABSENT if status == 404 else TRIES):
                raise GivenUp(f"{cause} ({tried} tries)")
            if status in (401, 403):
                forget(signed, self._profile)
            pause(tried, later)

    def _ask(self, address: str, start: int, last: int) -> bytes:
        """The complete body of one response."""
        with self._answer(address, start, last) as answer:
            first, end, size = _placed(answer)
            if size is None:
                size = end + 1 if end < last else self._size or self._end_after(address, end)
            if self._size not in (None, size):
                raise _Replaced("it was replaced by another file while it was read")
            if (first, end) != (start, min(last, size - 1)):
                raise OSError(f"bytes {start}-{last} were requested, {first}-{end} returned")
            version, strong = _version_of(answer)
            body = _body(answer, end - first + 1)
        if self._versions and version not in self._versions:
            self._compare(address, version, strong)
        self._size = size
        self._versions.add(version)
        return body

    @contextmanager
    def _answer(self, address: str, start: int, last: int) -> Iterator[requests.Response]:
        """The response to a range request."""
        headers = {"Range": f"bytes={start}-{last}", "Accept-Encoding": "identity"}
        options = {"headers": headers, "stream": True, "timeout": TIMEOUT}
        with get(_session(), address, self._profile.sources, **options) as answer:
            if answer.status_code != 206:
                raise HttpError(answer, "its server does not support byte ranges" if answer.ok else None)
            yield answer

    def _end_after(self, address: str, at: int) -> int:
        """Size of a file whose server does not state it, from the end of a range that is longer than it.

        Only the head of the response is read.
        """
        with self._answer(address, at, at + UNBOUNDED) as answer:
            return _placed(answer)[1] + 1

    def _compare(self, address: str, version: str, strong: bool) -> None:
        """Check that a version with another name is the same file, of which some bytes are known.

        Mirrors name the same content differently, and some servers name it differently each time.

        Raises:
            _Replaced: its bytes differ, or the version with a strong ETag is not served again.
        """
        start, known = max(self._parts, key=lambda part: len(part[1]))
        known = known[:COMPARED]
        for _ in range(MIRRORS):
            with self._answer(address, start, start + len(known) - 1) as answer:
                found, _ = _version_of(answer)
                same = _placed(answer)[:2] == (start, start + len(known) - 1)
                if not same or _body(answer, len(known)) != known:
                    break
            if found == version or not strong:
                return
        raise _Replaced("it was replaced by another file while it was read")

    # the methods that rasterio calls on an opener

    def size(self, path: str = "") -> int:
        if self._size is None and self.fault is None:
            try:
                self._fetch(0, HEADER)
            except BaseException as error:
                self.fault = error
        return self._size or 0

    def open(self, path: str, mode: str = "rb", **kwds: Any) -> _Handle:
        return _Handle(self)

    def isfile(self, path: str) -> bool:
        return PurePosixPath(path).name == self.name

    def isdir(self, path: str) -> bool:
        return False

    def ls(self, path: str) -> list[str]:
        return []

    def mtime(self, path: str) -> int:
        return 0

    def rm(self, path: str) -> None:
        raise OSError("it is read only")


class _Handle(io.RawIOBase):
    """An open handle of an `HttpFile`, with its own position."""

    def __init__(self, file: HttpFile) -> None:
        self._file, self._at = file, 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._file.size() if whence == io.SEEK_END else 0)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        part = self._file.read(self._at, size if size >= 0 else self._file.size())
        self._at += len(part)
        return part

    def get_byte_ranges(self, offsets: list[int], sizes: list[int]) -> list[bytes]:
        return self._file.ranges([(at, at + size) for at, size in zip(offsets, sizes, strict=True)])


class _Replaced(OSError):
    """The file changed after its header was read."""


def _placed(answer: requests.Response) -> tuple[int, int, int | None]:
    """First and last byte of a response, and the size of the file, None where it is not stated."""
    placed = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
    if placed is None:
        raise OSError("the response to a range request has no Content-Range")
    return int(placed[1]), int(placed[2]), None if placed[3] == "*" else int(placed[3])


def _version_of(answer: requests.Response) -> tuple[str, bool]:
    """Name of the file's version (ETag or time), and whether it stands for the same bytes (RFC 9110, 8.8)."""
    tag = answer.headers.get("ETag", "").strip()
    if not tag:
        return answer.headers.get("Last-Modified", ""), False
    return tag.removeprefix("W/"), not tag.startswith("W/")


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans (start, stop) in order, joined where the gap between them is at most `GAP`."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if merged and start - merged[-1][1] <= GAP:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def _body(answer: requests.Response, size: int) -> bytes:
    """Exactly `size` bytes of the body.

    Raises:
        OSError: the body is shorter, or slower than `LEAST_SPEED`.
    """
    ends = time.monotonic() + TIMEOUT[1] + size / LEAST_SPEED
    body = bytearray()
    while len(body) < size and (part := answer.raw.read1(size - len(body))):
        body += part
        if time.monotonic() > ends:
            raise OSError(f"its server sends less than {LEAST_SPEED} bytes per second")
    if len(body) != size:
        raise OSError(f"its server sent {len(body)} of {size} bytes")
    return bytes(body)


def _session() -> requests.Session:
    """The session of this thread, whose connections are reused for all files."""
    if not hasattr(_local, "session"):
        _local.session = Session()
    session: requests.Session = _local.session
    return session
