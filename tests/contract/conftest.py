"""The models of these tests are as small as those of the model's own."""

from tests.model.conftest import one_thread

__all__ = ["one_thread"]
