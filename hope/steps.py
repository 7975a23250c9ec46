"""The steps of the workflow, as the command line calls them: what each reads, does and records."""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hope.paths import SNAPSHOTS


@contextmanager
def _recorded(
    options: argparse.Namespace, name: str, settings: dict, inputs: list[Path], *kinds: str
) -> Iterator[None]:
    """Run a stage and, once it has succeeded, write its provenance beside its outputs.

    Args:
        options: name the step and the folder of its outputs.
        name: file of the provenance.
        settings: what the stage was asked.
        inputs: files and folders that it reads.
        kinds: names of its outputs, as patterns: another stage may write into the same folder.
    """
    from hope.files import write_json
    from hope.tracking.provenance import record

    started = time.time()
    yield
    outputs = sorted(path for kind in kinds for path in options.output.glob(kind))
    write_json(options.output / name, record(options.step, settings, inputs, outputs, started))


def prepare_corpus(options: argparse.Namespace) -> None:
    """Collect, clean and split the documents."""
    from hope.config import Corpus, from_json
    from hope.data.corpus import prepare_corpus

    prepare_corpus(from_json(Corpus, options.settings), options.output)


def tokenize(options: argparse.Namespace) -> None:
    """Fit or load a tokenizer and write token shards."""
    from hope.config import Tokens, from_json
    from hope.data.tokenize import tokenize_corpus

    tokenize_corpus(from_json(Tokens, options.settings), options.corpus, options.output)


def check_lengths(options: argparse.Namespace) -> None:
    """See that the held-out documents are long enough."""
    from hope.config import LengthStage, from_json
    from hope.data.windows import check_lengths
    from hope.files import write_json

    found = check_lengths(from_json(LengthStage, options.settings), options.data)
    write_json(options.output, found)


def init_tracking(options: argparse.Namespace) -> None:
    """Make the tracking store."""
    from hope.files import write_json
    from hope.tracking.store import initialise

    initialise(options.study, options.uri or None)
    write_json(options.output, {"uri": options.uri or "embedded"})


def train(options: argparse.Namespace) -> None:
    """Train one model."""
    from hope.config import Training, TrainStage, from_json
    from hope.training.launch import launch

    settings = from_json(TrainStage, options.settings)
    place = {**settings.training.model_dump(), **json.loads(options.launch)}
    settings = settings.model_copy(update={"training": from_json(Training, json.dumps(place))})
    dumped = settings.model_dump(mode="json", by_alias=True)
    outputs = ("model.safetensors", "config.json", "history.parquet", f"{SNAPSHOTS}/*.safetensors")
    with _recorded(options, "run.json", dumped, [options.data / "train"], *outputs):
        if not launch(settings, options.data, options.output, options.checkpoints, options.tracking):
            raise SystemExit(0)  # the record is kept by the first process of the training


def analyze_attention(options: argparse.Namespace) -> None:
    """Look into the attention of one model of a study."""
    from hope.analysis.attention import analyze
    from hope.config import Analysis, from_json

    settings = from_json(Analysis, options.settings)
    names = "profile", "ushape", "divergence", "components", "activation", "kernel_trained", "intervention"
    inputs, tables = [options.model, options.data], [f"{name}.parquet" for name in names]
    with _recorded(options, "provenance.json", settings.model_dump(), inputs, *tables):
        analyze(settings, options.model, options.data, options.output)


def analyze_dynamics(options: argparse.Namespace) -> None:
    """Look into the attention of one model at moments of its training."""
    from hope.analysis.dynamics import write_dynamics
    from hope.config import DynamicsStage, from_json

    settings = from_json(DynamicsStage, options.settings)
    snapshots = sorted((options.model / SNAPSHOTS).glob("*.safetensors"))
    inputs = [options.model, *snapshots, options.data]
    with _recorded(options, "dynamics.json", settings.model_dump(), inputs, "dynamics.parquet"):
        write_dynamics(settings, options.model, options.data, options.output)


def theory(options: argparse.Namespace) -> None:
    """Compute the decay of the rotary kernels."""
    from hope.analysis.theory import write_kernel
    from hope.config import TheoryStage, from_json

    settings = from_json(TheoryStage, options.settings)
    with _recorded(options, "provenance.json", settings.model_dump(), [], "*.parquet"):
        write_kernel(settings.encodings, settings.head_dim, settings.length, options.output)


def extrapolate(options: argparse.Namespace) -> None:
    """Measure the loss past the training length."""
    from hope.config import ExtrapolationStage, from_json
    from hope.evaluation.extrapolation import extrapolate

    settings = from_json(ExtrapolationStage, options.settings)
    outputs = ("extrapolation.parquet", "context.parquet", "strided.parquet")
    with _recorded(options, "extrapolation.json", settings.model_dump(), [options.model, options.data], *outputs):
        extrapolate(settings.extrapolation, settings.windows, options.model, options.data, options.output)


def retrieve(options: argparse.Namespace) -> None:
    """Score the retrieval tasks."""
    from hope.config import RetrievalStage, from_json
    from hope.evaluation.retrieval import retrieve

    settings = from_json(RetrievalStage, options.settings)
    dumped = settings.model_dump(by_alias=True)
    with _recorded(options, "retrieval.json", dumped, [options.model, options.data], "retrieval.parquet"):
        retrieve(settings, options.model, options.data, options.output)


def resolve(options: argparse.Namespace) -> None:
    """Write the resolved config."""
    from hope.config import Study, from_json
    from hope.files import write_json

    write_json(options.output, from_json(Study, options.settings).model_dump(mode="json", by_alias=True))


def judge(options: argparse.Namespace) -> None:
    """Compute tables and judge the claims."""
    from hope.reporting.claims import judge
    from hope.reporting.endpoints import write_endpoints

    write_endpoints(options.study)
    judge(options.study, options.claims)


def draw(options: argparse.Namespace) -> None:
    """Draw the figures."""
    from hope.reporting.figures.draw import draw

    draw(options.study)


def notebook(options: argparse.Namespace) -> None:
    """Run a notebook and render it to HTML."""
    from hope.reporting.articles.notebooks import render

    render(options.template, options.study, options.output, options.work)


def report(options: argparse.Namespace) -> None:
    """Write the final report."""
    from hope.reporting.page.write import write_report

    write_report(options.study)
