"""Errors that a user can cause, and hints that help to correct them."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in the user's input; its text is the one line that the user reads.

    The text names the file or key, the expected value, and how to correct it. Bytes of a file's name that are no UTF-8
    become question marks, so that the line can be printed.
    """

    def __init__(self, text: str) -> None:
        """Take the line."""
        super().__init__(text.encode(errors="replace").decode())


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the known name closest to ``name``, or an empty string."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{match[0]}'?)" if match else ""
