"""Mistakes in a task of the user's own: one line each, wherever its examples are drawn."""

import sys

import numpy as np
import pytest

from hope import config
from hope.data.mixture import Examples
from hope.data.windows import check_lengths
from hope.errors import UserError
from hope.evaluation.retrieval import prompts
from hope.study_files import check_tasks
from hope.tasks import Vocabulary, build_task
from tests.token_folder import write_tokens

VOCABULARY = Vocabulary(68, {"start": 0, "end": 1, "separator": 2, "query": 3})
CLASSES = '''
import numpy as np
from hope.errors import UserError
from hope.tasks import Example, Task


class Right(Task):
    """A token once more at the end."""

    def __init__(self, vocabulary, source, alphabet=16):
        super().__init__(vocabulary, source)
        (self.alphabet,) = vocabulary.alphabets("own", alphabet)

    def example(self, random, length, depth=None):
        tokens = random.choice(self.alphabet, length)
        tokens[-1] = tokens[-2]
        return Example(tokens, np.arange(length) == length - 1, self.alphabet)


class Changed(Right):
    """A right example with a part replaced."""

    def example(self, random, length, depth=None):
        parts = vars(super().example(random, length))
        return Example(**(parts | self.change(parts, length)))


class Short(Right):
    def example(self, random, length, depth=None):
        return super().example(random, length - 1)


class Long(Right):
    def example(self, random, length, depth=None):
        return super().example(random, length + 1)


class LongMask(Changed):
    def change(self, parts, length):
        return {"answer": np.append(parts["answer"], True)}


class Above(Changed):
    def change(self, parts, length):
        return {"tokens": parts["tokens"] + 1000, "candidates": np.array([1, 2])}


class Below(Changed):
    def change(self, parts, length):
        return {"tokens": np.append(parts["tokens"][:-1], -1)}


class CandidatesAbove(Changed):
    def change(self, parts, length):
        return {"candidates": np.arange(69)}


class NoCandidates(Changed):
    def change(self, parts, length):
        return {"candidates": parts["candidates"][:0]}


class OtherCandidates(Changed):
    def change(self, parts, length):
        return {"candidates": np.array([1])}


class First(Changed):
    def change(self, parts, length):
        return {"answer": np.ones(length, dtype=bool)}


class TaughtFirst(Changed):
    def change(self, parts, length):
        return {"taught": np.arange(length) < 3}


class NoAnswer(Changed):
    def change(self, parts, length):
        return {"answer": np.zeros(length, dtype=bool)}


class NothingTaught(Changed):
    def change(self, parts, length):
        return {"taught": np.zeros(length, dtype=bool)}


class Floats(Changed):
    def change(self, parts, length):
        return {"tokens": parts["tokens"].astype(float)}


class Numbers(Changed):
    def change(self, parts, length):
        return {"answer": parts["answer"].astype(int)}


class Places(Changed):
    def change(self, parts, length):
        return {"answer": [length - 1]}


class Rows(Changed):
    def change(self, parts, length):
        return {"tokens": parts["tokens"][None]}


class Tuple(Right):
    def example(self, random, length, depth=None):
        return random.choice(self.alphabet, length), length - 1


class NoExample(Task):
    def exampel(self, random, length, depth=None):
        return None


class NoDepth(Task):
    def example(self, random, length):
        return None


class NoSuper(Task):
    def __init__(self, vocabulary, source):
        pass

    def example(self, random, length, depth=None):
        return None


class Depths(Right):
    depths = np.array([0.0, 0.5])


class DepthsInPercent(Right):
    depths = (0, 50)


class Global(Right):
    """Randomness of NumPy's own generator."""

    def example(self, random, length, depth=None):
        return super().example(np.random.default_rng(), length)


class Counting(Right):
    """Randomness that goes on from call to call."""

    calls = 0

    def example(self, random, length, depth=None):
        self.calls += 1
        return super().example(np.random.default_rng(self.calls), length)


class Raises(Right):
    def example(self, random, length, depth=None):
        return {}["binding"]


class TooShort(Right):
    def example(self, random, length, depth=None):
        raise UserError("needs prompts of 99 tokens")


class Divides(Right):
    def __init__(self, vocabulary, source, alphabet=16):
        super().__init__(vocabulary, source, alphabet // 0)


class Adds(Right):
    def __init__(self, vocabulary, source, alphabet=16):
        super().__init__(vocabulary, source, "x" + alphabet)


class Leaves(Right):
    def example(self, random, length, depth=None):
        raise SystemExit


class Refills(Right):
    """The same arrays, filled again for each example."""

    tokens = None

    def example(self, random, length, depth=None):
        drawn = super().example(random, length)
        if self.tokens is None:
            self.tokens, self.answer = np.empty_like(drawn.tokens), np.empty_like(drawn.answer)
        self.tokens[:], self.answer[:] = drawn.tokens, drawn.answer
        return Example(self.tokens, self.answer, drawn.candidates)


class Shuffles(Right):
    """Randomness in the constructor: another order of the symbols for each model."""

    def __init__(self, vocabulary, source, alphabet=16):
        super().__init__(vocabulary, source, alphabet)
        self.alphabet = np.random.default_rng().permutation(self.alphabet)


class Reads(Right):
    def example(self, random, length, depth=None):
        return super().example(random, len(self.source.span(random, length)))


class ReadsAndCuts(Right):
    def example(self, random, length, depth=None):
        return super().example(random, len(self.source.span(random, length - 1)))


class Deep(Right):
    """A task that is only scored: at its depths."""

    depths = (0.25, 1.0)

    def example(self, random, length, depth):
        return super().example(random, max(length, round(length * depth)))


class Narrow(Changed):
    """Integers of another width are token ids too."""

    def change(self, parts, length):
        return {"tokens": parts["tokens"].astype(np.uint16), "candidates": parts["candidates"].astype(np.int32)}
'''
DRAWN = {
    "Short": "an example of 8 tokens: tokens has 7 entries; return exactly as many as asked for",
    "Long": "an example of 8 tokens: tokens has 9 entries; return exactly as many as asked for",
    "LongMask": "an example of 8 tokens: answer has 9 entries",
    "Above": "but the vocabulary's ids are 0 to 67",
    "Below": "tokens holds -1, but",
    "CandidatesAbove": "candidates holds 68, but the vocabulary's ids are 0 to 67",
    "NoCandidates": "candidates is empty",
    "OtherCandidates": "candidates lacks an answer",
    "First": "answer marks the first token, which no token stands before",
    "TaughtFirst": "taught marks the first token",
    "NoAnswer": "answer marks no token",
    "NothingTaught": "taught marks no token",
    "Floats": "tokens must be a one-dimensional NumPy array of integers, not float64[8]",
    "Numbers": "answer must be a one-dimensional NumPy array of bool, not int64[8]",
    "Places": "answer must be a one-dimensional NumPy array of bool, not list",
    "Rows": "tokens must be a one-dimensional NumPy array of integers, not int64[1, 8]",
    "Tuple": "expected a hope.tasks.Example, not tuple",
    "Global": "is another one when it is drawn again; take all randomness from the argument random",
    "Counting": "is another one when it is drawn again",
    "Raises": "makes no example of 8 tokens (KeyError: 'binding' at ",
    "Leaves": "makes no example of 8 tokens (SystemExit",
    "TooShort": "needs prompts of 99 tokens",
}
BUILT = {
    "NoExample": "it must define example(self, random, length, depth=None)",
    "NoDepth": "it must define example(self, random, length, depth=None)",
    "NoSuper": "its constructor must call super().__init__(vocabulary, source)",
    "Depths": "its depths must be a tuple of numbers from 0 to 1",
    "DepthsInPercent": "its depths must be a tuple of numbers from 0 to 1",
    "Divides": "cannot be built (ZeroDivisionError: ",
    "Adds": "cannot be built (TypeError: ",
}


