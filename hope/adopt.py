"""Converts a study's folder that is older than arms: files move to the folders of an arm, and nothing is recomputed."""

import shutil
from pathlib import Path

from hope.config import FORMAT, FORMAT_KEY, Arm, as_config, parse_study, wrong_name
from hope.errors import UserError
from hope.files import read_json, write_json
from hope.paths import StudyPaths

ROOMS = ("analysis", "evaluation", "models")
"""Folders that hold one folder per encoding."""
MADE_AGAIN = ("tables", "figures", "report", "claims.json")
"""Results that follow from the moved files and are made again in seconds."""


def check_layout(study: Path) -> None:
    """Check that a study's folder has the format of this version.

    Raises:
        UserError: the format is older, and the line gives the command that converts the folder; or newer.
    """
    config = StudyPaths(study).config
    content = read_json(config) if config.exists() else {}
    written = content.get(FORMAT_KEY, FORMAT)
    if not isinstance(written, int) or written > FORMAT:
        raise UserError(
            f"{study}: has format {written}, and this version reads {FORMAT}; install the newer version that wrote it"
        )
    if _is_without_arms(study):
        raise UserError(f"{study}: was made before studies had arms; take it over with: python -m hope adopt {study}")


def _is_without_arms(study: Path) -> bool:
    """Return whether models lie directly in folders of encodings, or a conversion was interrupted."""
    return any(study.glob("models/*/seed*/config.json")) or _aside(study, "models").exists()


def _aside(study: Path, room: str) -> Path:
    """Return the temporary name of a folder while it moves: an encoding may have the name of the arm."""
    return study / f".{room}.adopted"


def adopt(study: Path, arm: str) -> list[str]:
    """Move the files of a study that is older than arms to the folders of the arm ``arm``.

    The models move last: after an interruption the same call continues.

    Args:
        study: folder of the study.
        arm: name of the new arm.

    Returns:
        One line per moved folder, and the command to continue with.

    Raises:
        UserError: there is nothing to convert, the study has no config, or no arm can have that name.
    """
    paths = StudyPaths(study)
    if wrong := wrong_name("--arm", arm):
        raise UserError(wrong)
    if not _is_without_arms(study):
        raise UserError(f"{study}: has no models from before studies had arms; there is nothing to take over")
    whole = parse_study(read_json(paths.config), str(paths.config))
    (settings,) = whole.arms.values()
    write_json(paths.config, as_config(whole.model_copy(update={"arms": {arm: settings}})))
    for name in MADE_AGAIN:
        path = study / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    lines = _move_store(paths)
    lines += _move_data(paths, settings)
    lines += [line for room in ROOMS for line in _move_room(study, room, arm)]
    return [*lines, f"continue with: make reproduce CONFIG={paths.config}"]


def _move_store(paths: StudyPaths) -> list[str]:
    """Rename the tracking store: runs have other names now, and the user's notes in it must stay."""
    if not paths.tracking.is_dir():
        return []
    kept = paths.tracking.with_name(f"{paths.tracking.name}-before-arms")
    paths.tracking.rename(kept)
    return [f"{paths.tracking} -> {kept}"]


def _move_room(study: Path, room: str, arm: str) -> list[str]:
    """Move the encodings' folders into the arm's."""
    folder, aside = study / room, _aside(study, room)
    if any(folder.glob("*/seed*")):
        folder.rename(aside)
    if not aside.is_dir():
        return []
    folder.mkdir(exist_ok=True)
    aside.rename(folder / arm)
    return [f"{folder}/* -> {folder / arm}/*"]


def _move_data(paths: StudyPaths, settings: Arm) -> list[str]:
    """Move the tokens and the corpus into the folder named by their key."""
    folder, target, aside = paths.root / "data", paths.data(settings.data_key), _aside(paths.root, "data")
    if (folder / "train").is_dir():
        (folder / "lengths.json").unlink(missing_ok=True)
        folder.rename(aside)
    if not aside.is_dir():
        return []
    folder.mkdir(exist_ok=True)
    aside.rename(target)
    return [f"{folder}/* -> {target}/*"]
