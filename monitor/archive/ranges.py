"""A file over HTTP as GDAL reads it: its header in one request, then exactly the blocks that are wanted.

GDAL's own reader of addresses asks first whether a file is there, reads more than it needs, takes a cut-off
answer for the end of the file, and remembers failures. Here GDAL decodes, and what an answer must be is
checked where it arrives: its status, its range, its length, and that the file is still the same.
"""

from __future__ import annotations

import io
import itertools
import logging
import re
import threading
import time
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import requests
from rasterio.abc import MultiByteRangeResourceContainer
from urllib3.exceptions import HTTPError

from monitor.archive.profiles import CatalogProfile
from monitor.archive.retries import TRIES, TRIES_ABSENT, GivenUp, pause
from monitor.archive.signing import forget, sign, unsigned

#: bytes asked for first: the header of a COG with its block offsets (20 kB of a whole Sentinel-1 scene's)
HEADER = 32768
#: bytes between two ranges that are rather read than left out: a second request costs more
GAP = 8192
#: seconds for a connection, and without a single byte: a store answers at once or not at all
TIMEOUT = (10.0, 10.0)
#: bytes a second below which an answer is as good as stalled
LEAST_SPEED = 4096
#: most seconds that a server's "later" is waited for
LONGEST_LATER = 60.0

_local = threading.local()


class HttpFile(MultiByteRangeResourceContainer):  # type: ignore[misc]
    """What was read of a file at an address, which `rasterio.open` takes as its `opener`.

    GDAL cannot carry an error of its reader: it is kept in `fault`, and whatever is read from then on is
    worth nothing.
    """

    def __init__(self, href: str, profile: CatalogProfile) -> None:
        self.fault: OSError | None = None
        self.name = PurePosixPath(urlsplit(href).path).name
        self._href, self._profile = href, profile
        #: start and bytes of every range that was read
        self._parts: list[tuple[int, bytes]] = []
        #: size in bytes, and what its server calls this version of it
        self._is: tuple[int, str | None] | None = None

    def ranges(self, spans: list[tuple[int, int]]) -> list[bytes]:
        """The bytes of each span (start, stop); what lies close together in one request."""
        try:
            for start, stop in _merged([span for span in spans if self._known(*span) is None]):
                self._fetch(start, stop)
            found = [self._known(*span) for span in spans]
            if None in found:
                raise OSError("it ends within its own blocks")
            return [part for part in found if part is not None]
        except OSError as error:
            self.fault = self.fault or error
            return [bytes(stop - start) for start, stop in spans]

    def read(self, start: int, size: int) -> bytes:
        """Up to `size` bytes from `start`, as a file gives them: parts of its header mostly."""
        stop = min(start + size, self.size())
        if self.fault is not None or stop <= start:
            return b""
        known = self._known(start, stop)
        if known is None:  # some more than is asked for: what follows is asked for next
            more = min(max(stop, start + HEADER), self.size())
            known = self.ranges([(start, more)])[0][: stop - start]
        return b"" if self.fault is not None else known

    def _known(self, start: int, stop: int) -> bytes | None:
        for at, part in self._parts:
            if at <= start and stop <= at + len(part):
                return part[start - at : stop - at]
        return None

    def _fetch(self, start: int, stop: int) -> None:
        """Read from `start` to `stop`, or to the end of the file; tried again when it fails."""
        last = (stop if self._is is None else min(stop, self._is[0])) - 1
        if last < start:
            raise OSError("it ends before its own blocks")
        for tried in itertools.count(1):
            signed, status, later = self._href, None, 0.0
            try:
                signed = sign(self._href, self._profile)
                self._parts.append((start, self._ask(signed, start, last)))
                return
            except _Replaced:
                raise
            except _Refused as error:
                status, later, cause = error.status, error.later, str(error)
            except (HTTPError, OSError) as error:
                cause = unsigned(str(error))
            if tried >= (TRIES_ABSENT if status == 404 else TRIES):
                raise GivenUp(f"{cause} ({tried} tries)")
            if status in (401, 403):
                forget(signed, self._profile)
            pause(tried, later)

    def _ask(self, address: str, start: int, last: int) -> bytes:
        """The body of one answer, whole."""
        headers = {"Range": f"bytes={start}-{last}", "Accept-Encoding": "identity"}
        with _session().get(address, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code != 206:
                raise _Refused(answer)
            told = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.headers.get("Content-Range", ""))
            if told is None:
                raise OSError("a range was asked for and answered without its place")
            first, end, size = (int(number) for number in told.groups())
            version = (size, answer.headers.get("ETag") or answer.headers.get("Last-Modified"))
            if self._is is not None and self._is != version:
                raise _Replaced("it was replaced by another file while it was read")
            if (first, end) != (start, min(last, size - 1)):
                raise OSError(f"bytes {start}-{last} were asked for, {first}-{end} answered")
            body = _body(answer, end - first + 1)
            self._is = version
            return body

    # what rasterio asks of an opener

    def size(self, path: str = "") -> int:
        if self._is is None and self.fault is None:
            try:
                self._fetch(0, HEADER)
            except OSError as error:
                self.fault = error
        return self._is[0] if self._is else 0

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
    """One reader of an `HttpFile`, with a position of its own."""

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
    """Another version of the file than the one whose header was read."""


class _Refused(OSError):
    """An answer without the bytes that were asked for."""

    def __init__(self, answer: requests.Response) -> None:
        self.status = answer.status_code
        #: seconds that the server wants to be left alone
        later = answer.headers.get("Retry-After", "")
        self.later = min(float(later), LONGEST_LATER) if later.isdigit() else 0.0
        reason = "its server gives no ranges of bytes" if answer.ok else answer.reason
        super().__init__(f"HTTP {answer.status_code} {reason}")


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans (start, stop) in order, joined where little lies between them."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if merged and start - merged[-1][1] <= GAP:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def _body(answer: requests.Response, size: int) -> bytes:
    """Exactly `size` bytes; an answer that crawls is given up."""
    ends = time.monotonic() + TIMEOUT[1] + size / LEAST_SPEED
    body = bytearray()
    while len(body) < size and (part := answer.raw.read1(size - len(body))):
        body += part
        if time.monotonic() > ends:
            raise OSError(f"its server sends less than {LEAST_SPEED} bytes a second")
    if len(body) != size:
        raise OSError(f"its server sent {len(body)} of {size} bytes")
    return bytes(body)


def _session() -> requests.Session:
    """Connections of this thread, kept from file to file."""
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
    session: requests.Session = _local.session
    return session


def _without_signatures(record: logging.LogRecord) -> bool:
    record.msg, record.args = unsigned(record.getMessage()), ()
    return True


# it writes every address that is asked for into its debug log
logging.getLogger("urllib3.connectionpool").addFilter(_without_signatures)