@pytest.fixture(scope="module", autouse=True)
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "wrong_tasks.py").write_text(CLASSES)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield
    sys.modules.pop("wrong_tasks", None)


def arm(name: str, text: bool = False, scored: bool = True) -> config.Arm:
    """Return an arm that scores a task and, if it does not read text, trains it or else `repeat`."""
    mixed = {"tasks": {"repeat" if scored else "mine": 1.0}, "multiples": [0.5, 1.0]}
    return config.Arm(
        encodings=["rope"],
        trained_on="text" if text else "tasks",
        training={"length": 16, "tokens": 16 * 8 * 3, "batch_windows": 8},
        mixture={} if text else mixed,
        tasks={"definitions": {"mine": {"task": f"wrong_tasks:{name}"}}, "repeat": {"alphabet": 8}},
        retrieval={"tasks": ["mine"] if scored else ["repeat"], "multiples": [0.5, 1.0]},
        extrapolation={"targets": 8},
    )


def study(of: config.Arm) -> config.Study:
    return config.parse_study({"study": "s", "arms": {"a": of.model_dump(by_alias=True)}}, "config.yaml")


def evaluated(name: str, length: int = 8) -> None:
    task = build_task("mine", arm(name).tasks.task("mine"), VOCABULARY, None)  # type: ignore[arg-type]
    prompts("mine", task, 1, length, 2)


