"""Models this small are slower on several threads, and far slower where tests run side by side."""

from collections.abc import Iterator

import pytest

from hope.model.threads import cpu_threads


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute on one thread for the length of a test."""
    with cpu_threads(1):
        yield
