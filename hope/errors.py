"""Errors that a user can cause, and the words that help to mend them."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what the user gave; its text is the one line that the user reads.

    The text names the file or key, says what was expected, and how to mend it.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the known name closest to ``name``, or an empty string."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{match[0]}'?)" if match else ""
