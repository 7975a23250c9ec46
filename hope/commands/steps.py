"""The steps of the workflow: the inputs, work, outputs and record of each."""

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hope.commands.declaration import COMMANDS, argument, at_least, command, required
from hope.paths import SNAPSHOTS, StudyPaths, cost_file

if TYPE_CHECKING:
    from hope.config import Corpus, Section

SETTINGS = required("--settings", "this step's part of the config, as JSON", str)
DATA = required("--data", "the study's folder of tokens")
STUDY_FOLDER = required("--study", "folder of the study's results")
FOLDER = required("--output", "folder of the results")
FILE = required("--output", "the file to write")
CORPUS = required("--corpus", "folder of the split documents")
PART = required("--part", "number of the part, from 0", int)
PREPARATION = argument("--preparation", default="{}", help="settings that change no document, as JSON")
SPLITS = {"train": "train/manifest.json", "validation": "validation/manifest.json"}
"""What every writer of tokens writes."""
ON_MODEL = (SETTINGS, required("--model", "folder of a trained model"), DATA, FOLDER)

ROTARY_TABLES = {
    "components": "components.parquet",
    "activation": "activation.parquet",
    "kernel": "kernel_trained.parquet",
    "intervention": "intervention.parquet",
}
"""Tables that the attention analysis writes only for rotary encodings."""


@contextmanager
def _recorded(options: argparse.Namespace, settings: "Section", inputs: list[Path], *more: str) -> Iterator[None]:
    """Run a step and, if it succeeds, write its provenance beside its outputs.

    Args:
        options: the command line, with the step's name and output folder.
        settings: the step's part of the config.
        inputs: files and folders that it reads.
        more: patterns of further outputs that the step does not declare.
    """
    from hope.files import write_json
    from hope.tracking.provenance import record

    started = time.time()
    yield
    declared = COMMANDS[options.step]
    names = [*declared.outputs.values(), *more]
    outputs = sorted(path for name in names for path in options.output.glob(name))
    content = settings.model_dump(mode="json", by_alias=True)
    write_json(options.output / declared.record, record(options.step, content, inputs, outputs, started))


@contextmanager
def _measured(options: argparse.Namespace, settings: "Section", inputs: list[Path]) -> Iterator[None]:
    """Run a step that computes with a trained model, on one GPU if there is one, and write its provenance."""
    from hope.training.devices import spare_device

    with spare_device(), _recorded(options, settings, inputs):
        yield


@contextmanager
def _timed(options: argparse.Namespace, folder: Path, name: str = "", outputs: Sequence[str] = ()) -> Iterator[None]:
    """Run a step without a record and, if it succeeds, write its cost into ``folder``.

    Args:
        options: the command line, with the step's name.
        folder: for the cost.
        name: of the job, if the folder holds the outputs of several.
        outputs: files whose digests are noted, for the steps that read them; patterns relative to ``folder``.
    """
    from hope.files import digests_of, write_json
    from hope.tracking.provenance import cost

    started, path = time.time(), cost_file(folder, options.step, name)
    path.unlink(missing_ok=True)
    yield
    written = [file for pattern in outputs for file in sorted(folder.glob(pattern))]
    write_json(path, {"stage": options.step, **cost(started), "outputs": digests_of(written, folder.parent)})


@command(SETTINGS, FILE)
def resolve(options: argparse.Namespace) -> None:
    """Write the resolved config."""
    from hope.config import Study, as_config, from_json
    from hope.files import write_json

    write_json(options.output, as_config(from_json(Study, options.settings)))


@command(
    SETTINGS,
    PREPARATION,
    PART,
    FOLDER,
    texts="texts.parquet",
    lines="lines.parquet",
    runs="runs.parquet",
    phrases="phrases.parquet",
    description="part.json",
)
def read_part(options: argparse.Namespace) -> None:
    """Read and clean one part of the documents."""
    from hope.data.parts import read_part

    with _timed(options, options.output):
        read_part(_corpus(options), options.part, options.output)


@command(SETTINGS, PREPARATION, FOLDER, documents="documents.parquet", corpus="corpus.json")
def prepare_corpus(options: argparse.Namespace) -> None:
    """Clean and split the documents; read them first if that has not been done."""
    from hope.data.corpus import prepare_corpus

    with _timed(options, options.output):
        prepare_corpus(_corpus(options), options.output)


