"""How fast this machine trains the models of an arm: a few steps on random tokens."""

import time

import torch

from hope import config
from hope.model.decoder import Decoder
from hope.model.loss import weighted_loss

LARGEST = 100_000_000
"""Parameters of the largest model that is measured on a CPU: making a larger one takes longer than it tells."""
SECONDS = 1.5
"""How long steps are measured, after the first one."""


def is_measured(parameters: int) -> bool:
    """Return whether models of this many parameters can be measured here in seconds."""
    return parameters <= LARGEST or torch.cuda.is_available()


def training_speed(arm: config.Arm, vocabulary: int) -> float:
    """Return the tokens per second of one training of an arm, on one device and without DeepSpeed.

    The model is that of the arm's first encoding, in float32, with the sizes and threads of the training.

    Args:
        arm: the arm.
        vocabulary: number of token ids.
    """
    settings = arm.training
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(settings.threads)
    encoding = arm.encoding(arm.encodings[0])
    model = Decoder(arm.model, vocabulary, settings.length, encoding).initialise(0).to(device)
    optimiser = torch.optim.AdamW(model.parameters())
    windows = settings.micro_windows
    random = torch.Generator().manual_seed(0)
    tokens = torch.randint(vocabulary, (windows, settings.length + 1), generator=random).to(device)
    weights = torch.full((windows, settings.length), 1 / (windows * settings.length), device=device)

    def step() -> None:
        loss, _ = weighted_loss(model, model(tokens[:, :-1]), tokens[:, 1:], weights)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        float(loss.detach())  # waits for the device

    step()
    started, steps = time.monotonic(), 0
    while (elapsed := time.monotonic() - started) < SECONDS or not steps:
        step()
        steps += 1
    return steps * windows * settings.length / elapsed
