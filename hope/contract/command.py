"""The contract on the command line: one line per check."""

import json
from typing import Any

from hope.contract.checks import examine
from hope.contract.subject import Subject
from hope.errors import UserError


def check_encoding(name: str, settings: str) -> bool:
    """Print the result of every check of an encoding; return whether it passed all.

    Args:
        name: a family, a preset, or ``module:Class``.
        settings: its settings, as JSON.

    Raises:
        UserError: there is no such encoding, or it does not take the settings.
    """
    failed = []
    for finding in examine(Subject.named(name, parse_settings(settings))):
        print(f"{'ok' if finding.holds else 'FAILED':6}  {finding.name:12}  {finding.detail}", flush=True)
        if not finding.holds:
            failed.append(finding.name)
    print(f"\n{name}: " + (f"fails {', '.join(failed)}" if failed else "passes all checks"))
    return not failed


def parse_settings(text: str) -> dict[str, Any]:
    """Return the settings that the command line gives as JSON.

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
