"""The decoder as a Hugging Face model.

After ``import hope.model.huggingface`` a model folder loads with
``transformers.AutoModelForCausalLM.from_pretrained(folder)``, and ``generate()`` works.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from hope import config
from hope.errors import UserError
from hope.model.decoder import Decoder
from hope.model.loading import MODEL_TYPE


class HopeConfig(PreTrainedConfig):
    """What ``config.json`` of a trained model says.

    Attributes:
        vocab_size: number of token ids.
        training_length: L, in tokens.
        shape: the sizes, as in the ``model`` section of a study.
        encoding: name, family and settings of the positional encoding.
    """

    model_type = MODEL_TYPE
    vocab_size: int = 0
    training_length: int = 1
    shape: dict[str, Any] | None = None
    encoding: dict[str, Any] | None = None
    use_cache: bool = False

    @property
    def num_hidden_layers(self) -> int:
        """Number of decoder layers, under the name that generation asks for."""
        return config.Model.model_validate(self.shape).layers

    @property
    def hidden_size(self) -> int:
        """Size of the residual stream."""
        return config.Model.model_validate(self.shape).width


class HopeForCausalLM(PreTrainedModel, GenerationMixin):
    """A trained decoder behind the interface of transformers; generation runs without a cache."""

    config_class = HopeConfig
    base_model_prefix = "decoder"

    def __init__(self, config_: HopeConfig) -> None:
        """Make the decoder that the config describes."""
        super().__init__(config_)
        self.decoder = Decoder(
            config.Model.model_validate(config_.shape),
            config_.vocab_size,
            config_.training_length,
            config.Encoding.model_validate(config_.encoding),
        )
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Leave weights as they are: they come from a file."""

    def get_input_embeddings(self) -> nn.Module:
        """Return the token embedding."""
        return self.decoder.embedding

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None, **_: Any
    ) -> CausalLMOutput:
        """Return the logits ``[batch, tokens, vocabulary]``, and the mean loss if ``labels`` are given.

        Raises:
            UserError: the mask hides a token; prompts of different lengths go one by one.
        """
        if attention_mask is not None and not bool(attention_mask.all()):
            raise UserError("attention_mask hides tokens: padding is not supported, pass prompts of equal length")
        logits = self.decoder.logits(self.decoder(input_ids))
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        return CausalLMOutput(loss=loss, logits=logits)

    def prepare_inputs_for_generation(  # type: ignore[override]
        self, input_ids: Tensor, **_: Any
    ) -> dict[str, Any]:
        """Return the whole sequence so far: there is no cache."""
        return {"input_ids": input_ids}


AutoConfig.register(MODEL_TYPE, HopeConfig)
AutoModelForCausalLM.register(HopeConfig, HopeForCausalLM)
