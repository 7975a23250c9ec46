"""Retrieval from context, scored in one teacher-forced pass without generation.

The greedy continuation of a prompt equals its answer exactly when every answer token is the argmax given the tokens
before it, so one pass gives the exact match of generation. The accuracy of single tokens is *teacher-forced*: each is
predicted from the right tokens before it, not from the model's own predictions.
"""

import hashlib
from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from hope import config
from hope.data.mixture import Examples
from hope.data.mixture import digest as digest_of
from hope.data.tokens import TokenCorpus
from hope.errors import UserError
from hope.files import read_json
from hope.model.bounded_passes import pass_over
from hope.model.kept import Arrays, Kept
from hope.model.language_model import LanguageModel
from hope.model.loading import open_model_with_data, trained_tasks
from hope.model.loss import CHUNK_LOGITS
from hope.seeding import generator
from hope.tables import write_table
from hope.tasks import Example, Source, Task, Vocabulary, build_task, draw

PROMPT_SCHEMA = {
    "task": "string",
    "trained": "bool",
    "length": "int64",
    "depth": "float64",
    "example": "int64",
    "chance": "float64",
    "accuracy": "float64",
    "exact": "int64",
    "margin": "float64",
    "prompts_sha256": "string",
}


def retrieve(settings: config.RetrievalStage, model: Path, data: Path, output: Path) -> None:
    """Write ``retrieval.parquet``: one row per prompt, with accuracy, exact match and margin.

    A cell is a task, a length and, for a task with depths, a depth. Each length has ``prompts`` prompts, divided
    equally among the depths and rounded up. Prompts with more tokens than the encoding has positions have no rows.
    Each row holds the digest of its cell's prompts, which is the same for every encoding and seed.

    Args:
        settings: tasks, prompt lengths and seed.
        model: folder of the trained model.
        data: folder that holds ``validation/``: real text, and a manifest that names the special tokens.
        output: folder of the table.

    Raises:
        UserError: a file is missing, a task does not fit into a prompt or the vocabulary, or the model was trained
            on one of the prompts.
    """
    decoder, corpus = open_model_with_data(model, data, settings.retrieval.threads)
    vocabulary = Vocabulary(corpus.vocabulary, corpus.special)
    trained = trained_tasks(model)
    seen = seen_in_training(model, data) if trained else set()
    start = corpus.special["start"] if settings.start_token else None
    write_retrieval(settings, decoder, model, vocabulary, corpus, output, trained, seen, start=start)


