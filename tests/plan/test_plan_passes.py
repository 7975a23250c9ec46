"""The FLOPs of the measurements, against the passes that they make."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hope import config
from hope.analysis import intervention
from hope.analysis.attention import AnalyzedModel, analyze_windows
from hope.analysis.dynamics import moment_columns
from hope.evaluation.extrapolation import write_extrapolation
from hope.model import long_pass
from hope.model.decoder import Decoder
from hope.plan import compute

VOCABULARY, LENGTH = 500, 32
EXTENSIONS = [
    {"kind": "yarn", "factor": 4.0},
    {"kind": "dynamic-ntk", "factor": 2.0},
    {"kind": "longrope", "factor": 4.0, "short": [1.0] * 4, "long": [2.0] * 4},
]
SETTINGS: dict[str, Any] = {
    "model": {"layers": 1, "width": 16, "heads": 2, "mlp_width": 16},
    "training": {"length": LENGTH, "batch_windows": 4, "tokens": 4 * LENGTH * 16, "snapshots": 3},
    "analysis": {"documents": 5, "multiples": [1.0, 2.0, 4.0], "queries": 2},
    "extrapolation": {
        "documents": 3, "windows": 1, "longest": 6, "contexts": [1.0, 2.5, 6.0], "targets": 16,
        "extensions": EXTENSIONS, "strided": {"window": 1.0, "stride": 0.3},
    },
    "retrieval": {"tasks": []},
}  # fmt: skip


class Counted:
    """The FLOPs of every pass and projection of a decoder, and the runs of interventions, since it was made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.flops, self.runs = 0.0, 0
        forward, logits, pieces, run = Decoder.forward, Decoder.logits, long_pass.in_pieces, intervention.intervene
        monkeypatch.setattr(
            Decoder, "forward", lambda model, tokens, **rest: self._read(forward, model, tokens, **rest)
        )
        monkeypatch.setattr(long_pass, "in_pieces", lambda *rest: self._read(pieces, *rest))

        def projected(model: Decoder, hidden: torch.Tensor) -> torch.Tensor:
            self.flops += 2.0 * hidden.numel() * VOCABULARY
            return logits(model, hidden)

        def changed(*arguments: Any) -> Any:
            self.runs += 1
            return run(*arguments)

        monkeypatch.setattr(Decoder, "logits", projected)
        monkeypatch.setattr(intervention, "intervene", changed)

    def _read(self, read: Any, model: Decoder, tokens: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
        self.flops += compute.forward(model.shape, VOCABULARY, tokens.shape[1], len(tokens)).body
        return read(model, tokens, *rest, **options)


@pytest.mark.parametrize("encoding", ["alibi", "rope"])
def test_the_measurements_make_the_passes_that_are_counted(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = config.Arm.model_validate({"encodings": [encoding], **SETTINGS})

    def made() -> Decoder:
        return Decoder(arm.model, VOCABULARY, LENGTH, arm.encoding(encoding)).initialise(0).eval()

    model, counted = made(), Counted(monkeypatch)
    texts = np.random.default_rng(0).integers(4, VOCABULARY, (5, 6 * LENGTH + 1))
    analyze_windows(
        arm.analysis, AnalyzedModel(tmp_path, model, made), texts[:, : 4 * LENGTH + 1], False, np.arange(5), tmp_path
    )
    within = torch.from_numpy(texts)[:, : LENGTH + 1]
    for step in (0, *arm.training.snapshot_steps, arm.training.steps):
        moment_columns(model, within, np.arange(5), arm.analysis, step, 0)
    write_extrapolation(arm.extrapolation, model, tmp_path, texts[:3], np.arange(3), None, tmp_path)

    rotary = arm.is_rotary(encoding)
    assert rotary == (counted.runs > 0) and counted.runs < compute.INTERVENTION_RUNS
    monkeypatch.setattr(compute, "INTERVENTION_RUNS", counted.runs + 1)  # so few components leave some sets empty
    assert compute.measuring_flops(arm, VOCABULARY, rotary) == pytest.approx(counted.flops, rel=1e-12)
    # A model without snapshots has no analysis of them.
    without = arm.model_copy(update={"training": arm.training.model_copy(update={"snapshots": 0})})
    assert compute.measuring_flops(without, VOCABULARY, rotary) < 0.95 * counted.flops
