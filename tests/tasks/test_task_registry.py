"""Tasks by name, with settings, and of the user's own."""

import sys

import numpy as np
import pytest

from hope import config
from hope.config import from_json, merge, parse_study, to_json
from hope.errors import UserError
from hope.seeding import generator
from hope.tasks import Vocabulary, build_task
from hope.training.fingerprint import fingerprint

VOCABULARY = Vocabulary(100, {"start": 0, "end": 1, "separator": 2, "query": 3})
OWN = '''
import numpy as np
from hope.tasks import Example, Task


class Last(Task):
    """The token before the question once more."""

    def __init__(self, vocabulary, source, alphabet=5):
        super().__init__(vocabulary, source)
        (self.alphabet,) = vocabulary.alphabets("last", alphabet)
        if alphabet == 9:
            raise ValueError("nine are not allowed")

    def example(self, random, length, depth=None):
        tokens = random.choice(self.alphabet, length)
        tokens[-1] = tokens[-2]
        return Example(tokens, np.arange(length) == length - 1, self.alphabet)


class Other:
    pass
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "my_tasks.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_tasks", raising=False)
    return tmp_path / "my_tasks.py"


def arm(**over) -> config.Arm:
    return parse_study(merge({"study": "s", "encodings": ["rope"]}, over), "config.yaml").arms[config.MAIN]


def last(task: str = "my_tasks:Last", **settings) -> dict:
    return {"definitions": {"last": {"task": task, "settings": settings}}}


def test_a_task_of_the_users_own_is_built_with_its_settings(own):
    found = arm(tasks=last(alphabet=3), retrieval={"tasks": ["copy", "last"]})
    stage = from_json(config.RetrievalStage, to_json(found.retrieval_stage()))
    task = build_task("last", stage.tasks["last"], VOCABULARY, None)  # type: ignore[arg-type]
    example = task.example(generator("test"), 6)
    assert example.tokens[-1] == example.tokens[-2] and len(task.alphabet) == 3
    assert example.chance == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("tasks", "line"),
    [
        (last("my_tasks:Lost"), "tasks.definitions.last.task: 'my_tasks:Lost' cannot be loaded"),
        (last("nowhere:Last"), "tasks.definitions.last.task: 'nowhere:Last' cannot be loaded"),
        (last("my_tasks:Other"), "tasks.definitions.last.task: 'my_tasks:Other' is no subclass of hope.tasks.Task"),
        (last(alphabets=3), "tasks.definitions.last.settings: my_tasks:Last: got an unexpected keyword"),
        (last(alphabet=9), "tasks.definitions.last.settings: nine are not allowed"),
        (last(alphabet=99), "needs 99 distinct tokens, but the vocabulary has 96"),
    ],
)
def test_what_is_wrong_with_a_task_of_ones_own_is_one_line(own, tasks, line):
    definition = arm(tasks=tasks).tasks.task("last")
    with pytest.raises(UserError) as caught:
        build_task("last", definition, VOCABULARY, None)  # type: ignore[arg-type]
    assert line in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tasks", "line"),
    [
        ({"definitions": {"copy": {"task": "recall"}}}, "definitions: 'copy' is a known task; set tasks.copy"),
        ({"definitions": {"a-b": {"task": "copy"}}}, "definitions: 'a-b' must be letters, digits and '_'"),
        (last("recal"), "definitions.last.task: 'recal' is no task (did you mean 'recall'?)"),
        (last("recall", pair=3), "unknown key 'definitions.last.settings.pair' (did you mean 'pairs'?)"),
        (last("recall", pairs=50), "definitions.last.settings: pairs 50 needs 100 distinct tokens, but alphabet is 64"),
        ({"few_shot": {"examples": 3}}, "tasks.few_shot: examples 3 is below inputs 4"),
        ({"few_shot": {"inputs": 40}}, "tasks.few_shot: inputs 40 needs 80 distinct tokens, but alphabet is 64"),
        ({"needle": {"needles": 40}}, "tasks.needle: needles 40 of 3 tokens are above alphabet 64"),
        ({"passkey": {"depths": [1.5]}}, "tasks.passkey.depths.0: input should be less than or equal to 1"),
        ({"passkey": {"depths": [0.5, 1.0, 0.5]}}, "tasks.passkey.depths: 0.5 is listed twice"),
        ({"few_shot": {"depths": [0.0, 1.0]}}, "tasks.few_shot: depths need examples"),
        (
            {
                "few_shot": {"examples": 8, "depths": [0.0, 1.0]},
                "definitions": {"filled": {"task": "few_shot", "settings": {"examples": None}}},
            },
            "definitions.filled.settings: depths need examples",
        ),
        (
            {"repeat": {"shortest_period": 8, "longest_period": 3}},
            "tasks.repeat: longest_period 3 is below shortest_period 8",
        ),
        ({"repeat": {"longest_period": 3}}, "tasks.repeat: longest_period 3 is below shortest_period 4"),
        ({"mqar": {"power": 200.0}}, "tasks.mqar.power: input should be less than or equal to 1"),
    ],
)
def test_a_mistake_in_the_config_is_one_line(tasks, line):
    with pytest.raises(UserError) as caught:
        arm(tasks=tasks)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_a_vocabulary_too_small_for_induction_is_one_line():
    definition = arm(tasks={"induction": {"alphabet": 97}}).tasks.task("induction")
    with pytest.raises(UserError, match=r"tasks.induction: needs 97 distinct tokens, but the vocabulary has 96;"):
        build_task("induction", definition, VOCABULARY, None)  # type: ignore[arg-type]


def test_a_definition_changes_the_settings_of_the_study():
    tasks = {"few_shot": {"inputs": 3}, "definitions": {"four": {"task": "few_shot", "settings": {"examples": 4}}}}
    found = arm(tasks=tasks).tasks.task("four")
    assert found.task == "few_shot"
    assert (found.settings["inputs"], found.settings["examples"], found.settings["alphabet"]) == (3, 4, 64)


def test_a_training_depends_on_the_tasks_of_its_mixture_alone(own):
    def key(**over) -> str:
        return fingerprint(
            arm(mixture={"share": 0.3, "tasks": {"copy": 1.0, "last": 1.0}}, **over).train_stage("rope", 0), "data"
        )

    usual = key(tasks=last())
    assert key(tasks=last() | {"passkey": {"digits": 2}}) == usual
    assert key(tasks=last() | {"copy": {"alphabet": 8}}) != usual
    assert key(tasks=last(alphabet=4)) != usual
    own.write_text(OWN + "\n# changed\n")
    from hope.catalogue.custom import source_digest

    source_digest.cache_clear()  # as in a process that starts now
    assert key(tasks=last()) != usual
    text = arm(tasks=last(), mixture={"share": 0.0, "tasks": {"last": 1.0}}).train_stage("rope", 0)
    assert text.tasks == {}


def test_the_files_of_ones_own_tasks_are_known(own):
    found = arm(tasks=last(), retrieval={"tasks": ["copy", "last"]})
    assert [path.resolve() for path in found.task_sources(found.retrieval.tasks)] == [own.resolve()]
    assert found.task_sources(["copy"]) == []
    with pytest.raises(UserError, match="tasks.definitions.last.task: 'nowhere:Last' names no module"):
        arm(tasks=last("nowhere:Last")).task_sources(["last"])


def test_a_span_of_text_lies_within_a_document_where_one_is_as_long(tiny_data):
    from hope.data.tokens import TokenCorpus

    corpus = TokenCorpus.open(tiny_data / "validation")
    longest = int(corpus.lengths.max())
    end = corpus.special["end"]
    for seed in range(20):
        assert end not in corpus.span(generator("test", seed), longest - 1)
    whole = corpus.span(generator("test"), longest - 1)
    document = corpus.document(int(np.argmax(corpus.lengths)))
    assert (corpus.lengths == longest).sum() > 1 or np.array_equal(whole, document[:-1])
    assert len(corpus.span(generator("test"), longest + 5)) == longest + 5
    assert np.array_equal(corpus.span(generator("test"), 9), corpus.span(generator("test"), 9))
    with pytest.raises(UserError, match=r"validation: holds .* tokens, but a prompt asks for"):
        corpus.span(generator("test"), corpus.tokens + 1)
