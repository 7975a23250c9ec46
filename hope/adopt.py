"""Taking over a study's folder of before there were arms: files move to where an arm's lie, nothing is made anew."""

import shutil
from pathlib import Path

from hope.config import MAIN, Arm, parse_study
from hope.config.default import as_overlay
from hope.errors import UserError
from hope.files import read_json, write_json
from hope.paths import StudyPaths

ROOMS = ("models", "analysis", "evaluation")
MADE_AGAIN = ("tables", "figures", "report", "claims.json", "mlflow")
"""What follows from the files that move, and is made again in seconds."""


def is_without_arms(study: Path) -> bool:
    """Return whether a study's folder is of before there were arms: models lie right below their encodings."""
    return any(study.glob("models/*/seed*/config.json"))


def check_layout(study: Path) -> None:
    """See that a study's folder has arms.

    Raises:
        UserError: it is of before there were arms; the line names the command that takes it over.
    """
    if is_without_arms(study):
        raise UserError(f"{study}: was made before studies had arms; take it over with: python -m hope adopt {study}")


def adopt(study: Path, arm: str = MAIN) -> list[str]:
    """Move the files of a study of before there were arms to where those of the arm ``arm`` lie.

    Args:
        study: folder of the study.
        arm: what its models are called from now on.

    Returns:
        Lines that say what was moved.

    Raises:
        UserError: there is nothing to take over, or the study has no config.
    """
    paths = StudyPaths(study)
    if not is_without_arms(study):
        raise UserError(f"{study}: holds no models of before there were arms; there is nothing to take over")
    whole = parse_study(read_json(paths.config), str(paths.config))
    settings = whole.arms[MAIN]
    lines = [line for room in ROOMS for line in _move_room(study, room, arm)]
    lines += _move_data(paths, settings)
    for name in MADE_AGAIN:
        path = study / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    write_json(paths.config, as_overlay(whole.model_copy(update={"arms": {arm: settings}})))
    return [*lines, f"go on with it: make reproduce CONFIG={paths.config}"]


def _move_room(study: Path, room: str, arm: str) -> list[str]:
    """Move the encodings' folders into the arm's: an encoding may have the arm's name, so by way of another."""
    folder, aside = study / room, study / f".{room}.adopted"
    if not folder.is_dir():
        return []
    folder.rename(aside)
    folder.mkdir()
    aside.rename(folder / arm)
    return [f"{folder}/* -> {folder / arm}/*"]


def _move_data(paths: StudyPaths, settings: Arm) -> list[str]:
    """Move the tokens and the corpus into the folder that has their key."""
    folder, target = paths.root / "data", paths.data(settings.data_key)
    if not folder.is_dir():
        return []
    (folder / "lengths.json").unlink(missing_ok=True)
    aside = paths.root / ".data.adopted"
    folder.rename(aside)
    folder.mkdir()
    aside.rename(target)
    return [f"{folder}/* -> {target}/*"]
