"""The name of a training: what its weights depend on."""

from hope import config
from hope.files import sha256_of_json


def fingerprint(stage: config.TrainStage, data_digest: str) -> str:
    """Return 16 hexadecimal digits that name a training: its model, data, optimiser and seed.

    What does not touch the weights (how often to log or to checkpoint) is left out.
    """
    content = stage.model_dump(mode="json", by_alias=True)
    for key in ("checkpoint_seconds", "log_steps"):
        del content["training"][key]
    return sha256_of_json({"stage": content, "data": data_digest})[:16]
