"""The addresses from which files of a catalogue may be read.

Items are written by others, and an address in an item can point anywhere: to a service of this network, to a
file of this machine, or to another archive. Files are read from the hosts and buckets of the catalogue's
profile, from the host or folder of the catalogue itself, and from the places in `catalog.hosts` of the
settings.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: schemes of files that are read
SCHEMES = ("https", "http", "s3", "gs", "az")
_DEFAULT_PORTS = {"https": 443, "http": 80}
#: a scheme of two or more letters, with or without a host: "vrt:", "zip+https:", "HDF5:"
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+):")
#: start of the address of a file of this machine, before its path
_FILE = re.compile(r"file:(//(localhost)?)?(?=/(?!/))")
#: characters on which two parsers of addresses disagree about the host
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\]")
_REMEDY = "add it to catalog.hosts of the settings if you trust the catalogue"


def source_of(text: str) -> str:
    """A place that files are read from: "https://host[:port]", "s3://bucket" or an absolute folder.

    Raises:
        ValueError: it is neither.
    """
    if text.startswith("/"):
        return str(Path(text))
    if text.startswith("file://"):
        return source_of(str(local_path(text)))
    address = text if "://" in text else f"https://{text}"
    origin = _origin(address)
    if origin is None or urlsplit(address).path.strip("/"):
        raise ValueError(f"{text!r} is neither https://HOST, s3://BUCKET nor an absolute folder")
    return origin


def location_of(location: Path | str) -> str:
    """The place of a catalogue: its folder, that of its file, or the host of its API."""
    if isinstance(location, Path):
        return str((location.parent if location.is_file() else location).absolute())
    return _origin(location) or location


def is_remote(href: str) -> bool:
    """Whether an address is read over a network."""
    return "://" in href and not href.startswith("file:")


def local_path(href: str) -> Path:
    """The path of a local file, from a path or a file:// address."""
    return Path(unquote(_FILE.sub("", href))) if href.startswith("file:") else Path(href)


def forbidden(href: str, sources: Sequence[str] | None, item: str | None = None) -> str | None:
    """Why a file at this address is not read; None where it is.

    Args:
        href: address of the file, unsigned.
        sources: places that files are read from, as returned by `source_of` and `location_of`. None: any
            host and folder, for addresses that the caller vouches for.
        item: path of the item's own file in a folder catalogue. Folders that are linked into the catalogue
            above it belong to the catalogue.
    """
    if href.startswith("/vsi"):
        return "virtual file systems of GDAL (/vsi...) are not read; list the file's own address in the item"
    if SCHEME.match(href) and not href.startswith("file:"):
        return _forbidden_host(href, sources)
    if href.startswith("file:") and not _FILE.match(href):
        return "it is not file:///PATH, an absolute path of this machine"
    return _forbidden_path(local_path(href), sources, item)


def _forbidden_host(href: str, sources: Sequence[str] | None) -> str | None:
    origin = _origin(href)
    if origin is None:
        return f"it is not an address of {', '.join(f'{scheme}://' for scheme in SCHEMES)} or a path"
    if sources is None or origin in sources:
        return None
    if origin.startswith("https://") and origin.replace("https://", "http://", 1) in sources:
        return None
    return f"{origin} is not a host of this catalogue; {_REMEDY}"


def _forbidden_path(path: Path, sources: Sequence[str] | None, item: str | None) -> str | None:
    if "\0" in str(path):
        return "its path contains a null character"
    try:
        real = path.resolve()
    except (OSError, RuntimeError) as error:
        return f"its path cannot be resolved: {error}"
    if sources is None:
        return None
    folders = [Path(source) for source in sources if source.startswith("/")]
    beside = Path(item) if item is not None and item.startswith("/") else path
    for folder in folders:
        within = [folder, *_linked(beside, folder)]
        if any(real.is_relative_to(place.resolve()) for place in within):
            return None
    where = f"it lies at {real}, " if real != path else ""
    if not folders:
        return f"{where}on this machine, but the catalogue is not a folder; {_REMEDY}"
    return f"{where}outside the catalogue's folder {folders[0]}; {_REMEDY}"


def _linked(path: Path, folder: Path) -> list[Path]:
    """The folders above `path` and below `folder` that are links, which the owner of `folder` made."""
    return [parent for parent in path.parents if parent.is_relative_to(folder) and parent.is_symlink()]


def _origin(address: str) -> str | None:
    """Scheme, host and port of an address; None if it is no address of a file that can be read."""
    if _AMBIGUOUS.search(address):
        return None
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:  # a port that is no number, or half of an IPv6 address
        return None
    if parts.scheme not in SCHEMES or not parts.hostname or "@" in parts.netloc:
        return None
    if not address.startswith(f"{parts.scheme}://"):
        return None  # in capitals GDAL would read it, and follow redirects anywhere
    shown = "" if port is None or port == _DEFAULT_PORTS.get(parts.scheme) else f":{port}"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host.rstrip('.')}{shown}"


def regular(path: Path) -> Path:
    """`path` without links, if it is a regular file; opening a pipe or a device could take for ever.

    Raises:
        OSError: it is missing, or not a regular file.
    """
    real = path.resolve()
    if not stat.S_ISREG(real.stat().st_mode):
        raise OSError("it is not a regular file")
    return real
