"""The base class of the errors of this package. Every message names the problem, its place, and a remedy."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Self

from storage.redaction import redacted

#: names that a message lists
NAMES_SHOWN = 15


class MonitorError(Exception):
    """An error that the user can fix; shown as a message without a traceback, and without secrets."""

    def __init__(self, message: str = "") -> None:
        super().__init__(redacted(str(message)))


class RefusedError(MonitorError):
    """Bad settings, arguments or inputs, found before any work started (exit code 2)."""


def unknown(what: str, name: object, known: Iterable[object], otherwise: str = "") -> RefusedError:
    """The error for a name or number that does not exist, with the nearest known ones.

    Args:
        what: what the name stands for, such as "region".
        otherwise: the message's end where nothing is known.
    """
    names = sorted({str(other) for other in known})
    folded = {other.casefold(): other for other in names}
    near = [folded[other] for other in get_close_matches(str(name).casefold(), folded, 3, 0.6)]
    listed = ", ".join(names[:NAMES_SHOWN])
    if len(names) > NAMES_SHOWN:
        listed += f" and {len(names) - NAMES_SHOWN} more"
    nearest = f" Did you mean {' or '.join(near)}?" if near and len(names) > 1 else ""
    known_ones = f"known: {listed}." if names else otherwise or "there is none yet."
    return RefusedError(f"there is no {what} {name!r}; {known_ones}{nearest}")


class AssetError(MonitorError):
    """A file of the archive could not be read.

    Attributes:
        item: STAC item id.
        asset: asset key.
        href: address of the file.
        cause: why it could not be read.
    """

    outcome = "cannot be read"

    def __init__(self, item: str, asset: str, href: str, cause: str) -> None:
        item, asset, href, cause = (printable(text) for text in (item, asset, href, cause))
        super().__init__(f"{item}: asset {asset} at {href} {self.outcome}: {cause}")
        self.item, self.asset, self.href, self.cause = item, asset, redacted(href), redacted(cause)

    def detached(self) -> Self:
        """A copy without traceback and context, which can be kept and sent to other processes."""
        return type(self)(self.item, self.asset, self.href, self.cause)

    def __reduce__(self) -> tuple[type["AssetError"], tuple[str, str, str, str]]:
        return type(self), (self.item, self.asset, self.href, self.cause)


class ContentRefusedError(AssetError):
    """A file of the archive was read, but its numbers contradict its item or are impossible.

    Reading it again gives the same, so that a season goes on without its item.
    """

    outcome = "is refused"

    @classmethod
    def tells(cls, reason: str, item: str, asset: str, href: str) -> bool:
        """Whether the reason of a failed tile, as the ledger keeps it, is the refusal of this file."""
        return reason.startswith(str(cls(item, asset, href, "")))


#: characters of a text of an archive that a message shows
LONGEST_TEXT = 1000


def printable(text: str) -> str:
    """Text from an archive for messages and logs, of at most `LONGEST_TEXT` characters.

    Control characters, which move the cursor of a terminal or start a new line of a log, are written as
    escapes.
    """
    cut = text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
