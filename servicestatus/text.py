"""Bounds texts by their size in bytes, so that a peer's text costs no more than the contract allows."""


def truncate(text: str, limit_bytes: int) -> str:
    """Return the start of `text`: at most `limit_bytes` bytes of UTF-8, cut between characters.

    A surrogate, which UTF-8 cannot carry, becomes `?`: a path of the file system may contain one.
    """
    return text.encode("utf-8", "replace")[:limit_bytes].decode("utf-8", "ignore")


def fits(text: str, limit_bytes: int) -> bool:
    """Return whether `text` has at most `limit_bytes` bytes of UTF-8."""
    return len(text.encode("utf-8", "replace")) <= limit_bytes


def escape(text: str) -> str:
    """Return `text` with each character that is not printable escaped, so that it can neither hide nor forge text."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
