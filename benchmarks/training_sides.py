"""The sides of the training benchmark, each in a process of its own that runs steps on request.

Separate processes keep the memory, the first step and the allocator of the sides apart. An idle side waits at its
standard input.
"""

import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.evaluation import resident_kb
from hope import config
from hope.data.tokens import TokenCorpus
from hope.model.decoder import Decoder
from hope.model.llama import llama_config, llama_weights
from hope.model.loss import softmax_gradient, weighted_loss
from hope.seeding import generator
from hope.training.batches import Batch, Batches
from hope.training.step import learning_rate

OURS = {
    "hope": "this trainer, RoPE: batches, DeepSpeed's engine, loss, as `hope train` runs them",
    "hope again": "the same once more: how much two equal sides differ",
    "hope, HoPE": "this trainer, HoPE",
    "hope, bare loop": "this decoder and loss, RoPE, without DeepSpeed",
    "hope, compiled": "this trainer, RoPE, with training.compile",
}
PEERS = {
    "transformers": "LlamaForCausalLM in a plain loop",
    "transformers, compiled": "the same, model and loss compiled together",
    "transformers, Liger": "the same, with Liger's kernels (on a GPU)",
}
Step = Callable[[int, Batch], Tensor]


@dataclasses.dataclass
class Setting:
    """What all sides share.

    Attributes:
        stage: of a RoPE model.
        hope: the encoding of the HoPE model.
        vocabulary: number of token ids.
        threads: of a CPU.
    """

    stage: config.TrainStage
    hope: config.EncodingSpec
    vocabulary: int
    threads: int

    @property
    def device(self) -> torch.device:
        """Where the steps are done."""
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def to_json(self) -> str:
        """Return it as a string from which :meth:`from_json` makes it again."""
        parts = [config.to_json(self.stage), config.to_json(self.hope), self.vocabulary, self.threads]
        return json.dumps(parts)

    @classmethod
    def from_json(cls, text: str) -> "Setting":
        """Make one from what :meth:`to_json` returned."""
        stage, hope, vocabulary, threads = json.loads(text)
        return cls(
            config.from_json(config.TrainStage, stage), config.from_json(config.EncodingSpec, hope), vocabulary, threads
        )


def random_corpus(vocabulary: int, length: int) -> TokenCorpus:
    """Return 64 documents of random tokens, the low ids often and the high ones rarely, in memory."""
    size, documents = 8 * (length + 2), 64
    ids = (vocabulary ** generator("benchmark corpus").random(size * documents)).astype(np.uint32) - 1
    return TokenCorpus(
        folder=Path("benchmark"),
        vocabulary=vocabulary,
        special={"start": 0, "end": 1, "separator": 2, "query": 3},
        tokens=len(ids),
        offsets=np.arange(documents + 1, dtype=np.int64) * size,
        digest="",
        manifest={},
        _shards=[ids],
        _shard_starts=np.array([0, len(ids)]),
    )


def make_decoder(setting: Setting, encoding: config.EncodingSpec) -> Decoder:
    """Return the model that all sides begin with."""
    stage = setting.stage
    recompute = stage.training.activation_checkpointing
    return Decoder(stage.model, setting.vocabulary, stage.training.length, encoding, recompute).initialise(0)


def trainer(setting: Setting, batches: Batches, side: str) -> Step:
    """Return the steps of the trainer itself, as ``hope train`` does them."""
    from hope.training.engine import make_engine
    from hope.training.step import Steps

    cuda = setting.device.type == "cuda"
    meeting = f"file://{tempfile.mkdtemp()}/meeting"
    dist.init_process_group("nccl" if cuda else "gloo", init_method=meeting, rank=0, world_size=1)
    training = setting.stage.training.model_copy(update={"compile": side == "hope, compiled"})
    encoding = setting.hope if side == "hope, HoPE" else setting.stage.encoding
    engine = make_engine(training, make_decoder(setting, encoding), setting.device)
    steps = Steps(training, engine, batches, setting.device)
    return lambda step, _: steps(step)[0].sum()


