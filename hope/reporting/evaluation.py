"""Evaluation of any model on the user's own text: losses past its length, extensions, retrieval; tables and a page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hope import config
from hope.analysis.text_windows import FEWEST
from hope.config.extensions import LinearScaling, Ntk, Yarn
from hope.data.tokenizer import SPECIAL, vocabulary_size
from hope.encodings.extensions import refusal
from hope.errors import UserError
from hope.evaluation.extrapolation import write_extrapolation
from hope.evaluation.pass_cost import cost_of_passes
from hope.evaluation.retrieval import write_retrieval
from hope.files import sha256_of_json, write_json, write_text
from hope.interchange.opening import Opened, open_checkpoint
from hope.model.bounded_passes import whole_work
from hope.model.kept import Kept
from hope.model.language_model import LanguageModel
from hope.model.loading import trained_tasks
from hope.paths import StudyPaths
from hope.reporting.on_text import draw_pictures, facts_of, name_of, read_texts, resumed_folder, study_of, windows_of
from hope.reporting.page.evaluation import PICTURES, evaluation_page
from hope.reporting.study_tables import StudyTables
from hope.tasks import Task, Vocabulary, build_task
from hope.tracking.provenance import code_digest

MINUTES, DOCUMENTS = 20.0, 4
"""Default time, and default number of windows."""
MULTIPLES = (8, 4, 2, 1)
"""Lengths that are tried, in training lengths, the longest first."""
CONTEXTS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
SHORTEST, TARGETS, PROMPTS = 64, 64, 20
"""Shortest length in tokens, fixed target tokens of a window, and prompts per task and length."""
TASKS = ("copy_text", "induction", "recall", "passkey", "needle")
PROMPT_LENGTHS = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0)
DEPTHS = [0.0, 0.25, 0.5, 0.75, 1.0]
REMEDY = "its weights are finite, so it overflows on this text: give another text, or lower --minutes for shorter ones"
LOSSES, EXTENSIONS, RETRIEVAL = 0.5, 0.25, 0.25
"""Shares of the time."""


@dataclass(frozen=True)
class Plan:
    """What the time and the text allow.

    Attributes:
        length: L of the evaluation: the training length, or less if not even that can be read.
        longest: tokens of the longest window, in L.
        extensions: the length extensions to measure.
        prompts: prompt lengths, in L.
        seconds: the time that this should take.
        left_out: what is not measured, with the reason.
    """

    length: int
    longest: int
    extensions: list[config.Extension]
    prompts: list[float]
    seconds: float
    left_out: list[str]


@dataclass(frozen=True)
class Texts:
    """Documents that prompts take real text from."""

    documents: Sequence[NDArray[np.int64]]

    def span(self, random: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Return ``count`` neighbouring tokens from a random place of a document that is long enough.

        Raises:
            UserError: no document is.
        """
        room = np.array([max(0, len(document) - count + 1) for document in self.documents])
        if not room.sum():
            raise UserError(f"--text: no document has the {count:,} tokens of a prompt's text")
        place = int(random.integers(room.sum()))
        index = int(np.searchsorted(room.cumsum(), place, side="right"))
        first = place - int(room[:index].sum())
        return self.documents[index][first : first + count]


