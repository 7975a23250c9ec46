"""The name of a training: what its weights depend on."""

from typing import Any

from hope import config
from hope.catalogue import is_custom
from hope.catalogue.custom import source_digest, source_file
from hope.config.training import WHERE_IT_RUNS
from hope.files import sha256_of_file, sha256_of_json


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
        content["training"].pop(key, None)
    made_of = {"stage": content, "data": data_digest}
    if is_custom(stage.encoding.family):
        made_of["encoding_source"] = source_digest(stage.encoding.family)
    if of_tasks := _own_tasks(stage):
        made_of["task_sources"] = {name: source_digest(task) for name, task in of_tasks.items()}
    return made_of


def _own_tasks(stage: config.TrainStage) -> dict[str, str]:
    """Return the tasks of the user's own, by name."""
    return {name: task.task for name, task in stage.tasks.items() if is_custom(task.task)}


def edited_source(stage: config.TrainStage) -> str | None:
    """Return the file of an encoding or task of the user's own that has changed since it was digested, or None.

    Asked after the file was imported it tells whether what runs is what the fingerprint names.
    """
    own = [family for family in (stage.encoding.family, *_own_tasks(stage).values()) if is_custom(family)]
    edited = (family for family in own if sha256_of_file(source_file(family)) != source_digest(family))
    return next((str(source_file(family)) for family in edited), None)


def differing_keys(one: Any, other: Any, name: str = "") -> list[str]:
    """Return the full names of the keys at which two identities differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted(one.keys() | other.keys())
        return [key_name for key in keys for key_name in differing_keys(one.get(key), other.get(key), f"{name}.{key}")]
    return [] if one == other else [name.removeprefix(".stage").removeprefix(".")]
