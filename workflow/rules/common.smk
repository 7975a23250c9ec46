"""The study that the config describes, and what all rules share."""

import json
import os
import re
from pathlib import Path

from snakemake.exceptions import WorkflowError

from hope.config import load_study, to_json
from hope.data.sources.files import find_files
from hope.errors import UserError
from hope.paths import StudyPaths, snapshot_files
from hope.reporting.claims_check import checked_claims


def checked(function, *arguments):
    """Return the function's result; a mistake of the user's ends the workflow with one line."""
    try:
        return function(*arguments)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def corpus_files(arm):
    """Return the user's own files, so that a change of theirs makes the corpus anew.

    Braces in a name, which Snakemake takes for wildcards, and so many files that it would be slow are left to
    the user's ``--forcerun prepare_corpus``.
    """
    if arm.corpus.source != "files":
        return []
    files = [str(path) for path, name in checked(find_files, arm.corpus.files.paths)[0]]
    files = [path for path in files if not re.search("[{}]", path)]
    return files if len(files) <= 10_000 else []


def settings(section):
    """Return a value for ``params``: a part of the config as sorted JSON.

    It is a function since Snakemake would take the braces of a plain string for wildcards.

    Args:
        section: the part, or a function that takes it from the arm of the job.
    """
    if callable(section):
        return lambda wildcards: to_json(section(arm_of(wildcards)))
    text = to_json(section)
    return lambda wildcards: text


def arm_of(wildcards):
    """Return the arm of a job: the one it names, or the first that reads the data it names."""
    return STUDY.arms[wildcards.arm] if "arm" in wildcards.keys() else READERS[wildcards.data]


def training_settings(wildcards):
    """Return all that the weights of a model depend on, as sorted JSON."""
    stage = arm_of(wildcards).train_stage(wildcards.encoding, int(wildcards.seed))
    stage = stage.model_copy(update={"training": stage.training.what_is_trained()})
    # A key that came later: with it in here, every model of before would be trained anew.
    return to_json(stage, leave_out={"training": {"snapshots"}})


def of_arm(outputs):
    """Return an input function: outputs of the rule that makes the data of the job's arm."""
    return lambda wildcards: expand(outputs, data=arm_of(wildcards).data_key)


def data_of(wildcards):
    """Return the data folder of a job's arm."""
    return PATHS.data(arm_of(wildcards).data_key)


def snapshots_of(wildcards):
    """Return the weights that were kept while a job's model trained."""
    return snapshot_files(PATHS.run(**wildcards).model, arm_of(wildcards).training.snapshot_steps)


def for_runs(outputs, chosen):
    """Return a rule's outputs for all models that a function of arm and encoding chooses."""
    runs = [run for run in STUDY.runs() if chosen(STUDY.arms[run.arm], run.encoding)]
    return [path for run in runs for path in expand(outputs, **run._asdict())]


def one_of(names):
    """Return a wildcard's pattern for exactly these names, or for none at all."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


# In the order in which they are laid over each other; Snakemake lists the base last.
ORIGINS = [os.path.relpath(path) for path in workflow.configfiles[-1:] + workflow.configfiles[:-1]]
STUDY = checked(load_study, [Path(origin) for origin in ORIGINS], dict(workflow.config_settings.config))
#checked(checked_claims, STUDY)
PATHS = StudyPaths(Path("results") / STUDY.study)
RUN = PATHS.run("{arm}", "{encoding}", "{seed}")
MODEL = {"model": RUN.model / "model.safetensors", "config": RUN.model / "config.json"}
DATA, CORPUS = PATHS.data("{data}"), PATHS.corpus("{data}")
# An arm that reads each data folder, for its settings.
READERS = {arm.data_key: arm for arm in STUDY.arms.values()}
TEXTS = [key for key, arm in READERS.items() if arm.reads_text]
READING = [name for name, arm in STUDY.arms.items() if arm.reads_text]
LENGTHS = [PATHS.root / "data" / "lengths" / f"{arm}.json" for arm in READING]
ROTARY = {encoding for arm in STUDY.arms.values() for encoding in arm.encodings if arm.is_rotary(encoding)}
NOT_ROTARY = {run.encoding for run in STUDY.runs()} - ROTARY
CORPUS_FILES = {key: corpus_files(READERS[key]) for key in TEXTS}
# Files of the user's own encodings and tasks, so that a change of theirs trains or evaluates those models anew.
ENCODING_FILES = {
    (name, encoding): [str(path)] if (path := checked(arm.source, encoding)) else []
    for name, arm in STUDY.arms.items()
    for encoding in arm.encodings
}
TRAINED_TASK_FILES, TASK_FILES = (
    {name: [str(path) for path in checked(arm.task_sources, tasks(arm))] for name, arm in STUDY.arms.items()}
    for tasks in (lambda arm: arm.trained_tasks, lambda arm: arm.retrieval.tasks)
)
NOTEBOOKS = sorted(template.stem for template in Path("notebooks").glob("*.ipynb"))
# Either may be empty, which `:q` leaves out: hence the `=` before them in shell lines.
TRACKING_URI = STUDY.tracking.uri or ""
LIVE_TRACKING = (TRACKING_URI or str(PATHS.root)) if STUDY.tracking.live else ""


wildcard_constraints:
    arm=one_of(STUDY.arms),
    encoding=one_of(ROTARY | NOT_ROTARY),
    data=one_of(READERS),
    seed=r"\d+",
    notebook=one_of(NOTEBOOKS),


localrules:
    all,
    resolve_config,
    check_lengths,
    initialise_tracking,