def trained(name: str) -> None:
    stage = arm(name, scored=False).train_stage("rope", 0)
    stage = stage.model_copy(update={"mixture": stage.mixture.model_copy(update={"multiples": [0.5]})})
    list(Examples(stage, VOCABULARY, None).of_step(0))  # type: ignore[arg-type]


def checked(name: str) -> None:
    check_tasks(study(arm(name)))


@pytest.mark.parametrize("use", [evaluated, trained, checked])
@pytest.mark.parametrize(("name", "line"), (DRAWN | BUILT).items())
def test_a_mistake_is_one_line_with_the_tasks_name(name, line, use):
    with pytest.raises(UserError) as caught:
        use(name)
    found = caught.value.line
    assert (
        found.startswith("arms.a: " * (use is checked) + "tasks.definitions.mine")
        and f"wrong_tasks:{name}" in found
        and line in found
    )
    assert "\n" not in str(caught.value)


def test_an_error_of_the_users_code_comes_with_its_place():
    number = next(at for at, line in enumerate(CLASSES.splitlines(), 1) if "alphabet // 0" in line)
    with pytest.raises(UserError, match=f"wrong_tasks.py:{number}\\)"):
        evaluated("Divides")


@pytest.mark.parametrize("name", ["Right", "Narrow", "Deep"])
def test_a_right_task_passes(name):
    check_tasks(study(arm(name)))
    task = build_task("mine", arm(name).tasks.task("mine"), VOCABULARY, None)  # type: ignore[arg-type]
    for example in prompts("mine", task, 1, 16, 3, *task.depths[:1]):
        assert example.tokens.dtype == example.candidates.dtype == np.int64 and example.tokens.shape == (16,)


def test_randomness_in_the_constructor_is_found_before_anything_is_trained():
    with pytest.raises(UserError, match="is another one when it is drawn again"):
        check_tasks(study(arm("Shuffles")))


def test_a_task_that_reads_text_is_checked_as_far_as_it_goes_without():
    check_tasks(study(arm("Reads", text=True)))
    with pytest.raises(UserError, match="wrong_tasks:Reads: reads text, but an arm that is trained on tasks alone has"):
        check_tasks(study(arm("Reads")))


def test_a_task_that_reads_text_is_checked_on_the_text_before_a_training(tmp_path):
    for split in ("train", "validation"):
        write_tokens(tmp_path / split, [list(range(4, 68)) * 2] * 3, 384, VOCABULARY.size, VOCABULARY.special)
    fewer = {
        "analysis": config.Analysis(documents=2),
        "extrapolation": config.Extrapolation(documents=2, longest=2, contexts=[1.0], targets=8),
    }
    check_tasks(study(arm("ReadsAndCuts", text=True)))
    with pytest.raises(UserError, match="wrong_tasks:ReadsAndCuts: an example of 8 tokens: tokens has 7 entries"):
        check_lengths(arm("ReadsAndCuts", text=True).length_stage().model_copy(update=fewer), tmp_path)
    stage = arm("Reads", text=True).length_stage().model_copy(update=fewer)
    check_lengths(config.from_json(config.LengthStage, config.to_json(stage)), tmp_path)
    # Without own tasks nothing more is written: checks from before stay.
    none = config.Arm(encodings=["rope"], retrieval=config.Retrieval(tasks=["repeat"]))
    assert "retrieval" not in config.to_json(none.length_stage())


def test_an_example_keeps_its_tokens_when_the_next_is_drawn():
    of_both = []
    for name in ("Right", "Refills"):
        task = build_task("mine", arm(name).tasks.task("mine"), VOCABULARY, None)  # type: ignore[arg-type]
        of_both.append([example.tokens.tolist() for example in prompts("mine", task, 1, 16, 5)])
    assert of_both[0] == of_both[1] and of_both[0][0] != of_both[0][1]
