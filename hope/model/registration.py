"""A model folder loads with transformers' Auto classes once ``hope`` was imported, in whatever order.

``import hope`` itself loads neither transformers nor torch: it leaves a note with Python's import system,
which is read when transformers loads its Auto classes, if ever.
"""

import importlib.util
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

MODEL_TYPE = "hope_decoder"
"""Tells transformers, in ``config.json``, which class reads it."""
AUTO = "transformers.models.auto.configuration_auto"
"""The module of transformers that every Auto class starts from."""
CONFIG_MODULE = "hope.model.huggingface_config"
"""The module of ours that registers itself when it is imported."""


def register_with_transformers() -> None:
    """Register the model's class with transformers: at once if that is loaded, else as soon as it is."""
    if AUTO in sys.modules:
        _register()
    elif not any(isinstance(finder, _Notice) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Notice())


class _Notice:
    """Notices that the Auto classes are being loaded; finds nothing itself, and steps aside after that."""

    def __init__(self) -> None:
        """Notice nothing yet."""
        self.asking = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec that the other finders have for the Auto classes; None for any other module."""
        if name != AUTO or self.asking:
            return None
        self.asking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.asking = False
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_and_register(module: ModuleType) -> None:
            load(module)
            sys.meta_path.remove(self)
            _register()

        # On the one loader that was made for this module: it stays of its kind, as those expect who look at it.
        spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


def _register() -> None:
    """Import the class that registers itself; whatever goes wrong, transformers goes on without it."""
    try:
        importlib.import_module(CONFIG_MODULE)
    except Exception as error:
        warnings.warn(
            f"models trained by hope do not load with transformers here: {type(error).__name__}: {error}",
            stacklevel=2,
        )
