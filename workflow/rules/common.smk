"""The study that the config describes, and the functions and paths that all rules share."""

import json
import os
import re
from pathlib import Path

from snakemake.exceptions import WorkflowError

from hope.commands import COMMANDS
from hope.commands.steps import ROTARY_TABLES
from hope.config import load_study, to_json
from hope.errors import UserError
from hope.paths import StudyPaths, part_folder, snapshot_files
from hope.reporting.figures.declaration import study_figures
from hope.study_files import check_study


def checked(function, *arguments):
    """Return the function's result; a user's mistake ends the workflow with one line."""
    try:
        return function(*arguments)
    except UserError as error:
        raise WorkflowError(error.line) from None


def outputs(step, folder, without=()):
    """Return the output files that a step declares, by name, and its provenance file as ``record``."""
    declared = COMMANDS[step]
    record = {"record": declared.record} if declared.record else {}
    return {name: folder / file for name, file in (declared.outputs | record).items() if name not in without}


def first_arm(wildcards):
    """Return the name of a job's arm: from its wildcard ``arm``, else the first arm that reads its data."""
    return wildcards.arm if "arm" in wildcards.keys() else READERS[wildcards.data]


def arm_of(wildcards):
    """Return the settings of a job's arm."""
    return STUDY.arms[first_arm(wildcards)]


def settings(section):
    """Return a value for ``params``: a part of the config as sorted JSON.

    The value is a function, because Snakemake would read the braces of a plain string as wildcards.

    Args:
        section: the part, or a function that takes it from the settings of the job's arm.
    """
    return lambda wildcards: to_json(section(arm_of(wildcards)) if callable(section) else section)


def training_settings(wildcards):
    """Return all settings that the weights of a model depend on, as sorted JSON."""
    stage = arm_of(wildcards).train_stage(wildcards.encoding, int(wildcards.seed))
    stage = stage.model_copy(update={"training": stage.training.what_is_trained()})
    # This key was added later; with it, every older model would be trained again.
    return to_json(stage, leave_out={"training": {"snapshots"}})


def data_of(wildcards):
    """Return the data folder of a job's arm."""
    return PATHS.data(arm_of(wildcards).data_key)


def of_arm(files):
    """Return an input function for files in the data folder of a job's arm."""
    return lambda wildcards: expand(files, data=arm_of(wildcards).data_key)


def snapshots_of(wildcards):
    """Return the snapshot files of a job's model."""
    return snapshot_files(PATHS.run(**wildcards).model, arm_of(wildcards).training.snapshot_steps)


def for_runs(files, chosen):
    """Return a rule's outputs for all models for which ``chosen(arm, encoding)`` is true."""
    runs = [run for run in STUDY.runs() if chosen(STUDY.arms[run.arm], run.encoding)]
    return [path for run in runs for path in expand(files, **run._asdict())]


def one_of(names):
    """Return a wildcard pattern that matches exactly these names, or nothing if there are none."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


# Base first, then its overlays; Snakemake lists the base last.
ORIGINS = [Path(os.path.relpath(path)) for path in workflow.configfiles[-1:] + workflow.configfiles[:-1]]
STUDY = checked(load_study, ORIGINS, dict(workflow.config_settings.config))
# The user's own files. Those with code are inputs of rules; of the others a digest is among the params.
FILES = checked(check_study, STUDY).arms
PATHS = StudyPaths.named(STUDY.study)
RUN = PATHS.run("{arm}", "{encoding}", "{seed}")
TRAINED = outputs("train", RUN.model)
MODEL = {name: TRAINED[name] for name in ("model", "config")}
DATA, CORPUS = PATHS.data("{data}"), PATHS.corpus("{data}")
READERS = {arm.data_key: name for name, arm in reversed(STUDY.arms.items())}
ON_TEXT = [name for name, arm in STUDY.arms.items() if arm.reads_text]
TEXTS = {STUDY.arms[name].data_key for name in ON_TEXT}
LENGTHS = [PATHS.root / "data" / "lengths" / f"{name}.json" for name in ON_TEXT]
ENCODINGS = {run.encoding for run in STUDY.runs()}
ROTARY = {name for arm in STUDY.arms.values() for name in arm.encodings if arm.is_rotary(name)}
NOTEBOOKS = sorted(template.stem for template in Path("notebooks").glob("*.ipynb"))
# `:q` drops an empty value, and either may be empty; so shell lines write them as --option={value}.
TRACKING_URI = STUDY.tracking.uri or ""
LIVE_TRACKING = (TRACKING_URI or str(PATHS.root)) if STUDY.tracking.live else ""


wildcard_constraints:
    arm=one_of(STUDY.arms),
    encoding=one_of(ENCODINGS),
    data=one_of(READERS),
    seed=r"\d+",
    notebook=one_of(NOTEBOOKS),


localrules:
    all,
    resolve_config,
    check_lengths,
    initialise_tracking,
