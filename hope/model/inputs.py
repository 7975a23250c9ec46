"""What all that looks at a trained model shares: opening it with its data, and passes of bounded size."""

import time
from collections.abc import Iterator
from pathlib import Path

import torch

from hope.data.progress import Heartbeat
from hope.data.tokens import TokenCorpus
from hope.errors import UserError
from hope.model.decoder import Decoder
from hope.model.loading import load_model

# A pass holds a few float32 arrays of tokens x MLP width: 16,384 tokens keep each below 0.6 GB at 3B
# parameters. On a CPU smaller passes stay in the cache and are the faster ones.
TOKENS_ON_GPU = 16_384
TOKENS_ON_CPU = 2_048


def open_inputs(model: Path, data: Path, threads: int) -> tuple[Decoder, TokenCorpus]:
    """Return the trained model and the held-out tokens.

    Args:
        model: folder of the trained model.
        data: folder that holds ``validation/``.
        threads: CPU threads of all that follows in this process.

    Raises:
        UserError: one of them is missing or damaged, or they do not belong together.
    """
    torch.set_num_threads(threads)
    corpus = TokenCorpus.open(data / "validation")
    decoder = load_model(model)
    if corpus.vocabulary != decoder.vocabulary:
        raise UserError(
            f"{data / 'validation'}: holds ids of {corpus.vocabulary} tokens, but {model} was trained on "
            f"{decoder.vocabulary}; give the data that the model was trained on"
        )
    return decoder, corpus


def batches(rows: int, length: int, device: torch.device, what: str) -> Iterator[slice]:
    """Yield slices that cover ``rows`` rows of ``length`` tokens, each small enough for one forward pass.

    Prints a line every few seconds with ``what`` and how far the work is.

    Args:
        rows: rows in all.
        length: tokens of a row.
        device: where the passes run.
        what: names the work in the heartbeat line.
    """
    size = max(1, (TOKENS_ON_CPU if device.type == "cpu" else TOKENS_ON_GPU) // length)
    heartbeat, started = Heartbeat(what), time.monotonic()
    for start in range(0, rows, size):
        stop = min(start + size, rows)
        yield slice(start, stop)
        rate = stop * length / (time.monotonic() - started)
        heartbeat.beat(f"{100 * stop // rows}%, {rate:,.0f} tokens/s, {(rows - stop) * length / rate:.0f} s left")
