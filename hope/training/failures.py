"""Failures that would come again: noted, so that a retry ends at once with the same line.

A workflow tries a failed training again, whatever the reason. After a signal, a full disk or a lack of memory
that is right. A loss that is no number, or data that are damaged, would only fail once more, hours later
perhaps. Such a failure is noted beside the checkpoints, together with a digest of what led to it: the code,
the installed packages and the state of the data's files. Where any of that has changed the note is void; a
changed config has another fingerprint, as an encoding of the user's own has, and so another note.
"""

from pathlib import Path
from typing import Any

from hope import config
from hope.errors import UserError
from hope.files import read_json, sha256_of_json, write_json
from hope.tracking.provenance import code_digest, environment_digest
from hope.training.devices import installed_devices


def failure_note(checkpoints: Path, name: str) -> Path:
    """Return the file that notes the failure of the training ``name``."""
    return checkpoints / f"{name}.failed.json"


def circumstances(settings: config.Training, data: Path) -> str:
    """Return a digest of all that a training depends on beside its fingerprint.

    The data's files enter by size and time of change, which no copy of a backup brings back: data that were
    mended count as others.
    """
    files = [path for path in sorted((data / "train").iterdir()) if path.is_file()]
    return sha256_of_json(
        {
            "code": code_digest("train"),
            "environment": environment_digest(),
            # What counts as a failure of the loss.
            "watch": [settings.spike_factor, settings.bad_steps],
            "data": [[path.name, (entry := path.stat()).st_size, entry.st_ctime_ns] for path in files],
            # What fails on a CPU may pass on a GPU.
            "gpu": bool(installed_devices()),
        }
    )


def lasting(line: str, note: Path) -> str:
    """Return the line of a failure that would come again, with what lets it be tried again."""
    return f"{line} (it is not tried again before config, code or data change, or {note} is deleted)"


def note_failure(note: Path, line: str, digest: str) -> None:
    """Note a failure under these circumstances."""
    write_json(note, {"line": line, "circumstances": digest})


def noted_failure(note: Path, digest: str | None = None) -> str | None:
    """Return the line of a failure noted under these circumstances (under any, without ``digest``), or None."""
    try:
        content: Any = read_json(note)
    except UserError:
        return None
    if not isinstance(content, dict) or (digest is not None and content.get("circumstances") != digest):
        return None
    return str(content.get("line"))
