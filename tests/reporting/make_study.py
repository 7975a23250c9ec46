"""A made-up study folder: every table by its format, drawn from effects that the caller states.

No model is trained and nothing is measured: the numbers are drawn around :class:`Truth`, so that a test
knows which verdict is right, and the figures have something plausible to show.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hope.catalogue import FAMILIES
from hope.config import Arm, Study, merge, parse_study, to_json
from hope.config.default import ARMS
from hope.files import write_json
from hope.paths import StudyPaths

LENGTH = 64
LAYERS, HEADS, HEAD_DIM = 2, 2, 16
DOCUMENTS, WINDOWS, PROMPTS = 8, 2, 24
VOCABULARY = 512
TEXT, RETRIEVAL = "text", "retrieval"
"""The arms that the shipped claims are about; a made-up study has the first of them alone, unless it is told."""
MIXTURE = {"share": 0.3, "tasks": {"copy": 0.7, "recall": 0.3}}
TASKS = ["copy", "copy_text", "few_shot", "recall", "induction"]


@dataclass
class Truth:
    """The effects that the tables are drawn around; a map's missing encoding takes its default.

    Attributes:
        within: loss at positions below L, in nats a token, above 4.0.
        past: what each doubling past L adds to the loss, in nats a token.
        copy: token accuracy of copying, and of going on with a string that repeats, within L.
        copy_past: the same past L.
        recall: token accuracy at every length of recall and of all tasks that are not named here.
        few_shot: token accuracy of few-shot following at every length.
        index: U-shape index without the first token, of the trained model.
        index_initial: the same of the model at initialisation.
        index_shuffled: the same of the trained model on tokens in random order.
        divergence: divergence of the attention past L from the attention within, at 2 L.
        frozen_index: index of a rotary model once the activated components are frozen.
        frozen_past: loss past L of a rotary model once the activated components are frozen.
        frozen_within: loss within L of a rotary model once the activated components are frozen.
        random_index: index of a rotary model once as many random components are frozen.
        random_past: loss past L of a rotary model once as many random components are frozen.
        random_within: loss within L of a rotary model once as many random components are frozen. What is frozen
            or removed besides has these levels of random ones, but for the slow components.
        slow_frozen: what freezing the slow components adds to the loss within L and past it.
        slow_removed: what removing them adds.
        extended: what a length extension adds to the loss everywhere; it halves what each doubling past L adds.
        seed_noise: standard deviation of a seed's effect, as a share of one (nats, accuracy, index).
        unit_noise: standard deviation of a document's or prompt's effect on an encoding's difference.
        noise: standard deviation of what is left.
    """

    within: dict[str, float] = field(default_factory=lambda: {"none": 0.3, "alibi": 0.05})
    past: dict[str, float] = field(default_factory=lambda: {"rope": 0.6, "hope": 0.1, "none": 1.0, "alibi": 0.0})
    copy: dict[str, float] = field(default_factory=lambda: {"rope": 0.6, "hope": 0.85, "none": 0.3})
    copy_past: dict[str, float] = field(default_factory=lambda: {"hope": 0.4})
    recall: dict[str, float] = field(default_factory=lambda: {"hope": 0.3})
    few_shot: dict[str, float] = field(default_factory=lambda: {"rope": 0.45, "hope": 0.7})
    index: dict[str, float] = field(default_factory=lambda: {"rope": 0.3, "hope": 0.25})
    index_initial: float = -0.1
    index_shuffled: float = 0.0
    divergence: dict[str, float] = field(default_factory=lambda: {"rope": 0.5, "hope": 0.2})
    frozen_index: float = -0.05
    frozen_past: float = 4.2
    frozen_within: float = 4.3
    random_index: float = 0.25
    random_past: float = 5.0
    random_within: float = 4.2
    slow_frozen: float = 0.002
    slow_removed: float = 0.3
    extended: float = 0.05
    seed_noise: float = 0.01
    unit_noise: float = 0.01
    noise: float = 0.02


def make_study(
    root: Path,
    truth: Truth | None = None,
    seeds: dict[str, int] | None = None,
    seed: int = 7,
    **changes: Any,
) -> Path:
    """Write a whole study folder up to the tables that the models' own stages write.

    ``tables/``, ``claims.json``, ``figures/`` and ``report/`` are left to the functions under test.

    Args:
        root: folder to write; made if missing.
        truth: the effects; the defaults support most claims.
        seeds: models by encoding, which also says what encodings there are.
        seed: of the noise.
        changes: sections of the study laid over the defaults here, ``arms`` among them.

    Returns:
        ``root``.
    """
    truth = truth or Truth()
    seeds = seeds or {"rope": 3, "hope": 3, "none": 1, "alibi": 1}
    study = settings(seeds, **changes)
    paths = StudyPaths(root)
    root.mkdir(parents=True, exist_ok=True)
    paths.config.write_text(json.dumps(json.loads(to_json(study)), indent=2, sort_keys=True) + "\n")
    for place, (name, arm) in enumerate(study.arms.items()):
        # Noise of its own for each arm, and for each room, so that one more table of one does not draw the other anew.
        _write_arm(paths, name, arm, truth, seed + 100 * place)
    return root


def _write_arm(paths: StudyPaths, name: str, arm: Arm, truth: Truth, seed: int) -> None:
    if arm.reads_text:
        _write_data(paths, arm)
        _write_kernel(paths.theory(name), arm)
    for encoding, number in arm.runs():
        run, source = paths.run(name, encoding, number), _Noise(truth, seed, encoding, number)
        _write_model(run.model, arm, source)
        if arm.reads_text:
            _write_analysis(run.analysis, arm, encoding, _Noise(truth, seed + 1, encoding, number))
            _write_extrapolation(run.evaluation, arm, encoding, source)
        if arm.retrieval.tasks:
            _write_retrieval(run.evaluation, arm, encoding, source)


def arm_settings(seeds: dict[str, int], **changes: Any) -> Arm:
    """Return the one arm of :func:`settings`."""
    return settings(seeds, **changes).arms[TEXT]


def with_retrieval(seeds: dict[str, int], **changes: Any) -> dict[str, Any]:
    """Return arms for :func:`settings`: one of text, and the shipped one that is trained on tasks alone, made small.

    Args:
        seeds: models by encoding of the second.
        changes: sections of the second laid over the defaults here.
    """
    small: dict[str, Any] = {
        "encodings": list(seeds),
        "seeds": {"count": 1, "per_encoding": dict(seeds)},
        "training": {"length": LENGTH, "tokens": 20_480, "batch_windows": 8},
        "retrieval": {"prompts": PROMPTS},
    }
    return {TEXT: {}, RETRIEVAL: merge(merge(ARMS[RETRIEVAL][1], small), changes)}


def settings(seeds: dict[str, int], **changes: Any) -> Study:
    """Return the config of a small study of these encodings and numbers of seeds; its one arm reads text."""
    content: dict[str, Any] = {
        "study": "made-up",
        "encodings": list(seeds),
        "seeds": {"count": 1, "per_encoding": dict(seeds)},
        "tokens": {"vocabulary": VOCABULARY},
        "model": {"layers": LAYERS, "width": HEADS * HEAD_DIM, "heads": HEADS, "mlp_width": 64},
        "training": {"length": LENGTH, "tokens": 20_480, "batch_windows": 8, "warmup_steps": 4},
        "analysis": {"documents": DOCUMENTS},
        "extrapolation": {"documents": DOCUMENTS, "windows": WINDOWS},
        "arms": {TEXT: {}},
    }
    content = {**content, **changes}
    if TEXT in content["arms"]:
        tasks = {"mixture": MIXTURE, "retrieval": {"prompts": PROMPTS, "tasks": TASKS}}
        own = {key: changes.get(key, value) for key, value in tasks.items()}
        content = {key: value for key, value in content.items() if key not in tasks}
        content["arms"] = {**content["arms"], TEXT: merge(own, content["arms"][TEXT])}
    return parse_study(content, "made-up study")


class _Noise:
    """Draws values around a truth: effects of seed and unit are shared by all measures of a name."""

    def __init__(self, truth: Truth, seed: int, encoding: str, number: int) -> None:
        self.truth, self.encoding, self.number, self.seed = truth, encoding, number, seed
        self.own = self._generator("own", encoding, number)

    def _generator(self, *names: object) -> np.random.Generator:
        return np.random.default_rng([self.seed, *"/".join(map(str, names)).encode()])

    def draw(self, name: str, units: int, scale: float = 1.0) -> np.ndarray:
        """Return noise for each unit: seed, unit (the encoding's own) and residual, times ``scale``."""
        truth = self.truth
        of_seed = self._generator(name, "seed", self.encoding, self.number).normal(0, truth.seed_noise)
        of_unit = self._generator(name, "unit", self.encoding).normal(0, truth.unit_noise, units)
        return scale * (of_seed + of_unit + self.own.normal(0, truth.noise, units))

    def shared(self, name: str, units: int, scale: float) -> np.ndarray:
        """Return effects of the units that all encodings and seeds share: they cancel in pairs."""
        return self._generator(name, "shared").normal(0, scale, units)


def _table(path: Path, rows: list[dict] | pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(path, index=False)


def _provenance(stage: str, seconds: float) -> dict:
    return {
        "format": 1,
        "stage": stage,
        "settings": {},
        "settings_sha256": "0" * 64,
        "code": "1" * 64,
        "commit": None,
        "dirty": None,
        "python": "3.11.0",
        "packages": {"torch": "2.13.0"},
        "environment": "2" * 64,
        "machine": {"system": "made-up", "processor": "made-up", "cores": 2, "memory_bytes": 2**33, "gpus": []},
        "started": "2026-01-01T00:00:00.000+00:00",
        "ended": "2026-01-01T00:00:10.000+00:00",
        "seconds": seconds,
        "inputs": {},
        "outputs": {},
    }


def _write_data(paths: StudyPaths, arm: Arm) -> None:
    corpus = paths.corpus(arm.data_key)
    documents = [
        {
            "document": number,
            "name": f"document-{number}.txt",
            "split": "validation" if number < DOCUMENTS else "train",
            "group": number,
            "characters": 4_000,
            "text": "to be or not to be " * 200,
        }
        for number in range(3 * DOCUMENTS)
    ]
    _table(corpus / "documents.parquet", documents)
    write_json(
        corpus / "corpus.json",
        {
            "source": arm.corpus.source,
            "origin": {"python": "3.11.0"},
            "documents": len(documents),
            "characters": 4_000 * len(documents),
            "digest": "a" * 64,
            "dropped_duplicates": 1,
            "groups": len(documents),
            "cut_documents": 0,
            "split": {
                "train": {"documents": 2 * DOCUMENTS, "characters": 8_000 * DOCUMENTS},
                "validation": {"documents": DOCUMENTS, "characters": 4_000 * DOCUMENTS, "long_documents": DOCUMENTS},
            },
        },
    )
    special = {"start": 0, "end": 1, "separator": 2, "query": 3}
    for split, count in (("train", 2 * DOCUMENTS), ("validation", DOCUMENTS)):
        folder = paths.data(arm.data_key) / split
        folder.mkdir(parents=True, exist_ok=True)
        write_json(
            folder / "manifest.json",
            {
                "format": 1,
                "split": split,
                "dtype": "uint16",
                "vocabulary": VOCABULARY,
                "special": special,
                "tokens": 1_500 * count,
                "documents": count,
                "shards": [{"file": "shard-00000.bin", "tokens": 1_500 * count, "sha256": "b" * 64}],
                "documents_sha256": "c" * 64,
                "tokenizer_sha256": "d" * 64,
                "corpus_digest": "a" * 64,
                "characters": 4_000 * count,
                "digest": "e" * 64,
            },
        )


def _write_model(folder: Path, arm: Arm, noise: _Noise) -> None:
    batch = arm.training.length * arm.training.batch_windows
    steps = np.arange(4, arm.training.steps + 1, 4)
    text = 4.0 + 2.5 * np.exp(-steps / 10) + noise.own.normal(0, 0.02, len(steps))
    text = text if arm.reads_text else 0 * text
    history = pd.DataFrame(
        {
            "step": steps,
            "tokens": steps * batch,
            "time": 1.7e9 + steps * 0.25,
            "loss": text + 0.8,
            "text_loss": text,
            "synthetic_loss": 0.8 + np.exp(-steps / 20),
            "likely_answers": 1 - np.exp(-steps / 10),
            "learning_rate": 3e-3 * 0.5 * (1 + np.cos(np.pi * steps / steps[-1])),
            "gradient_norm": 1 / np.sqrt(steps),
            "tokens_per_second": batch / 0.25 + noise.own.normal(0, 30, len(steps)),
        }
    )
    _table(folder / "history.parquet", history)
    write_json(folder / "config.json", {"model_type": "made-up", "hidden_size": arm.model.width})
    write_json(folder / "run.json", _provenance("train", float(steps[-1] * 0.25)))
    # The header of a safetensors file, for the count of parameters; the tensor itself is zeros.
    shape = [VOCABULARY, arm.model.width]
    size = 4 * math.prod(shape)
    header = json.dumps({"embedding.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))


def _bins(total: int, width: int) -> list[tuple[int, int]]:
    return [(start, min(start + width, total)) for start in range(0, total, width)]


def _write_analysis(folder: Path, arm: Arm, encoding: str, noise: _Noise) -> None:
    truth, length = noise.truth, arm.training.length
    longest = arm.extrapolation.longest if encoding != "learned" else 1
    multiples = [multiple for multiple in arm.analysis.multiples if multiple <= longest]
    queries = [round(multiple * length) - 1 for multiple in multiples]
    heads = [(layer, head) for layer in range(LAYERS) for head in range(HEADS)]
    profile, ushape = [], []
    levels = {
        "trained": truth.index.get(encoding, 0.2),
        "initial": truth.index_initial,
        "shuffled": truth.index_shuffled,
    }
    for subject, level in levels.items():
        for query in queries:
            for axis in ("distance", "key"):
                edges = _bins(query + 1, max(1, (query + 1) // 32))
                place = np.array([(start + end - 1) / 2 / query for start, end in edges])
                near, far = (place, 1 - place) if axis == "distance" else (1 - place, place)
                for layer, head in heads:
                    mass = np.exp(-20 * near) + (0.0 if subject == "initial" else 0.3) * np.exp(-20 * far) + 0.02
                    mass = mass / mass.sum()
                    profile += [
                        dict(subject=subject, layer=layer, head=head, query=query, axis=axis, start=s, end=e, mass=m)
                        for (s, e), m in zip(edges, mass, strict=True)
                    ]
            for layer, head in heads:
                values = level + noise.draw(f"index/{subject}", DOCUMENTS)
                ushape += [
                    {
                        "subject": subject,
                        "query": query,
                        "layer": layer,
                        "head": head,
                        "document": document,
                        "first": (2.0 + value) / query,
                        "first_without_sink": (1.0 + value) / query,
                        "near": 2.0 / query,
                        "middle": 0.5 / query,
                        "index": value + 0.3,
                        "index_without_sink": value,
                    }
                    for document, value in enumerate(values)
                ]
    _table(folder / "profile.parquet", profile)
    _table(folder / "ushape.parquet", ushape)
    level, departs = truth.divergence.get(encoding, 0.3), []
    for query in (query for query in queries if query >= length):
        for layer, head in heads:
            values = level * (query + 1) / (2 * length) + noise.draw("divergence", DOCUMENTS)
            departs += [
                dict(document=document, query=query, layer=layer, head=head, divergence=min(max(0.0, value), 1.0))
                for document, value in enumerate(values)
            ]
    _write_dynamics(folder, arm, encoding, noise)
    columns = ["document", "query", "layer", "head", "divergence"]
    _table(folder / "divergence.parquet", pd.DataFrame(departs, columns=columns))
    if arm.is_rotary(encoding):
        _write_components(folder, arm, encoding, noise)
    write_json(folder / "provenance.json", _provenance("analyze-attention", 2.0))


def _kept(arm: Arm, encoding: str) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies and which of them are kept, of a rotary encoding with its settings."""
    spectrum = arm.spectrum(encoding)
    assert spectrum is not None
    frequencies = np.array(spectrum.frequencies)
    return frequencies, frequencies > 0


def _write_components(folder: Path, arm: Arm, encoding: str, noise: _Noise) -> None:
    truth, length = noise.truth, arm.training.length
    frequencies, kept = _kept(arm, encoding)
    half = len(frequencies)
    count = max(1, round(arm.analysis.active_share * int(kept.sum())))
    _table(
        folder / "components.parquet",
        [
            {
                "layer": layer,
                "head": head,
                "component": component,
                "distance": distance,
                "contribution": float(np.cos(distance * frequencies[component] * kept[component])) / (1 + component),
                "query_norm": 1.0 / (1 + component),
                "key_norm": 1.0,
                "variance_share": 1.0 / half,
                "frequency": float(frequencies[component] * kept[component]),
                "kept": bool(kept[component]),
                "activated": component < count,
                "spread": 1.0 / (1 + component),
                "distance_end": distance + 1,
            }
            for layer in range(LAYERS)
            for head in range(HEADS)
            for component in range(half)
            for distance in range(length)
        ],
    )
    _write_activation(folder, arm, frequencies * kept, count)
    _write_trained_kernel(folder, arm, frequencies * kept, noise)
    _write_intervention(folder, truth, encoding, noise, [str(component) for component in range(count)])


def _write_activation(folder: Path, arm: Arm, frequencies: np.ndarray, count: int) -> None:
    shares = {0.125: count // 2, arm.analysis.active_share: count, 0.5: 2 * count}
    _table(
        folder / "activation.parquet",
        [
            {
                "rule": rule,
                "threshold": threshold,
                "layer": layer,
                "component": component,
                "turns": float(frequency * arm.training.length / (2 * np.pi)),
                "spread": 1.0 / (1 + component),
                "activated": bool(frequency > 0 and component < wanted),
            }
            for rule, thresholds in (("share", shares), ("logits", {0.1: 3, 0.4: 1}))
            for threshold, wanted in thresholds.items()
            for layer in range(-1, LAYERS)
            for component, frequency in enumerate(frequencies)
        ],
    )


def _write_trained_kernel(folder: Path, arm: Arm, frequencies: np.ndarray, noise: _Noise) -> None:
    distance = _distances(arm.training.length)
    phases = np.exp(1j * distance[:, None] * frequencies)
    _table(
        folder / "kernel_trained.parquet",
        [
            {"layer": layer, "head": head, "distance": far, "value": value, "bound": bound}
            for layer in range(LAYERS)
            for head in range(HEADS)
            for pairs in [noise.own.normal(1.0, 0.5, len(frequencies))]
            for far, value, bound in zip(
                distance,
                (phases.real * pairs).sum(axis=1),
                np.abs(phases.cumsum(axis=1)).sum(axis=1) * np.abs(np.diff(pairs, append=0.0)).max(),
                strict=True,
            )
        ],
    )


def _write_intervention(folder: Path, truth: Truth, encoding: str, noise: _Noise, activated: list[str]) -> None:
    plain = {
        "index_without_sink": truth.index.get(encoding, 0.2),
        "loss_past": _past(truth, encoding, 0.5),
        "loss_within": 4.0 + truth.within.get(encoding, 0.0),
    }
    frozen = dict(zip(plain, (truth.frozen_index, truth.frozen_past, truth.frozen_within), strict=True))
    others = dict(zip(plain, (truth.random_index, truth.random_past, truth.random_within), strict=True))
    cells = {("none", "none"): ([], plain)}
    for mode in ("freeze", "mean", "remove"):
        added = truth.slow_frozen if mode == "freeze" else truth.slow_removed
        slow = {measure: value + added * ("loss" in measure) for measure, value in plain.items()}
        cells[mode, "activated"] = activated, frozen
        cells[mode, "slow"] = ["5", "6", "7"], slow
        cells[mode, "fast"] = ["0", "1", "2", "3", "4"], others
        cells[mode, "random"] = cells[mode, "matched"] = ["1+2", "2+3"], others
    rows = []
    for (mode, name), (components, levels) in cells.items():
        for measure, level in levels.items():
            values = level + noise.shared(f"document/{measure}", DOCUMENTS, 0.02 if "index" in measure else 0.3)
            values = values + noise.draw(f"{measure}/{mode}/{name}", DOCUMENTS)
            labels = dict(mode=mode, set=name, components=components, variance_share=0.0, measure=measure)
            rows += [dict(document=document, value=value, **labels) for document, value in enumerate(values)]
    _table(folder / "intervention.parquet", rows)


def _write_dynamics(folder: Path, arm: Arm, encoding: str, noise: _Noise) -> None:
    """A U-shape that appears at half of the training, and of a rotary encoding components 0 and 1 from a quarter on."""
    truth, steps, rows = noise.truth, arm.training.steps, []
    for step in [0, *arm.training.snapshot_steps, steps]:
        keys = {"step": step, "tokens": step * arm.training.length * arm.training.batch_windows}
        level = truth.index.get(encoding, 0.2) if step >= steps / 2 else truth.index_initial
        curves = {"index": level + 0.3, "index_without_sink": level, "loss": 4.0 + 2.5 * (1 - step / steps)}
        for measure, value in curves.items():
            for layer in [-1] if measure == "loss" else range(LAYERS):
                values = value + noise.draw(f"dynamics/{measure}/{step}", DOCUMENTS)
                rows += [
                    keys | dict(measure=measure, layer=layer, component=-1, document=document, value=value)
                    for document, value in enumerate(values)
                ]
        for component in range(arm.model.head_dim // 2 if arm.is_rotary(encoding) else 0):
            active = step >= steps / 4 and component < 2
            for measure, value in (("spread", 0.5 if active else 0.01), ("activated", float(active))):
                rows.append(keys | dict(measure=measure, layer=-1, component=component, document=-1, value=value))
    _table(folder / "dynamics.parquet", rows)
    write_json(folder / "dynamics.json", _provenance("analyze-dynamics", 1.0))


def _past(truth: Truth, encoding: str, doublings: float) -> float:
    """Return the expected loss ``doublings`` times past L."""
    return 4.0 + truth.within.get(encoding, 0.0) + truth.past.get(encoding, 0.5) * max(0.0, doublings)


def _extended(truth: Truth, encoding: str, doublings: float, label: str) -> float:
    """Return the expected loss under a length extension, which costs something within and saves past L."""
    if label == "none":
        return _past(truth, encoding, doublings)
    return _past(truth, encoding, 0.5 * doublings) + truth.extended


def _write_strided(
    folder: Path, arm: Arm, truth: Truth, encoding: str, labels: list[str], of_document: np.ndarray
) -> None:
    longest = arm.training.length * (arm.extrapolation.longest if encoding != "learned" else 1)
    strided, length, rows = arm.extrapolation.strided, arm.training.length, []
    for label in labels if strided is not None else []:
        assert strided is not None
        read, stride = round(strided.window * length), round(strided.stride * length)
        level = _extended(truth, encoding, 0.0, label)
        for document, value in enumerate(of_document):
            for context, tokens, more in ((1, read - stride, 0.4), (read - stride + 1, longest - read + stride, 0.0)):
                rows.append(
                    dict(extension=label, document=document, window=0, read=read, stride=stride, context=context)
                    | dict(tokens=tokens, nll=tokens * (level + value + more))
                )
    columns = ["extension", "document", "window", "read", "stride", "context", "tokens", "nll"]
    _table(folder / "strided.parquet", pd.DataFrame(rows, columns=columns))


def _write_extrapolation(folder: Path, arm: Arm, encoding: str, noise: _Noise) -> None:
    truth, length = noise.truth, arm.training.length
    settings = arm.extrapolation
    longest = length * (settings.longest if encoding != "learned" else 1)
    cells = [(document, window) for document in range(DOCUMENTS) for window in range(settings.windows)]
    base = noise.shared("document/loss", DOCUMENTS, 0.3)
    within, past = noise.draw("within", DOCUMENTS), noise.draw("past", DOCUMENTS)
    labels = ["none", *(entry.label for entry in settings.extensions if arm.is_rotary(encoding))]
    extrapolation = []
    for label in labels:
        for start, end in _bins(longest, max(1, round(settings.bin_share * length))):
            doublings = math.log2(max(1.0, (start + end) / 2 / length))
            level = _extended(truth, encoding, doublings, label)
            early = 0.8 * math.exp(-start / (length / 4))
            for document, window in cells:
                value = level + early + base[document] + (within if start < length else past)[document]
                extrapolation.append(
                    dict(extension=label, document=document, window=window, start=start, end=end)
                    | dict(tokens=end - start, nll=value * (end - start))
                )
    _table(folder / "extrapolation.parquet", extrapolation)
    _write_strided(folder, arm, truth, encoding, labels, base + within)
    context = []
    for multiple in settings.contexts:
        if round(multiple * length) > longest:
            continue
        doublings, less = math.log2(max(1.0, multiple)), 0.3 * max(0.0, 1 - multiple)
        effect = within if multiple <= 1 else noise.draw(f"context/{multiple}", DOCUMENTS)
        for label in labels:
            levels = _extended(truth, encoding, doublings, label) + less + base + effect
            context += [
                dict(extension=label, document=document, window=window, context=round(multiple * length))
                | dict(tokens=settings.targets, nll=settings.targets * levels[document])
                for document, window in cells
            ]
    _table(folder / "context.parquet", context)
    write_json(folder / "extrapolation.json", _provenance("extrapolate", 3.0))


def _write_retrieval(folder: Path, arm: Arm, encoding: str, noise: _Noise) -> None:
    truth, length, rows = noise.truth, arm.training.length, []
    for task in arm.retrieval.tasks:
        kind = arm.tasks.task(task).task
        for multiple in arm.retrieval.multiples:
            prompt = round(multiple * length)
            if encoding == "learned" and multiple > 1:
                continue
            if kind in ("copy", "repeat"):
                level = (truth.copy if multiple <= 1 else truth.copy_past).get(encoding, 0.05)
                chance, answers = 1 / arm.tasks.copy_.alphabet, max(1, prompt // 2 - 1)
            else:
                levels = truth.few_shot if kind == "few_shot" else truth.recall
                level, chance, answers = levels.get(encoding, 0.1), 1 / arm.tasks.recall.alphabet, 1
            depths = arm.tasks.task(task).settings.get("depths") or [math.nan]
            count = -(-arm.retrieval.prompts // len(depths))
            wanted = np.clip(level + noise.draw(f"{task}/{prompt}", count * len(depths), 2.0), 0, 1)
            correct = noise.own.binomial(answers, wanted)
            rows += [
                {
                    "task": task,
                    "trained": task in arm.trained_tasks,
                    "length": prompt,
                    "depth": depths[example // count],
                    "example": example % count,
                    "chance": chance,
                    "accuracy": hits / answers,
                    "exact": int(hits == answers),
                    "margin": float(noise.own.normal(2 * (level - 0.5), 0.5)),
                    "prompts_sha256": "f" * 64,
                }
                for example, hits in enumerate(correct)
            ]
    _table(folder / "retrieval.parquet", rows)
    write_json(folder / "retrieval.json", _provenance("retrieve", 2.0))


def _distances(length: int) -> np.ndarray:
    far = np.geomspace(2 * length, 16 * length, 200).round()
    return np.unique(np.concatenate([np.arange(1, 2 * length + 1), far])).astype(int)


def _decay(frequencies: np.ndarray, distance: np.ndarray) -> pd.DataFrame:
    phase = distance[:, None] * frequencies[None]
    bound = np.abs(np.exp(1j * phase).cumsum(axis=1)).mean(axis=1)
    return pd.DataFrame({"distance": distance, "value": np.cos(phase).mean(axis=1), "bound": bound})


def _write_kernel(folder: Path, arm: Arm) -> None:
    length = arm.training.length
    distance = _distances(length)
    swept = [(family, base) for family in ("rope", "hope") for base in (1e3, 1e4, 5e5)] + [("p_rope", 1e4)]
    sweep = [
        _decay(np.array(spectrum.frequencies), distance).assign(encoding=family, base=base)
        for family, base in swept
        if (spectrum := FAMILIES[family].spectrum_at({"base": base}, arm.model.head_dim, length))
    ]  # fmt: skip
    _table(folder / "kernel_sweep.parquet", pd.concat(sweep, ignore_index=True))
    tables = [pd.DataFrame({"encoding": pd.Series(dtype=str), "distance": distance[:0], "value": 0.0, "bound": 0.0})]
    for name in arm.encodings:
        if arm.is_rotary(name):
            frequencies, kept = _kept(arm, name)
            tables.append(_decay(frequencies * kept, distance).assign(encoding=name))
    _table(folder / "kernel.parquet", pd.concat(tables, ignore_index=True))
    sizes = {"base": [1e4, 5e5], "rope_far": 0.08, "hope_far": 0.502, "hope_floor": 0.5, "bound_gap": [0.04, 0.06]}
    _table(folder / "kernel_sizes.parquet", pd.DataFrame({"head_dim": 64, "length": 4096, **sizes}))
    write_json(folder / "provenance.json", _provenance("theory", 0.1))