def plain_loop(setting: Setting, model: nn.Module, loss_of: Callable[[Tensor, Tensor], Tensor]) -> Step:
    """Return the steps of a loop as one writes it by hand: the same optimiser, clipping and schedule.

    Args:
        setting: what all sides share.
        model: its parameters are trained.
        loss_of: the loss of tokens ``[windows, length + 1]`` with the weights of their targets.
    """
    training, device = setting.stage.training, setting.device
    parameters = list(model.parameters())
    groups = [
        {"params": [one for one in parameters if one.dim() > 1], "weight_decay": training.weight_decay},
        {"params": [one for one in parameters if one.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=training.learning_rate, betas=training.betas, fused=True)
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=training.precision == "bfloat16")

    def step(number: int, batch: Batch) -> Tensor:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(training, number)
        total = torch.zeros((), device=device)
        for start in range(0, training.batch_windows, training.micro_windows):
            piece = slice(start, start + training.micro_windows)
            tokens, weights = (torch.from_numpy(one[piece]).to(device) for one in (batch.tokens, batch.weights))
            with mixed:
                loss = loss_of(tokens, weights)
            loss.backward()
            total += loss.detach()
        nn.utils.clip_grad_norm_(parameters, training.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return total

    return step


def bare_loop(setting: Setting) -> Step:
    """Return a plain loop around our own decoder and loss."""
    decoder = make_decoder(setting, setting.stage.encoding).to(setting.device)

    def loss_of(tokens: Tensor, weights: Tensor) -> Tensor:
        hidden = decoder(tokens[:, :-1])
        return weighted_loss(decoder, hidden, tokens[:, 1:], weights, of_logits=softmax_gradient)[0]

    return plain_loop(setting, decoder, loss_of)


def transformers_loop(setting: Setting, side: str) -> Step:
    """Return a plain loop around ``LlamaForCausalLM`` with the same weights."""
    import transformers

    if side == "transformers, Liger":
        from liger_kernel.transformers import apply_liger_kernel_to_llama

        apply_liger_kernel_to_llama()
    start = make_decoder(setting, setting.stage.encoding)
    base = setting.stage.encoding.settings["base"]
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**llama_config(start, base)))
    model.load_state_dict(llama_weights(start))
    model.to(setting.device).train()
    assert model.config._attn_implementation == "sdpa", "the fused attention is transformers' default"
    if setting.stage.training.activation_checkpointing:
        model.gradient_checkpointing_enable()

    def loss_of(tokens: Tensor, weights: Tensor) -> Tensor:
        logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
        losses = F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten(), reduction="none")
        return losses @ weights.flatten()

    def mean_loss(tokens: Tensor, weights: Tensor) -> Tensor:
        # Liger's fused loss knows targets that count and targets that do not, but no other weights.
        targets = tokens[:, 1:].masked_fill(weights == 0, -100)
        return model(input_ids=tokens[:, :-1], labels=targets, shift_labels=targets, use_cache=False).loss

    chosen = {"transformers, compiled": torch.compile(loss_of, dynamic=False), "transformers, Liger": mean_loss}
    return plain_loop(setting, model, chosen.get(side, loss_of))


def matrix_products(setting: Setting) -> float:
    """Return the FLOPs per second of large matrix products, in PyTorch."""
    size = 8192 if setting.device.type == "cuda" else 1536
    kind = {"float32": torch.float32, "bfloat16": torch.bfloat16}[setting.stage.training.precision]
    left, right = (torch.randn(size, size, device=setting.device, dtype=kind) for _ in range(2))
    fastest = float("inf")
    for _ in range(5):
        started = _now(setting.device)
        F.linear(left, right)
        fastest = min(fastest, _now(setting.device) - started)
    return 2 * size**3 / fastest


def loss_memory(tokens: int, vocabulary: int, width: int) -> int:
    """Return what the training loss adds to the memory of hidden states and weights, forward and backward, in MB."""
    shape = config.Model(layers=1, width=width, heads=1, kv_heads=1, mlp_width=1)
    model = Decoder(shape, vocabulary, 16, config.EncodingSpec(name="none", family="none", settings={})).initialise(0)
    hidden = torch.randn(1, tokens, width)
    targets, weights = torch.randint(vocabulary, (1, tokens)), torch.full((1, tokens), 1 / tokens)

    def train(count: int) -> None:
        states = hidden[:, :count].detach().requires_grad_()
        weighted_loss(model, states, targets[:, :count], weights[:, :count])[0].backward()
        model.zero_grad()

    train(256)
    reset_peak()
    before = resident_kb("VmRSS")
    train(tokens)
    return round((resident_kb("VmHWM") - before) / 1024)


def reset_peak() -> None:
    """Begin anew with the resident peak of this process, with what was freed handed back."""
    import ctypes

    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _peak_mb(setting: Setting, before_kb: int) -> int:
    if setting.device.type == "cuda":
        return round(torch.cuda.max_memory_allocated() / 2**20)
    return round((resident_kb("VmHWM") - before_kb) / 1024)


def serve() -> None:
    """Be the side that the command line names: do what the lines of standard input say, answer each with one."""
    asked = time.time()
    side, begun, text = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    setting = Setting.from_json(text)
    torch.set_num_threads(setting.threads)
    os.environ |= {"DS_ACCELERATOR": setting.device.type, "LOCAL_RANK": "0"}
    stage = setting.stage
    batches = Batches(stage, random_corpus(setting.vocabulary, stage.training.length))
    # Libraries print what they like: answers go out by a channel of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    step: Any = None
    before = done = 0
    for line in sys.stdin:
        count = int(line)
        if step is None:
            _import(side)
            before = resident_kb("VmRSS")
            if side == "products":
                step = None
            elif side in OURS and side != "hope, bare loop":
                step = trainer(setting, batches, side)
            else:
                step = bare_loop(setting) if side in OURS else transformers_loop(setting, side)
        if side == "products":
            print(json.dumps({"flops": matrix_products(setting)}), file=answers, flush=True)
            continue
        # A plain loop finds its batches ready.
        ready = [batches.batch(done + number) for number in range(count)]
        started, worked = _now(setting.device), time.process_time()
        losses = [step(done + number, batch) for number, batch in enumerate(ready)]
        seconds = _now(setting.device) - started
        worked = time.process_time() - worked
        answer = {
            "seconds": seconds,
            "cpu_seconds": worked,
            "losses": [float(loss) for loss in losses],
            "since_start": time.time() - begun,
        }
        answer |= {"peak_mb": _peak_mb(setting, before), "imported": asked - begun}
        print(json.dumps(answer), file=answers, flush=True)
        done += count
        if setting.device.type == "cuda":
            # All sides share one GPU: what lies free in one's allocator would be missing in the others'.
            torch.cuda.empty_cache()


def _import(side: str) -> None:
    """Import what a side is made of, so that its memory is not that of the libraries."""
    if side in PEERS:
        import transformers.models.llama.modeling_llama  # noqa: F401
    elif side in OURS and side != "hope, bare loop":
        import hope.training.engine  # noqa: F401


if __name__ == "__main__":
    serve()
