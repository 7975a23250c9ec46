"""The contract on the command line: one line a property."""

import json
from typing import Any

from hope.contract.checks import examine
from hope.contract.subject import Subject
from hope.errors import UserError


def check_encoding(name: str, settings: str) -> bool:
    """Print what every check finds of an encoding; return whether all hold.

    Args:
        name: a family, a preset, or ``module:Class``.
        settings: its settings, as JSON.

    Raises:
        UserError: there is no such encoding, or it does not take the settings.
    """
    broken = []
    for finding in examine(Subject.named(name, parse_settings(settings))):
        print(f"{'ok' if finding.holds else 'FAILED':6}  {finding.name:12}  {finding.said}", flush=True)
        if not finding.holds:
            broken.append(finding.name)
    print(f"\n{name}: " + (f"breaks {', '.join(broken)}" if broken else "holds to the contract"))
    return not broken


def parse_settings(text: str) -> dict[str, Any]:
    """Return the settings that a command line gives as JSON.

    Raises:
        UserError: the text is no JSON object.
    """
    try:
        settings = json.loads(text)
    except ValueError as error:
        raise UserError(f"--settings: not valid JSON ({error}); write it as '{{\"name\": value}}'") from None
    if not isinstance(settings, dict):
        raise UserError("--settings: expected an object, as '{\"name\": value}'")
    return settings