def write_retrieval(
    settings: config.RetrievalStage,
    model: LanguageModel,
    name_of_model: Path,
    vocabulary: Vocabulary,
    text: Source,
    output: Path,
    trained: Sequence[str] = (),
    seen: Set[int] = frozenset(),
    kept: Kept | None = None,
    start: int | None = None,
) -> None:
    """Write the table of :func:`retrieve` for a loaded model.

    Args:
        settings: tasks, prompt lengths and seed.
        model: the model.
        name_of_model: its folder, which errors name.
        vocabulary: tokens that tasks draw from.
        text: real text for prompts.
        output: folder of the table.
        trained: tasks that were part of the model's training.
        seen: digests of the examples of its training.
        kept: keeps the scores of every task and length.
        start: the start token, for prompts that begin with it; it counts in their length.

    Raises:
        UserError: as :func:`retrieve`.
    """
    kept = kept or Kept()
    longest = model.encoding.longest
    lengths = [round(multiple * model.training_length) for multiple in settings.retrieval.multiples]
    lengths = [length for length in dict.fromkeys(lengths) if longest is None or length <= longest]

    table: dict[str, list] = {column: [] for column in PROMPT_SCHEMA}
    for name in settings.retrieval.tasks:
        definition = settings.tasks[name]
        task = build_task(name, definition, vocabulary, text)
        depths = task.depths or (None,)
        count = -(-settings.retrieval.prompts // len(depths))
        for length in lengths:
            cells = [prompts(name, task, settings.retrieval.seed, length, count, depth, start) for depth in depths]
            examples = [example for cell in cells for example in cell]
            # Training has no example with a start token in it.
            bodies = [replace(example, tokens=example.tokens[int(start is not None) :]) for example in examples]
            known = sum(digest_of(example) in seen for example in bodies)
            if known:
                raise UserError(
                    f"retrieval.tasks: {known} of {len(examples)} prompts of {name} at {length} tokens were part of "
                    f"the training of {name_of_model}; raise the task's sizes, or leave out that multiple"
                )

            def scores(examples: list[Example] = examples, what: str = f"{name} at {length} tokens") -> Arrays:
                return dict(zip(("accuracy", "margin"), score(model, examples, what), strict=True))

            accuracy, margin = kept.get(f"retrieval-{name}-{length}", scores).values()
            table["task"] += [name] * len(examples)
            table["trained"] += [name in trained or definition.task in trained] * len(examples)
            table["length"] += [length] * len(examples)
            table["depth"] += [depth for depth in depths for _ in range(count)]
            table["example"] += list(range(count)) * len(depths)
            table["chance"] += [example.chance for example in examples]
            table["accuracy"] += accuracy.tolist()
            table["exact"] += (accuracy == 1.0).astype(int).tolist()
            table["margin"] += margin.tolist()
            table["prompts_sha256"] += [digest for cell in cells for digest in [prompt_digest(cell)] * count]
    write_table(output / "retrieval.parquet", table, PROMPT_SCHEMA)


def seen_in_training(model: Path, data: Path) -> set[int]:
    """Return the digests of all synthetic examples that a model was trained on, drawn again from its record.

    Args:
        model: folder of the trained model; without ``run.json`` the set is empty.
        data: folder that holds ``train/``, the training text; without it the set is empty.
    """
    record, text = model / "run.json", data / "train"
    if not record.exists() or not text.exists():
        missing = record if text.exists() else text
        print(f"there is no {missing}: prompts are not compared with the training's examples", flush=True)
        return set()
    stage = config.TrainStage.model_validate(read_json(record)["settings"])
    corpus = TokenCorpus.open(text, verify=True)
    seen = Examples(stage, Vocabulary(corpus.vocabulary, corpus.special), corpus).digests()
    print(f"prompts are compared with the training's {len(seen):,} different synthetic examples", flush=True)
    return seen


def prompts(
    name: str, task: Task, seed: int, length: int, count: int, depth: float | None = None, start: int | None = None
) -> list[Example]:
    """Return ``count`` prompts of ``length`` tokens, each a function of the arguments and its number alone.

    Their random stream is separate from that of training for every training seed. All depths use the same stream, so
    that prompts of one number differ in the depth of the answer, and in the places of other needles where the answer
    would split one, only. The start token, if there is one, is the first of the ``length`` tokens.
    """
    body = length if start is None else length - 1
    drawn = [
        # The first one twice, as in a training.
        draw(name, task, generator("prompt", seed, name, length, number), body, depth, None if number else task)
        for number in range(count)
    ]
    return drawn if start is None else [_begun(example, start) for example in drawn]


def _begun(example: Example, start: int) -> Example:
    """Return a prompt behind the start token."""
    return Example(np.insert(example.tokens, 0, start), np.insert(example.answer, 0, False), example.candidates)


def prompt_digest(examples: list[Example]) -> str:
    """Return the SHA-256 of the tokens and answer marks of prompts, in hexadecimal."""
    summed = hashlib.sha256()
    for example in examples:
        summed.update(example.tokens.astype("<i8").tobytes() + example.answer.astype("u1").tobytes())
    return summed.hexdigest()


def score(model: LanguageModel, examples: list[Example], what: str = "prompts") -> tuple[np.ndarray, np.ndarray]:
    """Return the teacher-forced accuracy and margin of each prompt.

    The accuracy is the share of answer tokens that are the argmax over the whole vocabulary; of equal logits the
    lowest id wins. The margin is the mean over answer tokens of the log-probability of the right token minus that of
    the best other candidate of the task, in nats: above 0 where the model prefers the right one, NaN where there is no
    other candidate.

    Args:
        model: the model.
        examples: prompts of one length.
        what: name of the work in the progress line.

    Returns:
        Accuracy and margin, float64 ``[examples]``.
    """
    device = model.device
    tokens = np.stack([example.tokens for example in examples])
    answers = np.stack([example.answer for example in examples])
    candidates = _padded([example.candidates for example in examples])

    def work(rows: slice) -> tuple[np.ndarray, np.ndarray]:
        row, column = np.nonzero(answers[rows])
        first = int(column.min()) - 1
        read = model(torch.from_numpy(tokens[rows, :-1]).to(device), first=first)
        hidden = read[torch.from_numpy(row).to(device), torch.from_numpy(column - 1 - first).to(device)]
        asked = torch.from_numpy(tokens[rows][row, column]).to(device)
        others = torch.from_numpy(candidates[rows][row]).to(device)
        parts = (part.split(max(1, CHUNK_LOGITS // model.vocabulary)) for part in (hidden, asked, others))
        scores = [_compare(model.logits(part).float(), *rest) for part, *rest in zip(*parts, strict=True)]
        right, ahead = (torch.cat(part).double().cpu().numpy() for part in zip(*scores, strict=True))
        count = np.bincount(row)
        return np.bincount(row, right) / count, np.bincount(row, ahead) / count

    accuracy, margin = zip(*pass_over(work, len(examples), tokens.shape[1] - 1, device, what), strict=True)
    return np.concatenate(accuracy), np.concatenate(margin)


def _compare(logits: torch.Tensor, asked: torch.Tensor, candidates: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return whether each right token is the argmax, and its lead over the best other candidate.

    Args:
        logits: ``[tokens, vocabulary]``.
        asked: the right tokens, int64 ``[tokens]``.
        candidates: int64 ``[tokens, candidates]``; repeated ones count once.
    """
    right = logits.argmax(dim=-1) == asked  # torch.argmax takes the first of equal values
    others = logits.gather(1, candidates).masked_fill(candidates == asked[:, None], float("-inf"))
    best = others.max(dim=1).values
    ahead = logits.gather(1, asked[:, None])[:, 0] - best
    return right, ahead.masked_fill(best == float("-inf"), float("nan"))


def _padded(candidates: list[np.ndarray]) -> np.ndarray:
    """Stack sets of candidates, int64 ``[examples, most]``; a smaller set repeats its last candidate."""
    most = max(map(len, candidates))
    return np.stack([np.pad(one, (0, most - len(one)), mode="edge") for one in candidates])
