"""What all tests of encodings share."""

from collections.abc import Iterator

import pytest

from hope.model.threads import cpu_threads


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Compute on one thread: on models this small, more wait for each other longer than they compute."""
    with cpu_threads(1):
        yield