def evaluate_checkpoint(
    checkpoint: Path,
    text: list[str],
    output: Path,
    minutes: float = MINUTES,
    documents: int = DOCUMENTS,
    length: int | None = None,
    field: str = "text",
) -> str:
    """Evaluate a model on the user's texts; write tables, figures and a page.

    A call that is stopped keeps what it has measured beside ``output``; the same call goes on from there.

    Args:
        checkpoint: folder of a model of a study, or of a stock checkpoint.
        text: files, folders or globs: .txt, .md, .jsonl and .parquet.
        output: the new folder.
        minutes: time that the passes may take, about; it sets how far past the training length they go.
        documents: number of windows.
        length: the training length, for a stock checkpoint whose config names none.
        field: the field or column of the text in .jsonl and .parquet.

    Returns:
        One line with the path of the page.

    Raises:
        UserError: the checkpoint or a text cannot be read, there is too little text, ``length`` is not that of the
            config, ``output`` exists, or another process writes it.
    """
    texts = read_texts(text, field, output)
    opened = open_checkpoint(checkpoint, length)
    model, trained = opened.model, opened.model.training_length
    if length not in (None, trained):
        raise UserError(
            f"--length: {length:,} tokens, but {checkpoint / 'config.json'} names a training length of {trained:,}; "
            "leave --length out"
        )
    encoded = opened.encode(texts)
    tasks = _tasks(opened, Texts(encoded))
    drawn_from = tasks.vocabulary.size, tasks.vocabulary.special
    digest = sha256_of_json([ids.tolist() for ids in encoded])
    # What the kept passes depend on.
    key = [opened.files, trained, opened.start, drawn_from, digest, minutes, documents, code_digest("evaluate")]
    with resumed_folder(output, sha256_of_json(key)) as temporary:
        kept = Kept(temporary / "kept")
        cost = cost_of_passes(model, kept)
        reaches = _reaches(trained, model.encoding.longest)
        reaches = _affordable(reaches, trained, documents, cost, minutes)
        given = windows_of(encoded, opened.start, documents, reaches, FEWEST)
        longest_text = len(opened.start) + max(map(len, encoded))
        plan = _plan(model, given.length, len(given.windows), cost, minutes, tasks, longest_text)
        model.training_length = plan.length
        measured = {
            "extrapolation": {
                "documents": len(given.windows),
                "windows": 1,
                "longest": plan.longest,
                "contexts": [multiple for multiple in CONTEXTS if multiple <= plan.longest],
                "targets": min(TARGETS, plan.length // 4),
                "extensions": [extension.model_dump() for extension in plan.extensions],
            },
            "retrieval": {"tasks": list(tasks.built), "multiples": plan.prompts or [1.0], "prompts": PROMPTS},
            "tasks": {name: {"depths": DEPTHS} for name in ("passkey", "needle")},
        }
        study = study_of(checkpoint, opened, trained, plan.length, f"The losses of {name_of(checkpoint)}", measured)
        paths, arm = StudyPaths(temporary), study.arms[config.MAIN]
        write_json(paths.config, study.model_dump(mode="json", by_alias=True))
        folder = paths.run(config.MAIN, opened.encoding.name, 0).evaluation
        start = opened.start[0] if opened.start else None
        print(f"evaluation: windows of {given.length:,} tokens; about {plan.seconds / 60:.0f} minutes", flush=True)
        with whole_work("evaluation", plan.seconds, cost):
            windows = given.windows, given.sources, start
            write_extrapolation(arm.extrapolation, model, checkpoint, *windows, folder, kept, REMEDY)
            if plan.prompts and tasks.built:
                known = trained_tasks(checkpoint) if opened.trained_here else []
                asked = arm.retrieval_stage(), model, checkpoint, tasks.vocabulary, Texts(encoded)
                write_retrieval(*asked, folder, known, kept=kept, start=start)
        tables = StudyTables(temporary).arms[config.MAIN]
        draw_pictures(tables, PICTURES)
        facts = facts_of(opened, given) | {"trained_length": trained, "left_out": plan.left_out + tasks.left_out}
        write_text(paths.report / "index.html", evaluation_page(tables, facts | {"reach": given.length}))
    return f"report: {output / 'report' / 'index.html'}"


def _reaches(trained: int, longest: int | None) -> list[int]:
    """Return the lengths of windows that are tried, in tokens, falling: 8, 4, 2, 1, 1/2, ... training lengths."""
    reaches = [multiple * trained for multiple in MULTIPLES]
    while reaches[-1] // 2 >= SHORTEST:
        reaches.append(reaches[-1] // 2)
    fitting = [reach for reach in reaches if longest is None or reach <= longest]
    return fitting or [longest or trained]


def _of_losses(reach: int, trained: int, cost: Callable[[int], float]) -> float:
    """Return the seconds of one window: one pass over all of it, and one per shorter context."""
    length = min(trained, reach)
    contexts = [round(multiple * length) for multiple in CONTEXTS]
    return cost(reach) + sum(cost(context) for context in contexts if context < reach)


def _affordable(
    reaches: list[int], trained: int, windows: int, cost: Callable[[int], float], minutes: float
) -> list[int]:
    """Return the lengths that the time allows; the shortest, if it allows none."""
    budget = LOSSES * 60 * minutes
    return [reach for reach in reaches if windows * _of_losses(reach, trained, cost) <= budget] or reaches[-1:]


def _plan(
    model: LanguageModel,
    reach: int,
    windows: int,
    cost: Callable[[int], float],
    minutes: float,
    tasks: "BoundTasks",
    longest_text: int,
) -> Plan:
    """Return what the time allows, with windows of ``reach`` tokens."""
    trained = model.training_length
    length, left_out = min(trained, reach), list[str]()
    longest = reach // length
    if longest < MULTIPLES[0]:
        ends = model.encoding.longest is not None and model.encoding.longest <= reach
        why = "the model has no more positions" if ends else "the time (--minutes) or the documents allow no more"
        left_out.append(f"Windows of more than {reach:,} tokens: {why}.")
    each = windows * _of_losses(reach, trained, cost)
    seconds, extensions = each, list[config.Extension]()
    factor = float(longest)
    tried = (
        Yarn(kind="yarn", factor=factor),
        Ntk(kind="ntk", factor=factor),
        LinearScaling(kind="linear", factor=factor),
    )
    for extension in tried if longest > 1 else ():
        reason = (
            "the model's own frequencies change with the length of the text"
            if model.encoding.span is not None
            else refusal(model.encoding, extension)
        )
        if reason is None and (len(extensions) + 1) * each > EXTENSIONS * 60 * minutes:
            reason = "there is no time for it (--minutes)"
        if reason is None:
            extensions.append(extension)
            seconds += each
        else:
            left_out.append(f"The length extension {extension.label}: {reason}.")
    if longest == 1:
        left_out.append("Length extensions: no window is longer than L.")
    prompts, spent = list[float](), 0.0
    for multiple in PROMPT_LENGTHS:
        tokens = round(multiple * length)
        more = len(tasks.built) * PROMPTS * cost(tokens)
        if multiple > longest or tokens < tasks.shortest or tokens > longest_text:
            continue
        if spent + more > RETRIEVAL * 60 * minutes:
            left_out.append(f"Prompts of {tokens:,} tokens and more: there is no time for them (--minutes).")
            break
        prompts.append(multiple)
        spent += more
    if tasks.built and not prompts:
        left_out.append("Retrieval tasks: no prompt length fits into the windows and the time (--minutes).")
    return Plan(length, longest, extensions, prompts, seconds + spent, left_out)


@dataclass(frozen=True)
class BoundTasks:
    """The retrieval tasks that fit a tokenizer.

    Attributes:
        vocabulary: the tokens that they draw from.
        built: the tasks by name.
        left_out: the others, with the reason.
        start: number of tokens that a prompt begins with before those of the task.
    """

    vocabulary: Vocabulary
    built: dict[str, Task]
    left_out: list[str]
    start: int

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt that all of them have."""
        longest = max((task.settings.shortest for task in self.built.values()), default=0)  # type: ignore[attr-defined]
        return longest + self.start


def _tasks(opened: Opened, text: Texts) -> BoundTasks:
    """Return the retrieval tasks over the model's own tokens."""
    vocabulary = Vocabulary(vocabulary_size(opened.tokenizer), _special(opened))
    built: dict[str, Task] = {}
    left_out = []
    for name in TASKS:
        definition = config.Tasks().task(name)
        try:
            built[name] = build_task(name, definition, vocabulary, text)
        except UserError:
            left_out.append(f"The task {name}: the tokenizer has too few tokens for it.")
    return BoundTasks(vocabulary, built, left_out, len(opened.start))


def _special(opened: Opened) -> dict[str, int]:
    """Return the ids that tasks do not draw from: the separator, the mark of a question, and the special tokens.

    A stock tokenizer has neither of the first two: a line break and a question mark stand for them.
    """
    added = opened.tokenizer.get_added_tokens_decoder()
    special = {token.content: index for index, token in added.items() if token.special}
    if opened.trained_here:
        return special | {role: special[content] for role, content in SPECIAL.items()}
    marks = []
    for content in ("\n", "?"):
        ids = opened.encode([content])[0]
        marks.append(int(ids[-1]) if len(ids) else None)
    last = vocabulary_size(opened.tokenizer)
    free = (index for index in range(last - 1, -1, -1) if index not in {*special.values(), *marks})
    separator, query = (next(free) if mark is None else mark for mark in marks)
    return special | {"separator": separator, "query": next(free) if query == separator else query}
