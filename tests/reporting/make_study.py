"""A made-up study folder: every table that the reports read, drawn from effects that the caller states.

No model is trained and nothing is measured: the numbers are drawn around :class:`Truth`, so that a test
knows which verdict is right, and the figures have something plausible to show. A table has the columns that
are read, and those alone.
"""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from hope.catalogue import FAMILIES
from hope.config import Arm, Study, merge, parse_study
from hope.config.default import ARMS
from hope.files import write_json
from hope.measures.interventions import INTERVENTIONS
from hope.paths import StudyPaths

LENGTH = 64
LAYERS, HEADS, HEAD_DIM = 2, 2, 16
DOCUMENTS, WINDOWS, PROMPTS = 8, 2, 24
VOCABULARY = 512
TEXT, RETRIEVAL = "text", "retrieval"
"""The arms that the shipped claims are about; a made-up study has the first of them alone by default."""
MIXTURE = {"share": 0.3, "tasks": {"copy": 0.7, "recall": 0.3}}
TASKS = ["copy", "copy_text", "few_shot", "recall", "induction"]
HEADS_OF_A_MODEL = list(itertools.product(range(LAYERS), range(HEADS)))
NUMBERS = np.arange(DOCUMENTS)


@dataclass
class Truth:
    """The effects that the tables are drawn around; a map's missing encoding takes its default.

    Attributes:
        within: loss at positions below L, in nats per token, above 4.0.
        past: what each doubling past L adds to the loss, in nats per token.
        copy: token accuracy of copying, and of going on with a string that repeats, within L.
        copy_past: the same past L.
        recall: token accuracy at every length of recall and of all tasks that are not named here.
        few_shot: token accuracy of few-shot following at every length.
        index: U-shape index without the first token, of the trained model.
        index_initial: the same of the model at initialisation; on tokens in random order it is 0.
        divergence: divergence of the attention past L from the attention within, at 2 L.
        frozen_index: index of a rotary model with the activated components changed.
        frozen_past: its loss past L.
        random_index: index of a rotary model with other components changed.
        seed_noise: standard deviation of a seed's effect (nats, accuracy, index).
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
    divergence: dict[str, float] = field(default_factory=lambda: {"rope": 0.5, "hope": 0.2})
    frozen_index: float = -0.05
    frozen_past: float = 4.2
    random_index: float = 0.25
    seed_noise: float = 0.01
    unit_noise: float = 0.01
    noise: float = 0.02

    def loss(self, encoding: str, doublings: Any, extension: Any = "none") -> Any:
        """Return the expected loss so many doublings past L; an extension costs 0.05 and halves the rise."""
        rise = self.past.get(encoding, 0.5) * np.maximum(0.0, doublings)
        rise = np.where(np.asarray(extension) == "none", rise, 0.5 * rise + 0.05)
        return 4.0 + self.within.get(encoding, 0.0) + rise

    def accuracy(self, kind: str, encoding: str, multiple: float) -> float:
        """Return the expected accuracy of a task of this kind."""
        if kind in ("copy", "repeat"):
            return (self.copy if multiple <= 1 else self.copy_past).get(encoding, 0.05)
        return (self.few_shot if kind == "few_shot" else self.recall).get(encoding, 0.1)


def make_study(
    root: Path, truth: Truth | None = None, seeds: dict[str, int] | None = None, seed: int = 7, **changes: Any
) -> Path:
    """Write a whole study folder up to the tables that the models' own stages write.

    ``tables/``, ``claims.json``, ``figures/`` and ``report/`` are left to the functions under test.

    Args:
        root: folder to write; made if missing.
        truth: the effects; the defaults support most claims.
        seeds: number of models by encoding; its keys are the study's encodings.
        seed: of the noise.
        changes: sections of the study laid over the defaults here, ``arms`` among them.

    Returns:
        ``root``.
    """
    truth = truth or Truth()
    study = settings(seeds or {"rope": 3, "hope": 3, "none": 1, "alibi": 1}, **changes)
    paths = StudyPaths(root)
    write_json(paths.config, study.model_dump(mode="json", by_alias=True))
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
        own = {key: content.pop(key, value) for key, value in tasks.items()}
        content["arms"] = {**content["arms"], TEXT: merge(own, content["arms"][TEXT])}
    return parse_study(content, "made-up study")


class _Noise:
    """Draws values around a truth: effects of seed and unit are shared by all measures of a name."""

    def __init__(self, truth: Truth, seed: int, encoding: str, number: int) -> None:
        self.truth, self.encoding, self.number, self.seed = truth, encoding, number, seed
        self.own = self._generator("own", encoding, number)

    def _generator(self, *names: object) -> np.random.Generator:
        return np.random.default_rng([self.seed, *"/".join(map(str, names)).encode()])

    def draw(self, name: str, units: int = DOCUMENTS, scale: float = 1.0) -> np.ndarray:
        """Return noise for each unit: seed, unit (the encoding's own) and residual, times ``scale``."""
        truth = self.truth
        of_seed = self._generator(name, "seed", self.encoding, self.number).normal(0, truth.seed_noise)
        of_unit = self._generator(name, "unit", self.encoding).normal(0, truth.unit_noise, units)
        return scale * (of_seed + of_unit + self.own.normal(0, truth.noise, units))

    def shared(self, name: str, scale: float) -> np.ndarray:
        """Return effects of the documents that all encodings and seeds share: they cancel in pairs."""
        return self._generator(name, "shared").normal(0, scale, DOCUMENTS)


def _grid(**columns: Iterable[Any]) -> pd.DataFrame:
    """Return one row per combination of the columns' values, the last column fastest."""
    return pd.DataFrame(itertools.product(*columns.values()), columns=list(columns))


def _long(cells: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows of cells: an array has one entry per row of its cell, a single value is repeated."""
    sizes = [max(np.size(value) for value in cell.values()) for cell in cells]
    columns = {
        name: [np.broadcast_to(cell[name], size) for cell, size in zip(cells, sizes, strict=True)] for name in cells[0]
    }
    return pd.DataFrame({name: np.concatenate(values) for name, values in columns.items()})


def _table(path: Path, rows: pd.DataFrame | list[pd.DataFrame]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = rows if isinstance(rows, pd.DataFrame) else pd.concat(rows)
    frame.to_parquet(path, index=False)


def _write_record(path: Path, stage: str, seconds: float) -> None:
    machine = {"system": "made-up", "processor": "made-up", "cores": 2, "memory_bytes": 2**33, "gpus": []}
    record = {"stage": stage, "code": "1" * 64, "python": "3.11.0", "packages": {"torch": "2.13.0"}, "seconds": seconds}
    write_json(path, record | {"environment": "2" * 64, "machine": machine, "ended": "2026-01-01T00:00:10.000+00:00"})


def _write_data(paths: StudyPaths, arm: Arm) -> None:
    """A corpus of 20 documents for training and 4 held out, with 500 tokens each."""
    sides = {"train": 20, "validation": 4}
    count, folder = sum(sides.values()), paths.data(arm.data_key)
    source = {"documents": count, "documents_read": count + 1, "share": 1.0, "bytes": 96_000, "lengths": [4_000] * 5}
    corpus = {
        "digest": "a" * 64,
        "origin": {"python": "3.11.0"},
        "documents": count,
        "characters": 96_000,
        "sources": {"files": source},
        "dropped_duplicates": 1,
        "duplicates": [{"copy": "b.txt", "kept": "a.txt"}],
        **dict.fromkeys(("dropped_empty", "dropped_unreadable", "dropped_by_weight", "cut_documents", "remarked"), 0),
        "cut": [],
        "groups": count - 1,
        "largest_group": 2,
        "near_copies": [["c.txt", "d.txt"]],
        "split": {"validation": {"documents": 4}},
        "overlap": {
            "mean": 0.05,
            "text": 0.04,
            "most": [{"document": "e.txt", "share": 0.2}],
            "documents_up_to": {"0.0": 3, "0.01": 0, "0.1": 0, "0.5": 1, "1.0": 0},
        },
    }
    write_json(paths.corpus(arm.data_key) / "corpus.json", corpus)
    documents = pd.DataFrame({"split": np.repeat([*sides], [*sides.values()]), "source": "files", "characters": 4_000})
    _table(paths.corpus(arm.data_key) / "documents.parquet", documents)
    manifest = {"vocabulary": VOCABULARY, "tokens": 12_000, "tokenizer_sha256": "d" * 64, "digest": "e" * 64}
    for split, number in sides.items():
        write_json(folder / split / "manifest.json", manifest)
        np.arange(0, 500 * (number + 1), 500, dtype="<i8").tofile(folder / split / "documents.bin")


def _write_model(folder: Path, arm: Arm, noise: _Noise) -> None:
    batch = arm.training.length * arm.training.batch_windows
    steps = np.arange(4, arm.training.steps + 1, 4)
    text = 4.0 + 2.5 * np.exp(-steps / 10) + noise.own.normal(0, 0.02, len(steps))
    text = text if arm.reads_text else 0 * text
    history = {
        "step": steps,
        "tokens": steps * batch,
        "loss": text + 0.8,
        "text_loss": text,
        "synthetic_loss": 0.8 + np.exp(-steps / 20),
        "likely_answers": 1 - np.exp(-steps / 10),
        "tokens_per_second": batch / 0.25 + noise.own.normal(0, 30, len(steps)),
    }
    _table(folder / "history.parquet", pd.DataFrame(history))
    _write_record(folder / "run.json", "train", float(steps[-1] * 0.25))
    weights = np.zeros((VOCABULARY, arm.model.width), np.float32)
    save_file({"embedding.weight": weights}, folder / "model.safetensors")


def _write_analysis(folder: Path, arm: Arm, encoding: str, noise: _Noise) -> None:
    truth, length = noise.truth, arm.training.length
    longest = arm.extrapolation.longest if encoding != "learned" else 1
    queries = [round(multiple * length) - 1 for multiple in arm.analysis.multiples if multiple <= longest]
    levels = {"trained": truth.index.get(encoding, 0.2), "initial": truth.index_initial, "shuffled": 0.0}
    profile, ushape, departs = [], [], []
    for (subject, level), query in itertools.product(levels.items(), queries):
        width = max(1, (query + 1) // 32)
        start = np.arange(0, query + 1, width)
        end = np.minimum(start + width, query + 1)
        place = (start + end - 1) / 2 / query
        cells = [{"subject": subject, "query": query, "layer": layer, "head": head} for layer, head in HEADS_OF_A_MODEL]
        for axis, near in (("distance", place), ("key", 1 - place)):
            mass = np.exp(-20 * near) + (0.0 if subject == "initial" else 0.3) * np.exp(-20 * (1 - near)) + 0.02
            bins = {"axis": axis, "start": start, "end": end, "mass": mass / mass.sum()}
            profile += [cell | bins for cell in cells]
        for cell in cells:
            value = level + noise.draw(f"index/{subject}")
            ushape.append(cell | {"document": NUMBERS, "index": value + 0.3, "index_without_sink": value})
    _table(folder / "profile.parquet", _long(profile))
    _table(folder / "ushape.parquet", _long(ushape))
    for query, (layer, head) in itertools.product((one for one in queries if one >= length), HEADS_OF_A_MODEL):
        value = truth.divergence.get(encoding, 0.3) * (query + 1) / (2 * length) + noise.draw("divergence")
        cell = {"query": query, "layer": layer, "head": head, "document": NUMBERS}
        departs.append(cell | {"divergence": np.clip(value, 0.0, 1.0)})
    empty = pd.DataFrame(columns=["query", "layer", "head", "document", "divergence"])
    _table(folder / "divergence.parquet", _long(departs) if departs else empty)
    _write_dynamics(folder, arm, encoding, noise)
    if arm.is_rotary(encoding):
        _write_components(folder, arm, encoding, noise)
        _write_intervention(folder, encoding, noise)
    _write_record(folder / "provenance.json", "analyze-attention", 2.0)


def _write_dynamics(folder: Path, arm: Arm, encoding: str, noise: _Noise) -> None:
    """A U-shape that appears at half of the training, and of a rotary encoding components 0 and 1 from a quarter on."""
    truth, steps, cells = noise.truth, arm.training.steps, []
    half = arm.model.head_dim // 2
    for step in [0, *arm.training.snapshot_steps, steps]:
        keys = {"step": step, "tokens": step * arm.training.length * arm.training.batch_windows}
        level = truth.index.get(encoding, 0.2) if step >= steps / 2 else truth.index_initial
        levels = {"index": level + 0.3, "index_without_sink": level, "loss": 4.0 + 2.5 * (1 - step / steps)}
        for measure, level in levels.items():
            for layer in [-1] if measure == "loss" else range(LAYERS):
                value = level + noise.draw(f"dynamics/{measure}/{step}")
                cell = {"measure": measure, "layer": layer, "component": -1, "document": NUMBERS, "value": value}
                cells.append(keys | cell)
        active = (np.arange(half) < 2) & (step >= steps / 4)
        for measure, value in (("spread", np.where(active, 0.5, 0.01)), ("activated", 1.0 * active)):
            if arm.is_rotary(encoding):
                cell = {"measure": measure, "layer": -1, "component": np.arange(half), "document": -1, "value": value}
                cells.append(keys | cell)
    _table(folder / "dynamics.parquet", _long(cells))
    _write_record(folder / "dynamics.json", "analyze-dynamics", 1.0)


def _write_components(folder: Path, arm: Arm, encoding: str, noise: _Noise) -> None:
    spectrum = arm.spectrum(encoding)
    assert spectrum is not None
    frequencies, length = np.array(spectrum.frequencies), arm.training.length
    count = max(1, round(arm.analysis.active_share * spectrum.kept))
    axes = {"layer": range(LAYERS), "head": range(HEADS)}
    grid = _grid(**axes, component=range(len(frequencies)), distance=range(length))
    component, frequency = grid["component"], frequencies[grid["component"]]
    columns = {
        "contribution": np.cos(grid["distance"] * frequency) / (1 + component),
        "variance_share": 1.0 / len(frequencies),
        "frequency": frequency,
        "kept": frequency > 0,
        "activated": component < count,
        "distance_end": grid["distance"] + 1,
    }
    _table(folder / "components.parquet", grid.assign(**columns))
    shares = {0.125: count // 2, arm.analysis.active_share: count, 0.5: 2 * count}
    rules = [("share", *rule) for rule in shares.items()] + [("logits", 0.1, 3), ("logits", 0.4, 1)]
    activation = pd.DataFrame(rules, columns=["rule", "threshold", "wanted"])
    activation = activation.merge(_grid(layer=range(-1, LAYERS), component=range(len(frequencies))), how="cross")
    frequency = frequencies[activation["component"]]
    activated = (frequency > 0) & (activation["component"] < activation.pop("wanted"))
    activation = activation.assign(turns=frequency * length / (2 * np.pi), activated=activated)
    _table(folder / "activation.parquet", activation)
    distance, trained = _distances(length), []
    phases = np.exp(1j * distance[:, None] * frequencies)
    for layer, head in HEADS_OF_A_MODEL:
        pairs = noise.own.normal(1.0, 0.5, len(frequencies))
        bound = np.abs(phases.cumsum(axis=1)).sum(axis=1) * np.abs(np.diff(pairs, append=0.0)).max()
        value = (phases.real * pairs).sum(axis=1)
        trained.append({"layer": layer, "head": head, "distance": distance, "value": value, "bound": bound})
    _table(folder / "kernel_trained.parquet", _long(trained))


def _write_intervention(folder: Path, encoding: str, noise: _Noise) -> None:
    truth = noise.truth
    plain = {
        "index_without_sink": truth.index.get(encoding, 0.2),
        "loss_past": float(truth.loss(encoding, 0.5)),
        "loss_within": float(truth.loss(encoding, 0.0)),
    }
    frozen = {"index_without_sink": truth.frozen_index, "loss_past": truth.frozen_past, "loss_within": 4.3}
    others = {"index_without_sink": truth.random_index, "loss_past": 5.0, "loss_within": 4.2}
    cells = {("none", "none"): plain}
    for mode in INTERVENTIONS:
        added = 0.002 if mode == "freeze" else 0.3
        slow = {measure: value + added * ("loss" in measure) for measure, value in plain.items()}
        sets = {"activated": frozen, "slow": slow, "fast": others, "random": others, "matched": others}
        cells |= {(mode, name): levels for name, levels in sets.items()}
    rows = []
    for (mode, name), levels in cells.items():
        for measure, level in levels.items():
            value = level + noise.shared(f"document/{measure}", 0.02 if "index" in measure else 0.3)
            value = value + noise.draw(f"{measure}/{mode}/{name}")
            cell = {"mode": mode, "set": name, "variance_share": 0.0, "measure": measure}
            rows.append(cell | {"document": NUMBERS, "value": value})
    _table(folder / "intervention.parquet", _long(rows))


def _write_extrapolation(folder: Path, arm: Arm, encoding: str, noise: _Noise) -> None:
    truth, length, asked = noise.truth, arm.training.length, arm.extrapolation
    longest = length * (asked.longest if encoding != "learned" else 1)
    labels = ["none", *(entry.label for entry in asked.extensions if arm.is_rotary(encoding))]
    of_documents = {"document": range(DOCUMENTS), "window": range(asked.windows)}
    base, within, past = noise.shared("document/loss", 0.3), noise.draw("within"), noise.draw("past")

    width = max(1, round(asked.bin_share * length))
    grid = _grid(extension=labels, start=range(0, longest, width), **of_documents)
    start, end, document = grid["start"], np.minimum(grid["start"] + width, longest), grid["document"]
    level = truth.loss(encoding, np.log2((start + end) / 2 / length), grid["extension"])
    effect = base[document] + np.where(start < length, within[document], past[document])
    nll = (level + 0.8 * np.exp(-start / (length / 4)) + effect) * (end - start)
    _table(folder / "extrapolation.parquet", grid.assign(end=end, tokens=end - start, nll=nll))

    context = []
    for multiple in (multiple for multiple in asked.contexts if round(multiple * length) <= longest):
        grid = _grid(extension=labels, **of_documents)
        effect = base + (within if multiple <= 1 else noise.draw(f"context/{multiple}"))
        level = truth.loss(encoding, math.log2(multiple), grid["extension"]) + 0.3 * max(0.0, 1 - multiple)
        nll = asked.targets * (level + effect[grid["document"]])
        context.append(grid.assign(context=round(multiple * length), tokens=asked.targets, nll=nll))
    _table(folder / "context.parquet", context)

    strided = pd.DataFrame(columns=["extension", "document", "tokens", "nll"])
    if asked.strided is not None:
        read, stride = round(asked.strided.window * length), round(asked.strided.stride * length)
        grid = _grid(extension=labels, document=range(DOCUMENTS), first=[True, False])
        tokens = np.where(grid["first"], read - stride, longest - read + stride)
        loss = truth.loss(encoding, 0.0, grid["extension"]) + (base + within)[grid["document"]] + 0.4 * grid["first"]
        strided = grid.assign(tokens=tokens, nll=tokens * loss)
    _table(folder / "strided.parquet", strided)
    _write_record(folder / "extrapolation.json", "extrapolate", 3.0)


def _write_retrieval(folder: Path, arm: Arm, encoding: str, noise: _Noise) -> None:
    parts = []
    multiples = [multiple for multiple in arm.retrieval.multiples if encoding != "learned" or multiple <= 1]
    for task, multiple in itertools.product(arm.retrieval.tasks, multiples):
        entry, length = arm.tasks.task(task), round(multiple * arm.training.length)
        copies = entry.task in ("copy", "repeat")
        chance, answers = (
            (1 / arm.tasks.copy_.alphabet, max(1, length // 2 - 1)) if copies else (1 / arm.tasks.recall.alphabet, 1)
        )
        level = noise.truth.accuracy(entry.task, encoding, multiple)
        depths = entry.settings.get("depths") or [math.nan]
        prompts = -(-arm.retrieval.prompts // len(depths))
        count = prompts * len(depths)
        wanted = np.clip(level + noise.draw(f"{task}/{length}", count, 2.0), 0, 1)
        accuracy = noise.own.binomial(answers, wanted) / answers
        columns = {
            "task": task,
            "trained": task in arm.trained_tasks,
            "length": length,
            "depth": np.repeat(depths, prompts),
            "example": np.tile(range(prompts), len(depths)),
            "chance": chance,
            "accuracy": accuracy,
            "exact": (accuracy == 1).astype(int),
            "margin": noise.own.normal(2 * (level - 0.5), 0.5, count),
        }
        parts.append(columns)
    _table(folder / "retrieval.parquet", _long(parts))
    _write_record(folder / "retrieval.json", "retrieve", 2.0)


def _distances(length: int) -> np.ndarray:
    far = np.geomspace(2 * length, 16 * length, 200).round()
    return np.unique(np.concatenate([np.arange(1, 2 * length + 1), far])).astype(int)


def _decay(frequencies: Iterable[float], distance: np.ndarray, **columns: Any) -> pd.DataFrame:
    phase = distance[:, None] * np.array(frequencies)
    bound = np.abs(np.exp(1j * phase).cumsum(axis=1)).mean(axis=1)
    return pd.DataFrame({"distance": distance, "value": np.cos(phase).mean(axis=1), "bound": bound, **columns})


def _write_kernel(folder: Path, arm: Arm) -> None:
    distance, sweep = _distances(arm.training.length), []
    for family, base in [*itertools.product(("rope", "hope"), (1e3, 1e4, 5e5)), ("p_rope", 1e4)]:
        spectrum = FAMILIES[family].spectrum_at({"base": base}, arm.model.head_dim, arm.training.length)
        assert spectrum is not None
        sweep.append(_decay(spectrum.frequencies, distance, encoding=family, base=base))
    _table(folder / "kernel_sweep.parquet", sweep)
    spectra = {name: arm.spectrum(name) for name in arm.encodings if arm.is_rotary(name)}
    curves = [_decay(one.frequencies, distance, encoding=name) for name, one in spectra.items() if one is not None]
    empty = pd.DataFrame(columns=["distance", "value", "bound", "encoding"])
    _table(folder / "kernel.parquet", pd.concat(curves) if curves else empty)
    sizes = {"base": [1e4, 5e5], "rope_far": 0.08, "hope_far": 0.502, "hope_floor": 0.5, "bound_gap": [0.04, 0.06]}
    _table(folder / "kernel_sizes.parquet", pd.DataFrame({"head_dim": 64, "length": 4096, **sizes}))
    _write_record(folder / "provenance.json", "theory", 0.1)
