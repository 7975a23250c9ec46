"""Errors that a user can cause, and hints that help to correct them."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in the user's input; its text is the one line that the user reads.

    The text names the file or key, the expected value, and how to correct it. What the user gave may stand in it.
    """

    @property
    def line(self) -> str:
        """The text as one line: line breaks and control characters in it are escaped."""
        return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in str(self))


def short_reason(error: object) -> str:
    """Return the text of a library's error in one line of at most 200 characters."""
    return " ".join(str(error).split())[:200]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the known name closest to ``name``, or an empty string."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{match[0]}'?)" if match else ""
