"""What transformers knows of a trained model before it loads its weights; importing it loads no model code.

The class registers with ``AutoConfig`` here. Its first instance brings in the model's class, which costs
seconds: whoever uses transformers for something else beside ``hope`` does not pay for them.
"""

import importlib
from typing import Any

from transformers import AutoConfig, PretrainedConfig
from transformers.utils.import_utils import is_torch_available

from hope import config
from hope.model.registration import MODEL_TYPE


class HopeConfig(PretrainedConfig):
    """What ``config.json`` of a trained model says.

    Attributes:
        vocab_size: number of token ids.
        training_length: L, in tokens.
        shape: the sizes, as in the ``model`` section of a study.
        encoding: name, family and settings of the positional encoding.
        encoding_source: the SHA-256 of the file of a user's own encoding.
        seed: of the first weights, which a model made from the config alone begins with.
        use_cache: whether a pass returns the keys and values of its tokens, unless it is told.
    """

    model_type = MODEL_TYPE
    vocab_size: int = 0
    training_length: int = 1
    shape: dict[str, Any] | None = None
    encoding: dict[str, Any] | None = None
    encoding_source: str | None = None
    seed: int = 0
    use_cache: bool = True

    def __new__(cls, *_: Any, **__: Any) -> "HopeConfig":
        """Make an empty config, once the class of its model is registered."""
        if is_torch_available():
            # Named, since that module imports this one.
            importlib.import_module("hope.model.huggingface")
        return super().__new__(cls)

    @property
    def model(self) -> config.Model:
        """The sizes."""
        return config.Model.model_validate(self.shape)

    @property
    def num_hidden_layers(self) -> int:
        """Number of decoder layers, under the name that generation asks for."""
        return self.model.layers

    @property
    def hidden_size(self) -> int:
        """Size of the residual stream."""
        return self.model.width


AutoConfig.register(MODEL_TYPE, HopeConfig, exist_ok=True)
