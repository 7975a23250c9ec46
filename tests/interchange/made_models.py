"""A model in a study's folders, and stock tools in processes of their own."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from hope.model.decoder import Decoder

HERE = Path(__file__).parent
NEW_TOKENS = 12


@dataclass(frozen=True)
class Made:
    """A model in a study's folders.

    Attributes:
        folder: holds ``model.safetensors`` and ``config.json``.
        model: the same in memory.
        data: of the study, with the tokenizer.
    """

    folder: Path
    model: Decoder
    data: Path

    def logits(self, ids: list[int], positions: list[int] | None = None) -> torch.Tensor:
        """Return the logits of one row of ids [tokens, vocabulary]."""
        with torch.inference_mode():
            hidden = self.model(torch.tensor([ids]), None if positions is None else torch.tensor(positions))
            return self.model.logits(hidden)[0]

    def greedy(self, prompt: list[int], end: int, new: int = NEW_TOKENS) -> list[int]:
        """Return the greedy continuation, each token by a whole pass, up to the end token.

        A tie within rounding would make the comparison with another program a matter of luck: there is none.
        """
        ids = list(prompt)
        while len(ids) < len(prompt) + new and ids[-1] != end:
            last = self.logits(ids)[-1]
            best = last.topk(2).values
            assert best[0] - best[1] > 2e-4 * last.std()
            ids.append(int(last.argmax()))
        return ids[len(prompt) :]


def random_ids(count: int, vocabulary: int, seed: int = 0) -> list[int]:
    """Return ids of ordinary tokens."""
    return torch.randint(4, vocabulary, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def run_alone(python: str, script: str, jobs: list[dict], folder: Path) -> list[dict[str, np.ndarray]]:
    """Run a script of this folder in a fresh process that cannot see the project; return the arrays of each job."""
    listed = folder / "jobs.json"
    listed.write_text(json.dumps([job | {"output": str(folder / f"{index}.npz")} for index, job in enumerate(jobs)]))
    command = [python, "-I", str(HERE / script), str(listed)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    return [dict(np.load(folder / f"{index}.npz")) for index in range(len(jobs))]


def optional_python(variable: str, module: str) -> str:
    """Return the interpreter that has ``module``; skip the test, and say how to have it run, if there is none."""
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"set {variable} to the python of an environment that has {module} to run this")
    imported = subprocess.run([python, "-c", f"import {module.split()[0]}"], capture_output=True, text=True)
    assert imported.returncode == 0, f"{variable}={python} has no {module}: {imported.stderr[-500:]}"
    return python
