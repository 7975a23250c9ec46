"""The study that the config describes, and what all rules share."""

import json
import os
import re
from pathlib import Path

from snakemake.exceptions import WorkflowError

from hope.commands import COMMANDS
from hope.commands.steps import ROTARY_TABLES
from hope.config import parse_study, to_json
from hope.errors import UserError
from hope.paths import StudyPaths, snapshot_files
from hope.reporting.figures.declaration import declared_figures
from hope.study_files import check_study


def checked(function, *arguments):
    """Return the function's result; a mistake of the user's ends the workflow with one line."""
    try:
        return function(*arguments)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def watched(files):
    """Return the corpus files as inputs of a rule, so that a change of theirs makes the corpus anew.

    Braces in a name, which Snakemake takes for wildcards, and so many files that it would be slow are left to
    the user's ``--forcerun prepare_corpus``.
    """
    names = [name for name in map(str, files) if not re.search("[{}]", name)]
    return names if len(names) <= 10_000 else []


def outputs(step, folder, without=()):
    """Return the files that a step declares, by name, and its provenance as ``record``."""
    declared = COMMANDS[step]
    record = {"record": declared.record} if declared.record else {}
    return {name: folder / file for name, file in (declared.outputs | record).items() if name not in without}


def settings(section):
    """Return a value for ``params``: a part of the config as sorted JSON.

    It is a function since Snakemake would take the braces of a plain string for wildcards.
    """
    text = to_json(section)
    return lambda wildcards: text


def training_settings(wildcards):
    """Return all that the weights of a model depend on, as sorted JSON."""
    stage = STUDY.train_stage(wildcards.encoding, int(wildcards.seed))
    stage = stage.model_copy(update={"training": stage.training.what_is_trained()})
    # A key that came later: with it in here, every model of before would be trained anew.
    return to_json(stage, leave_out={"training": {"snapshots"}})


def for_runs(outputs, encodings):
    """Return a rule's outputs for all models of these encodings."""
    runs = [run for run in STUDY.runs() if run[0] in encodings]
    return [path for encoding, seed in runs for path in expand(outputs, encoding=encoding, seed=seed)]


def one_of(names):
    """Return a wildcard's pattern for exactly these names, or for none at all."""
    return "|".join(map(re.escape, names)) or "(?!)"


# In the order in which they are laid over each other; Snakemake lists the base last.
ORIGINS = [os.path.relpath(path) for path in workflow.configfiles[-1:] + workflow.configfiles[:-1]]
STUDY = checked(parse_study, dict(config), " + ".join(ORIGINS))
# The user's own files are inputs of the rules that depend on them.
FILES = checked(check_study, STUDY)
PATHS = StudyPaths(Path("results") / STUDY.study)
RUN = PATHS.run("{encoding}", "{seed}")
SNAPSHOT_FILES = snapshot_files(RUN.model, STUDY.training.snapshot_steps)
ROTARY = [name for name in STUDY.encodings if STUDY.is_rotary(name)]
NOT_ROTARY = [name for name in STUDY.encodings if name not in ROTARY]
NOTEBOOKS = sorted(template.stem for template in Path("notebooks").glob("*.ipynb"))
# Either may be empty, which `:q` leaves out: hence the `=` before them in shell lines.
TRACKING_URI = STUDY.tracking.uri or ""
LIVE_TRACKING = (TRACKING_URI or str(PATHS.root)) if STUDY.tracking.live else ""


wildcard_constraints:
    encoding=one_of(STUDY.encodings),
    seed=r"\d+",
    notebook=one_of(NOTEBOOKS),


localrules:
    all,
    resolve_config,
    check_lengths,
    initialise_tracking,
