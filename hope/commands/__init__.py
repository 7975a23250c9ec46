"""The commands of ``python -m hope``, each declared once; ``--help`` lists them in the order of these imports."""

from hope.commands import study, encodings, checkpoints, tracking, steps  # noqa: F401, I001
from hope.commands.declaration import COMMANDS, Command

__all__ = ["COMMANDS", "Command"]
