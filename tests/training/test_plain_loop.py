"""A training through DeepSpeed is that of a plain loop of torch, written out here."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F

from hope.data.tokens import TokenCorpus
from hope.model.decoder import Decoder
from hope.training.batches import Batches
from hope.training.step import learning_rate
from tests.training.conftest import Preloaded, weights, with_training


def test_history_and_weights_are_those_of_a_plain_loop(preloaded: Preloaded, stage, tiny_data, tmp_path):
    # Clipped at each step, and with a decay that shows.
    stage = with_training(stage, log_steps=1, clip=0.5, weight_decay=0.3)
    settings = stage.training
    preloaded.trained(stage, tiny_data, tmp_path)
    history = pq.read_table(tmp_path / "model" / "history.parquet").to_pydict()

    corpus = TokenCorpus.open(tiny_data / "train")
    batches = Batches(stage, corpus)
    model = Decoder(stage.model, corpus.vocabulary, settings.length, stage.encoding).initialise(stage.seed)
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    norms = [parameter for parameter in model.parameters() if parameter.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.3}, {"params": norms, "weight_decay": 0.0}],
        lr=settings.learning_rate,
        betas=settings.betas,
    )
    losses, lengths = [], []
    for step in range(settings.steps):
        batch = batches.batch(step)
        tokens, weight = torch.from_numpy(batch.tokens), torch.from_numpy(batch.weights)
        logits = model.logits(model(tokens[:, :-1]))
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none") @ weight.flatten()
        optimizer.zero_grad()
        loss.backward()
        lengths.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, step)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert min(lengths) > 0.5
    assert history["loss"] == pytest.approx(losses, rel=2e-6)
    assert history["gradient_norm"] == pytest.approx(lengths, rel=1e-4)
    for name, found in weights(tmp_path).items():
        np.testing.assert_allclose(found, model.state_dict()[name].numpy(), atol=2e-5, err_msg=name)
