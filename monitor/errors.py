"""The base class of the errors of this package. Every message names the problem, its place, and a remedy."""


class MonitorError(Exception):
    """An error that the user can fix; shown as a message without a traceback."""


class RefusedError(MonitorError):
    """Bad settings, arguments or inputs, found before any work started (exit code 2)."""


class AssetError(MonitorError):
    """A file of the archive could not be read.

    Attributes:
        item: STAC item id.
        asset: asset key.
        href: address of the file.
        cause: why it could not be read.
    """

    def __init__(self, item: str, asset: str, href: str, cause: str) -> None:
        item, asset, href, cause = (printable(text) for text in (item, asset, href, cause))
        super().__init__(f"{item}: asset {asset} at {href} cannot be read: {cause}")
        self.item, self.asset, self.href, self.cause = item, asset, href, cause

    def detached(self) -> "AssetError":
        """A copy without traceback and context, which can be kept and sent to other processes."""
        return AssetError(self.item, self.asset, self.href, self.cause)

    def __reduce__(self) -> tuple[type["AssetError"], tuple[str, str, str, str]]:
        return AssetError, (self.item, self.asset, self.href, self.cause)


#: characters of a text of an archive that a message shows
LONGEST_TEXT = 1000


def printable(text: str) -> str:
    """Text from an archive for messages and logs, of at most `LONGEST_TEXT` characters.

    Control characters, which move the cursor of a terminal or start a new line of a log, are written as
    escapes.
    """
    cut = text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