def _corpus(options: argparse.Namespace) -> "Corpus":
    """Return the corpus that the command line gives, with how it is prepared."""
    from hope.config import Corpus, from_json

    given = json.loads(options.settings) | json.loads(options.preparation)
    return from_json(Corpus, json.dumps(given))


@command(SETTINGS, CORPUS, FOLDER, tokenizer="tokenizer.json", tokenizer_config="tokenizer_config.json")
def fit_tokenizer(options: argparse.Namespace) -> None:
    """Fit or load a tokenizer."""
    from hope.config import Tokens, from_json
    from hope.data.tokenize import fit_on_corpus

    with _timed(options, options.output, outputs=["tokenizer*.json"]):
        fit_on_corpus(from_json(Tokens, options.settings), options.corpus, options.output)


@command(
    CORPUS,
    required("--tokenizer", "folder of the tokenizer"),
    PART,
    argument("--memory-mb", type=at_least(1), default=8_000, help="memory of this job, in MB"),
    FOLDER,
    train="train.bin",
    train_lengths="train.lengths.bin",
    validation="validation.bin",
    validation_lengths="validation.lengths.bin",
    description="tokens.json",
)
def tokenize_part(options: argparse.Namespace) -> None:
    """Tokenize one part of the documents."""
    # Other parts are tokenized beside it, each on one core.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from hope.data.tokenize import tokenize_part

    with _timed(options, options.output):
        tokenize_part(options.corpus, options.part, options.tokenizer, options.output, options.memory_mb)


@command(SETTINGS, CORPUS, FOLDER, unknown="unknown.json", **SPLITS)
def join_tokens(options: argparse.Namespace) -> None:
    """Join the tokens of all parts and write token shards."""
    from hope.config import Tokens, from_json
    from hope.data.tokenize import join_parts

    with _timed(options, options.output):
        join_parts(from_json(Tokens, options.settings), options.corpus, options.output)


@command(
    SETTINGS,
    CORPUS,
    FOLDER,
    tokenizer="tokenizer/tokenizer.json",
    tokenizer_config="tokenizer/tokenizer_config.json",
    unknown="unknown.json",
    **SPLITS,
)
def tokenize(options: argparse.Namespace) -> None:
    """Fit or load a tokenizer and write token shards."""
    from hope.config import Tokens, from_json
    from hope.data.tokenize import tokenize_corpus

    with _timed(options, options.output):
        tokenize_corpus(from_json(Tokens, options.settings), options.corpus, options.output)


@command(
    required("--symbols", "symbols beside the special tokens", at_least(1)),
    FOLDER,
    tokenizer="tokenizer/tokenizer.json",
    tokenizer_config="tokenizer/tokenizer_config.json",
    **SPLITS,
)
def write_symbols(options: argparse.Namespace) -> None:
    """Write a vocabulary of symbols, for models that read no text."""
    from hope.data.symbols import write_symbols

    write_symbols(options.symbols, options.output)


@command(SETTINGS, DATA, FILE)
def check_lengths(options: argparse.Namespace) -> None:
    """Check that the held-out documents are long enough."""
    from hope.config import LengthStage, from_json
    from hope.data.windows import check_lengths
    from hope.files import write_json

    write_json(options.output, check_lengths(from_json(LengthStage, options.settings), options.data))


@command(STUDY_FOLDER, FILE, argument("--uri", default="", help="an MLflow server in place of the study's own store"))
def init_tracking(options: argparse.Namespace) -> None:
    """Create the tracking store."""
    from hope.files import write_json
    from hope.tracking.store import initialise

    initialise(options.study, options.uri or None)
    write_json(options.output, {"uri": options.uri or "embedded"})


@command(
    required("--settings", "this step's part of the config, as JSON, or a file that holds it", str),
    DATA,
    FOLDER,
    required("--checkpoints", "folder of the study's checkpoints"),
    argument("--tracking", default="", help="tracking store for live metrics"),
    argument("--launch", default="{}", help="settings that define where the training runs, as JSON"),
    argument("--rendezvous", default="", help="HOST:PORT where the nodes of this training meet; set by the first one"),
    record="run.json",
    model="model.safetensors",
    config="config.json",
    history="history.parquet",
)
def train(options: argparse.Namespace) -> None:
    """Train one model."""
    from hope.config import Training, TrainStage, from_json
    from hope.files import read_json
    from hope.training.launch import launch
    from hope.training.process import Job

    given = options.settings
    settings = from_json(TrainStage, given if given.startswith("{") else json.dumps(read_json(Path(given))))
    training = {**settings.training.model_dump(), **json.loads(options.launch)}
    settings = settings.model_copy(update={"training": from_json(Training, json.dumps(training))})
    job = Job(settings, options.data, options.output, options.checkpoints, options.tracking)
    with _recorded(options, settings, [options.data / "train"], f"{SNAPSHOTS}/*.safetensors"):
        if not launch(job, options.rendezvous):
            raise SystemExit(0)  # only the first process of the training writes the record
    # Not before the record is written: the workflow deletes the outputs of a job that is killed without one.
    job.remove_checkpoints()


