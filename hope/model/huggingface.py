"""The decoder as a Hugging Face model.

After ``import hope`` a model folder loads with ``transformers.AutoModelForCausalLM.from_pretrained(folder)``;
``generate()`` works with its cache, and ``save_pretrained()`` writes a folder that loads here as well.
"""

from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import AutoModelForCausalLM, Cache, DynamicCache, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.utils.generic import can_return_tuple

from hope import config
from hope.catalogue.custom import check_source
from hope.errors import UserError
from hope.model.decoder import Decoder
from hope.model.huggingface_config import HopeConfig

REFUSED = {
    "position_ids": "positions go on from the cache, or from 0",
    "inputs_embeds": "pass input_ids",
    "output_attentions": "attention is never held whole; `python -m hope analyze` measures it",
    "output_hidden_states": "take them with forward hooks on model.decoder.blocks",
}
"""What other models of transformers take and this one would have to ignore, with what to do instead."""


class HopeForCausalLM(PreTrainedModel, GenerationMixin):
    """A trained decoder behind the interface of transformers."""

    config_class = HopeConfig
    base_model_prefix = "decoder"
    _no_split_modules = ["Block"]
    _supports_sdpa = True

    def __init__(self, config_: HopeConfig) -> None:
        """Make the decoder that the config describes, with the first weights of its seed.

        Raises:
            UserError: a user's own encoding is no longer what the model was trained with.
        """
        super().__init__(config_)
        encoding = config.EncodingSpec.model_validate(config_.encoding)
        check_source(encoding.family, config_.encoding_source, config_.name_or_path or "the model")
        self.decoder = Decoder(
            config_.model,
            config_.vocab_size,
            config_.training_length,
            encoding,
        )
        # Where weights come from a file the model is made without memory, on the meta device.
        if not self.decoder.embedding.weight.is_meta:
            self.decoder.initialise(config_.seed)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Leave weights as they are: they come from a file, or are there already."""

    def get_input_embeddings(self) -> nn.Module:
        """Return the token embedding."""
        return self.decoder.embedding

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **others: Any,
    ) -> CausalLMOutputWithPast:
        """Return the logits, the cache if asked for, and the mean loss if ``labels`` are given.

        Args:
            input_ids: int64 ``[batch, tokens]``; behind a cache, the new ones alone.
            attention_mask: ones; anything else is refused.
            past_key_values: keys and values of the tokens before these; takes in those of these.
            labels: int64 ``[batch, tokens]``, as ``input_ids``, -100 where there is no loss.
            use_cache: return keys and values; as the config says if None, but not in training.
            logits_to_keep: compute the logits of the last so many tokens, or of these; 0 for all.
            others: options of the loss; what this model would have to ignore is refused.

        Raises:
            UserError: the mask hides a token, a position is one that the encoding does not have, or an
                argument is one that this model cannot heed.
        """
        for name, remedy in REFUSED.items():
            if others.get(name) is not None and others[name] is not False:
                raise UserError(f"{name}: not supported by this model; {remedy}")
        if getattr(past_key_values, "is_compileable", False):
            raise UserError("cache_implementation: a static cache is not supported; leave the key out")
        if attention_mask is not None and not bool(attention_mask.all()):
            raise UserError("attention_mask hides tokens: padding is not supported, pass prompts of equal length")
        if use_cache is None:
            use_cache = self.config.use_cache and not self.training
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()
        hidden = self.decoder(input_ids, cache=past_key_values)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.decoder.logits(hidden[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, self.config.vocab_size, **others)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values if use_cache else None)

    def save_pretrained(  # type: ignore[override]
        self,
        save_directory: str | Path,
        is_main_process: bool = True,
        state_dict: dict[str, Tensor] | None = None,
        **options: Any,
    ) -> Any:
        """Write the model under the names of weights that this project uses: both load it again.

        Args:
            save_directory: the folder.
            is_main_process: whether this process writes.
            state_dict: the weights; the model's own if None.
            options: further ones of transformers.
        """
        prefix = f"{self.base_model_prefix}."
        weights = self.state_dict() if state_dict is None else state_dict
        renamed = {name.removeprefix(prefix): weight for name, weight in weights.items()}
        return super().save_pretrained(save_directory, is_main_process, renamed, **options)


AutoModelForCausalLM.register(HopeConfig, HopeForCausalLM, exist_ok=True)
