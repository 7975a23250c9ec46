"""Retrieval scores, against planted models whose answers are known and against generation."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import log_softmax
from tiny_model import LENGTH, SPECIAL, VOCABULARY, tiny_decoder
from torch import Tensor, nn

from hope import config
from hope.data.tokens import TokenCorpus
from hope.errors import UserError
from hope.evaluation.retrieval import PROMPT_SCHEMA, prompt_digest, retrieve, score
from hope.evaluation.retrieval import prompts as named_prompts
from hope.files import write_json
from hope.model import bounded_passes
from hope.model.threads import cpu_threads
from hope.tasks import Example, Task, Vocabulary, build_task
from tests.token_folder import write_tokens

TASKS = {
    "copy": config.TaskDefinition(task="copy", settings={"alphabet": 8}),
    "recall": config.TaskDefinition(task="recall", settings={"pairs": 3, "alphabet": 12}),
}
COPY, RECALL = (build_task(name, task, Vocabulary(VOCABULARY, SPECIAL), None) for name, task in TASKS.items())  # type: ignore[arg-type]
SETTINGS = config.RetrievalStage(
    retrieval=config.Retrieval(tasks=["copy", "recall"], multiples=[0.5, 1.0, 2.0], prompts=5, seed=11), tasks=TASKS
)


def prompts(task: Task, seed: int, length: int, count: int) -> list[Example]:
    """Return the prompts that a study would give the task under its usual name."""
    return named_prompts("copy" if task is COPY else "recall", task, seed, length, count)


class Planted(nn.Module):
    """A model with a logit of 1 for the token that ``rule`` names after what it read, and 0 for others."""

    def __init__(self, rule: Callable[[list[int]], int]) -> None:
        super().__init__()
        self.rule, self.vocabulary = rule, VOCABULARY
        self.device = torch.device("cpu")

    def forward(self, tokens: Tensor, first: int = 0) -> Tensor:
        named = [[self.rule(row[: place + 1]) for place in range(first, len(row))] for row in tokens.tolist()]
        return nn.functional.one_hot(torch.tensor(named), VOCABULARY).float()

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden


def copier(length: int) -> Callable[[list[int]], int]:
    """Name the token that stands in the string where the next one stands in its copy."""
    back = (length - 1) // 2 + 1
    return lambda read: read[len(read) - back] if len(read) >= back else 0


def lookup(read: list[int]) -> int:
    """Name the token that first followed the token read last."""
    return (read[read.index(read[-1]) + 1 :] + [0])[0]


def first_value(read: list[int]) -> int:
    """Name the value of the first binding, whatever is asked."""
    return ([token for token in read if token in RECALL.sets[0]] + [0, 0])[1]


def test_perfect_models_score_one() -> None:
    for length in (9, 16, 33):
        cases = [(copier(length), COPY), (lookup, RECALL)] if length > 9 else [(copier(length), COPY)]
        for rule, task in cases:
            accuracy, margin = score(Planted(rule), prompts(task, 5, length, 20))
            assert (accuracy == 1.0).all()
            np.testing.assert_allclose(margin, 1.0)


def test_naming_one_bound_value_always_is_right_in_one_of_the_questions() -> None:
    for length in (9, 40):
        examples = prompts(RECALL, 5, length, 20)
        accuracy, margin = score(Planted(first_value), examples)
        pairs = int(examples[0].answer.sum())
        np.testing.assert_allclose(accuracy, 1 / pairs)
        # Right in one of n questions, ahead by 1; behind by 1 in the others.
        np.testing.assert_allclose(margin, (1 - (pairs - 1)) / pairs)


def test_naming_one_value_always_scores_near_the_chance_of_recall() -> None:
    examples = prompts(RECALL, 5, 40, 400)
    value = int(RECALL.sets[0][3])
    accuracy, _ = score(Planted(lambda read: value), examples)
    chance, answers = examples[0].chance, sum(int(example.answer.sum()) for example in examples)
    assert abs(accuracy.mean() - chance) < 4 * np.sqrt(chance * (1 - chance) / answers)


def test_naming_one_token_always_scores_near_the_chance_of_copy() -> None:
    examples = prompts(COPY, 5, 41, 200)
    token = int(COPY.sets[0][3])
    accuracy, _ = score(Planted(lambda read: token), examples)
    shares = [(example.tokens[example.answer] == token).mean() for example in examples]
    np.testing.assert_allclose(accuracy, shares)
    deviation = np.sqrt((1 / 8) * (7 / 8) / (200 * 19))
    assert abs(accuracy.mean() - 1 / 8) < 4 * deviation


def test_ties_go_to_the_lowest_id() -> None:
    class Even(Planted):
        def forward(self, tokens: Tensor, first: int = 0) -> Tensor:
            return torch.zeros(*tokens[:, first:].shape, VOCABULARY)

    tokens = np.array([5, 0, 7, 0, 9])
    example = Example(tokens, np.array([False, True, True, True, True]), np.array([0, 7, 9]))
    accuracy, margin = score(Even(lambda read: 0), [example])
    assert accuracy.tolist() == [0.5]
    assert margin.tolist() == [0.0]


def test_scores_match_all_log_probabilities() -> None:
    model = tiny_decoder("alibi")
    examples = prompts(RECALL, 1, 24, 6)
    accuracy, margin = score(model, examples)
    for example, found, ahead in zip(examples, accuracy, margin, strict=True):
        with torch.inference_mode():
            exact = model.double()
            logits = exact.logits(exact(torch.from_numpy(example.tokens[None, :-1]))).numpy()[0]
        model.float()
        likely = log_softmax(logits, axis=-1)
        right, gaps = [], []
        for place in np.flatnonzero(example.answer):
            asked = example.tokens[place]
            right.append(likely[place - 1].argmax() == asked)
            gaps.append(likely[place - 1, asked] - max(likely[place - 1, c] for c in example.candidates if c != asked))
        assert found == np.mean(right)
        assert ahead == pytest.approx(np.mean(gaps), abs=1e-4)


def test_exact_match_is_that_of_greedy_generation() -> None:
    model = tiny_decoder("rope")
    tokens = [7, 50, 9, 33]
    for _ in range(6):
        with torch.inference_mode():
            tokens.append(int(model.logits(model(torch.tensor([tokens])))[0, -1].argmax()))
    answer = np.arange(10) >= 4
    generated = Example(np.array(tokens), answer, np.arange(VOCABULARY))
    altered = np.array(tokens)
    altered[-1] = (altered[-1] + 1) % VOCABULARY
    accuracy, margin = score(model, [generated, Example(altered, answer, np.arange(VOCABULARY))])
    assert accuracy[0] == 1.0 and accuracy[1] == pytest.approx(5 / 6)
    assert margin[0] > margin[1]


def test_scores_do_not_depend_on_the_size_of_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_decoder("hope")
    examples = prompts(COPY, 1, 24, 7)
    together = score(model, examples)
    alone = [np.concatenate(parts) for parts in zip(*(score(model, [one]) for one in examples), strict=True)]
    monkeypatch.setattr(bounded_passes, "TOKENS_ON_CPU", 60)
    monkeypatch.setattr("hope.evaluation.retrieval.CHUNK_LOGITS", 3 * VOCABULARY)
    pieces = score(model, examples)
    for one, other in ((together, alone), (together, pieces)):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_allclose(one[1], other[1], atol=1e-4)


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_passes, "TOKENS_ON_CPU", 60)
    model, examples = tiny_decoder("hope"), prompts(COPY, 1, 24, 7)
    found = []
    for threads in (1, 2):
        with cpu_threads(threads):
            found.append(score(model, examples))
    np.testing.assert_array_equal(*found)


def test_candidates_of_different_number_are_not_mixed() -> None:
    model = Planted(lambda read: 8)
    few = Example(np.array([5, 6]), np.array([False, True]), np.array([6, 7]))
    many = Example(np.array([5, 6]), np.array([False, True]), np.array([6, 7, 8]))
    assert score(model, [few, many])[1].tolist() == [0.0, -1.0]


def test_a_prompt_depends_on_its_number_alone() -> None:
    few, more = prompts(COPY, 3, 16, 2), prompts(COPY, 3, 16, 5)
    assert prompt_digest(few) == prompt_digest(more[:2])
    assert len({prompt_digest([example]) for example in more}) == 5
    assert prompt_digest(few) != prompt_digest(prompts(COPY, 4, 16, 2))


def test_prompts_are_the_same_in_every_process() -> None:
    # A digest of another process: nothing may depend on hashes of strings, which differ between processes.
    digest = "9ff78bfea3905f3bbd02ab7d02967032794982611cdc0b7e7b04efeee66d7d82"
    task = build_task("recall", config.Tasks().task("recall"), Vocabulary(VOCABULARY, SPECIAL), None)  # type: ignore[arg-type]
    assert prompt_digest(named_prompts("recall", task, 3, 40, 4)) == digest


def run(model: Path, data: Path, output: Path, settings: config.RetrievalStage = SETTINGS) -> pd.DataFrame:
    retrieve(settings, model, data, output)
    return pd.read_parquet(output / "retrieval.parquet")


def test_table_has_a_row_for_each_prompt(make_model: Callable[..., Path], data: Path, tmp_path: Path) -> None:
    table = run(make_model(), data, tmp_path / "out")
    assert list(table.columns) == list(PROMPT_SCHEMA)
    assert len(table) == 2 * 3 * 5
    for (name, length), cell in table.groupby(["task", "length"]):
        task = {"copy": COPY, "recall": RECALL}[name]
        assert cell["example"].tolist() == list(range(5))
        examples = prompts(task, 11, length, 5)
        assert (cell["chance"] == {"copy": 1 / 8, "recall": 1 / 12}[name]).all()
        assert cell["depth"].isna().all()
        assert set(cell["prompts_sha256"]) == {prompt_digest(examples)}
        accuracy, margin = score(tiny_decoder(), examples)
        np.testing.assert_array_equal(cell["accuracy"], accuracy)
        np.testing.assert_array_equal(cell["exact"], accuracy == 1.0)
        np.testing.assert_allclose(cell["margin"], margin, rtol=1e-6)
    # The fixture's models say that they were trained on copy.
    assert table.groupby("task")["trained"].unique().map(list).to_dict() == {"copy": [True], "recall": [False]}


def test_text_only_model_is_trained_on_no_task(make_model: Callable[..., Path], data: Path, tmp_path: Path) -> None:
    assert not run(make_model(share=0.0), data, tmp_path / "out")["trained"].any()


def recorded(make_model: Callable[..., Path], data: Path, name: str, seed: int = 5, **settings: int) -> Path:
    """Return the folder of a model whose record says that it was trained on one task, at 16 tokens."""
    model = make_model()
    stage = config.TrainStage(
        encoding=config.EncodingSpec(name="rope", family="rope"),
        seed=seed,
        model=config.Model(),
        training=config.Training(length=LENGTH, tokens=LENGTH * 8 * 400, batch_windows=8),
        mixture=config.Mixture(share=1.0, tasks={name: 1.0}, multiples=[1.0]),
        tasks={name: config.TaskDefinition(task=name, settings=settings)},
    )
    write_json(model / "run.json", {"settings": stage.model_dump(mode="json", by_alias=True)})
    return model


def asked(name: str, **settings: int) -> config.RetrievalStage:
    """Return a stage that evaluates one task at 16 tokens, with 200 prompts."""
    retrieval = config.Retrieval(tasks=[name], multiples=[1.0], prompts=200, seed=11)
    return config.RetrievalStage(retrieval=retrieval, tasks={name: config.TaskDefinition(task=name, settings=settings)})


def with_training_text(data: Path, folder: Path, same: bool) -> Path:
    """Return a data folder with a training side: the held-out text itself, or the same tokens in another order."""
    shutil.copytree(data / "validation", folder / "validation")
    if same:
        shutil.copytree(data / "validation", folder / "train")
    else:
        held_out = TokenCorpus.open(data / "validation")
        mixed = np.random.default_rng(8).permutation(held_out.read(0, held_out.tokens))
        documents = [part.tolist() for part in np.split(mixed, held_out.offsets[1:-1])]
        write_tokens(folder / "train", documents, len(mixed), held_out.vocabulary, held_out.special)
    return folder


def test_prompts_that_were_trained_on_are_refused(make_model: Callable[..., Path], data: Path, tmp_path: Path) -> None:
    # Half of 16 tokens is a string of 7: of 2 symbols there are 256 prompts, of 8 more than two million.
    trained_on = with_training_text(data, tmp_path / "data", same=True)
    with pytest.raises(
        UserError, match=r"retrieval.tasks: \d+ of 200 prompts of copy at 16 tokens were part of the train"
    ):
        run(recorded(make_model, data, "copy", alphabet=2), trained_on, tmp_path / "out", asked("copy", alphabet=2))
    assert not (tmp_path / "out").exists()
    model = recorded(make_model, data, "copy", alphabet=8)
    assert len(run(model, trained_on, tmp_path / "out", asked("copy", alphabet=8))) == 200


def test_copied_text_of_the_training_side_is_refused(
    make_model: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    model = recorded(make_model, data, "copy_text")
    with pytest.raises(UserError, match="prompts of copy_text at 16 tokens were part of the training"):
        run(model, with_training_text(data, tmp_path / "leaky", same=True), tmp_path / "out", asked("copy_text"))
    apart = with_training_text(data, tmp_path / "apart", same=False)
    assert len(run(model, apart, tmp_path / "out", asked("copy_text"))) == 200


def test_all_models_see_the_same_prompts(make_model: Callable[..., Path], data: Path, tmp_path: Path) -> None:
    cells = ["task", "length", "example", "prompts_sha256"]
    tables = [run(make_model(name, seed), data, tmp_path / name)[cells] for seed, name in enumerate(("rope", "none"))]
    assert tables[0].equals(tables[1])
    bounded = run(make_model("learned"), data, tmp_path / "learned")[cells]
    assert bounded.equals(tables[0][tables[0]["length"] <= LENGTH].reset_index(drop=True))


def test_bounded_encoding_with_long_prompts_only_has_an_empty_table(
    make_model: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    retrieval = SETTINGS.retrieval.model_copy(update={"multiples": [2.0]})
    table = run(make_model("learned"), data, tmp_path / "out", SETTINGS.model_copy(update={"retrieval": retrieval}))
    assert table.empty and list(table.columns) == list(PROMPT_SCHEMA)


def test_a_task_that_does_not_fit_is_an_error(make_model: Callable[..., Path], data: Path, tmp_path: Path) -> None:
    retrieval = SETTINGS.retrieval.model_copy(update={"multiples": [0.125, 1.0]})
    with pytest.raises(UserError, match="copy needs prompts of 5 tokens or more, not 2"):
        run(make_model(), data, tmp_path / "out", SETTINGS.model_copy(update={"retrieval": retrieval}))
    assert not (tmp_path / "out").exists()