@command(
    *ON_MODEL,
    record="provenance.json",
    profile="profile.parquet",
    ushape="ushape.parquet",
    divergence="divergence.parquet",
    **ROTARY_TABLES,
)
def analyze_attention(options: argparse.Namespace) -> None:
    """Measure where the heads of one model attend."""
    from hope.analysis.attention import analyze
    from hope.config import Analysis, from_json

    settings = from_json(Analysis, options.settings)
    with _measured(options, settings, [options.model, options.data]):
        analyze(settings, options.model, options.data, options.output)


@command(*ON_MODEL, record="dynamics.json", dynamics="dynamics.parquet")
def analyze_dynamics(options: argparse.Namespace) -> None:
    """Measure where the heads of one model attended at several steps of its training."""
    from hope.analysis.dynamics import write_dynamics
    from hope.config import DynamicsStage, from_json

    settings = from_json(DynamicsStage, options.settings)
    snapshots = sorted((options.model / SNAPSHOTS).glob("*.safetensors"))
    with _measured(options, settings, [options.model, *snapshots, options.data]):
        write_dynamics(settings, options.model, options.data, options.output)


@command(
    SETTINGS,
    FOLDER,
    record="provenance.json",
    kernel="kernel.parquet",
    sweep="kernel_sweep.parquet",
    sizes="kernel_sizes.parquet",
)
def theory(options: argparse.Namespace) -> None:
    """Compute the decay of the rotary kernels."""
    from hope.analysis.theory import write_kernel
    from hope.config import TheoryStage, from_json

    settings = from_json(TheoryStage, options.settings)
    with _recorded(options, settings, []):
        write_kernel(settings.encodings, settings.head_dim, settings.length, options.output)


@command(
    *ON_MODEL,
    record="extrapolation.json",
    positions="extrapolation.parquet",
    contexts="context.parquet",
    strided="strided.parquet",
)
def extrapolate(options: argparse.Namespace) -> None:
    """Measure the loss past the training length."""
    from hope.config import ExtrapolationStage, from_json
    from hope.evaluation.extrapolation import extrapolate

    settings = from_json(ExtrapolationStage, options.settings)
    with _measured(options, settings, [options.model, options.data]):
        extrapolate(settings.extrapolation, settings.windows, options.model, options.data, options.output)


@command(*ON_MODEL, record="retrieval.json", scores="retrieval.parquet")
def retrieve(options: argparse.Namespace) -> None:
    """Score the retrieval tasks."""
    from hope.config import RetrievalStage, from_json
    from hope.evaluation.retrieval import retrieve

    settings = from_json(RetrievalStage, options.settings)
    with _measured(options, settings, [options.model, options.data]):
        retrieve(settings, options.model, options.data, options.output)


@command(STUDY_FOLDER, required("--claims", "the file of claims"))
def judge(options: argparse.Namespace) -> None:
    """Compute tables and judge the claims."""
    from hope.reporting.claims import judge
    from hope.reporting.endpoints import write_endpoints

    with _timed(options, StudyPaths(options.study).tables, outputs=["*.parquet", "../claims.json"]):
        write_endpoints(options.study)
        judge(options.study, options.claims)


@command(STUDY_FOLDER)
def draw(options: argparse.Namespace) -> None:
    """Draw the figures."""
    from hope.reporting.figures.draw import draw

    with _timed(options, StudyPaths(options.study).figures):
        draw(options.study)


@command(
    required("--template", "the notebook"),
    STUDY_FOLDER,
    FILE,
    required("--work", "folder to keep a notebook that failed"),
)
def notebook(options: argparse.Namespace) -> None:
    """Run a notebook and render it to HTML."""
    from hope.reporting.articles.notebooks import render

    with _timed(options, options.output.parent, options.output.stem):
        render(options.template, options.study, options.output, options.work)


@command(STUDY_FOLDER)
def report(options: argparse.Namespace) -> None:
    """Write the final report."""
    from hope.reporting.page.write import write_report

    write_report(options.study)
