"""Results of finished passes in a folder, so that an analysis that was stopped goes on after the last of them."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hope.files import whole_file

Arrays = Mapping[str, NDArray]


class Kept:
    """Results of passes by name, each computed once."""

    def __init__(self, folder: Path | None = None) -> None:
        """Keep results as ``.npz`` files in ``folder``; in no file if None."""
        self.folder = folder

    def has(self, name: str) -> bool:
        """Return whether the result of this name is there."""
        return self.folder is not None and (self.folder / f"{name}.npz").is_file()

    def get(self, name: str, compute: Callable[[], Arrays]) -> Arrays:
        """Return the result of this name, computed now if it is not there."""
        if self.folder is None:
            return compute()
        path = self.folder / f"{name}.npz"
        if not path.is_file():
            result = compute()
            with whole_file(path) as temporary, open(temporary, "wb") as file:
                np.savez(file, allow_pickle=False, **result)
            return result
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
