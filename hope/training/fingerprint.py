"""The name of a training: what its weights depend on."""

from typing import Any

from hope import config
from hope.catalogue import is_custom
from hope.catalogue.custom import source_digest
from hope.config.training import WHERE_IT_RUNS
from hope.files import sha256_of_json


def fingerprint(stage: config.TrainStage, data_digest: str) -> str:
    """Return 16 hexadecimal digits that name a training: its model, data, optimiser and seed.

    Where it runs and how often it logs are left out (:data:`~hope.config.training.WHERE_IT_RUNS`).
    """
    return sha256_of_json(identity(stage, data_digest))[:16]


def run_name(stage: config.TrainStage, key: str) -> str:
    """Return the name of all that a training keeps in the folder of checkpoints; ``key`` is its fingerprint."""
    return f"{stage.encoding.name}-seed{stage.seed}-{key}"


def identity(stage: config.TrainStage, data_digest: str) -> dict[str, Any]:
    """Return what a fingerprint is made of."""
    content = stage.model_dump(mode="json", by_alias=True)
    for key in WHERE_IT_RUNS:
        del content["training"][key]
    made_of = {"stage": content, "data": data_digest}
    if is_custom(stage.encoding.family):
        made_of["encoding_source"] = source_digest(stage.encoding.family)
    of_tasks = {name: task.task for name, task in stage.tasks.items() if is_custom(task.task)}
    if of_tasks:
        made_of["task_sources"] = {name: source_digest(task) for name, task in of_tasks.items()}
    return made_of


def differences(one: Any, other: Any, name: str = "") -> list[str]:
    """Return the full names of the keys at which two identities differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted(one.keys() | other.keys())
        return [found for key in keys for found in differences(one.get(key), other.get(key), f"{name}.{key}")]
    return [] if one == other else [name.removeprefix(".stage").removeprefix(".")]
