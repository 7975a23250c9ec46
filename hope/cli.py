"""The command line: every step of the workflow, and what a user asks of a study."""

import argparse
import errno
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hope import __version__
from hope.errors import UserError

Command = Callable[[argparse.Namespace], int | None]


def main(arguments: list[str] | None = None) -> int:
    """Run one step; return its exit status: 0, 1 for an error, 2 for a wrong command line.

    An error that the user can mend is one line; only an error of the program's own shows a traceback.
    """
    options = _parser().parse_args(arguments)
    command: Command = options.command
    try:
        return command(options) or 0
    except UserError as error:
        return _fail(str(error))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _fail(f"{error.filename or 'the results folder'}: the disk is full; free some space and run again")
        if error.errno in (errno.EACCES, errno.EROFS):
            return _fail(f"{error.filename}: not writable; mend its permissions and run again")
        traceback.print_exc()
        return 1
    except KeyboardInterrupt:
        return _fail("stopped by the keyboard; run again to go on")


def _fail(line: str) -> int:
    print(f"hope: error: {line}", file=sys.stderr, flush=True)
    return 1


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


def _check(options: argparse.Namespace) -> None:
    from hope.reproduce import check

    study = check(options.configfile)
    print(f"{study.study}: {len(study.encodings)} encodings, {len(study.runs())} models: the config is right")


def _schema(options: argparse.Namespace) -> None:
    from hope.config import Study

    print(json.dumps(Study.model_json_schema(by_alias=True), indent=2, sort_keys=True))


def _encodings(options: argparse.Namespace) -> None:
    from hope.catalogue import FAMILIES

    rows = [
        (family.name, ", ".join(family.settings.model_fields) or "-", family.formula, family.source)
        for family in FAMILIES.values()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in [("name", "settings", "formula", "source"), *rows]:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]))


def _prepare_corpus(options: argparse.Namespace) -> None:
    from hope.config import Corpus, from_json
    from hope.data.corpus import prepare_corpus

    prepare_corpus(from_json(Corpus, options.settings), options.output)


def _tokenize(options: argparse.Namespace) -> None:
    from hope.config import Tokens, from_json
    from hope.data.tokenize import tokenize_corpus

    tokenize_corpus(from_json(Tokens, options.settings), options.corpus, options.output)


def _check_lengths(options: argparse.Namespace) -> None:
    from hope.config import LengthStage, from_json
    from hope.data.windows import check_lengths
    from hope.files import write_json

    found = check_lengths(from_json(LengthStage, options.settings), options.data)
    write_json(options.output, found)


def _init_tracking(options: argparse.Namespace) -> None:
    from hope.files import write_json
    from hope.tracking.store import initialise

    initialise(options.study, options.uri or None)
    write_json(options.output, {"uri": options.uri or "embedded"})


def _train(options: argparse.Namespace) -> None:
    from hope.config import TrainStage, from_json
    from hope.training.launch import launch

    settings = from_json(TrainStage, options.settings)
    dumped = settings.model_dump(mode="json", by_alias=True)
    outputs = ("model.safetensors", "config.json", "history.parquet")
    with _recorded(options, "run.json", dumped, [options.data / "train"], *outputs):
        launch(settings, options.data, options.output, options.checkpoints, options.tracking)


def _analyze(options: argparse.Namespace) -> None:
    from hope.analysis.attention import analyze
    from hope.config import Analysis, from_json

    settings = from_json(Analysis, options.settings)
    with _recorded(options, "provenance.json", settings.model_dump(), [options.model, options.data], "*.parquet"):
        analyze(settings, options.model, options.data, options.output)


def _theory(options: argparse.Namespace) -> None:
    from hope.analysis.theory import write_kernel
    from hope.config import TheoryStage, from_json

    settings = from_json(TheoryStage, options.settings)
    with _recorded(options, "provenance.json", settings.model_dump(), [], "*.parquet"):
        write_kernel(settings.encodings, settings.head_dim, settings.length, options.output)


def _extrapolate(options: argparse.Namespace) -> None:
    from hope.config import ExtrapolationStage, from_json
    from hope.evaluation.extrapolation import extrapolate

    settings = from_json(ExtrapolationStage, options.settings)
    outputs = ("extrapolation.parquet", "context.parquet")
    with _recorded(options, "extrapolation.json", settings.model_dump(), [options.model, options.data], *outputs):
        extrapolate(settings.extrapolation, settings.windows, options.model, options.data, options.output)


def _retrieve(options: argparse.Namespace) -> None:
    from hope.config import RetrievalStage, from_json
    from hope.evaluation.retrieval import retrieve

    settings = from_json(RetrievalStage, options.settings)
    dumped = settings.model_dump(by_alias=True)
    with _recorded(options, "retrieval.json", dumped, [options.model, options.data], "retrieval.parquet"):
        retrieve(settings, options.model, options.data, options.output)


def _resolve(options: argparse.Namespace) -> None:
    from hope.config import Study, from_json
    from hope.files import write_json

    write_json(options.output, from_json(Study, options.settings).model_dump(mode="json", by_alias=True))


def _judge(options: argparse.Namespace) -> None:
    from hope.reporting.claims import judge
    from hope.reporting.endpoints import write_endpoints

    write_endpoints(options.study)
    judge(options.study, options.claims)


def _draw(options: argparse.Namespace) -> None:
    from hope.reporting.figures import draw

    draw(options.study)


def _notebook(options: argparse.Namespace) -> None:
    from hope.reporting.notebooks import render

    render(options.template, options.study, options.output, options.work)


def _report(options: argparse.Namespace) -> None:
    from hope.reporting.page import write_report

    write_report(options.study)


def _sync(options: argparse.Namespace) -> None:
    from hope.tracking.store import sync

    sync(options.study, options.uri or None)


def _ui(options: argparse.Namespace) -> None:
    from hope.tracking.server import serve

    serve(options.study, options.port)


def _reproduce(options: argparse.Namespace) -> int:
    from hope.reproduce import reproduce

    return reproduce(options.configfile, options.cores, options.rest)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hope", description="Reproduction of HoPE, step by step.")
    parser.add_argument("--version", action="version", version=__version__)
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")

    def step(name: str, command: Command, help: str, *flags: str) -> argparse.ArgumentParser:
        """Add a step; each of ``flags`` is a required option that takes a path, or text for --settings."""
        sub = steps.add_parser(name, help=help, description=help)
        for flag in flags:
            sub.add_argument(f"--{flag}", required=True, type=str if flag == "settings" else Path)
        sub.set_defaults(command=command)
        return sub

    def config(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--configfile", nargs="+", type=Path, default=[], help="overlays of config.yaml, in order")

    config(step("check", _check, "check a config and say what it describes"))
    step("encodings", _encodings, "list the positional encodings")
    step("schema", _schema, "print the JSON schema of the config")
    run = step("reproduce", _reproduce, "run the study to its final report, from wherever it was stopped")
    config(run)
    run.add_argument("--cores", default="all", help="cores to use")
    run.add_argument("rest", nargs=argparse.REMAINDER, help="after --: further options of snakemake")
    ui = step("ui", _ui, "open the MLflow UI on a study, on this machine only")
    ui.add_argument("study", type=Path, help="name of a study, or its folder")
    ui.add_argument("--port", type=int, default=5000)
    sync = step("sync", _sync, "bring the tracking store in line with a study's files")
    sync.add_argument("study", type=Path, help="name of a study, or its folder")
    sync.add_argument("--uri", default="", help="another MLflow server than the study's own store")

    step("resolve", _resolve, "write the resolved config", "settings", "output")
    step("prepare-corpus", _prepare_corpus, "collect, clean and split the documents", "settings", "output")
    step("tokenize", _tokenize, "fit or load a tokenizer and write token shards", "settings", "corpus", "output")
    step(
        "check-lengths", _check_lengths, "see that the held-out documents are long enough", "settings", "data", "output"
    )
    init = step("init-tracking", _init_tracking, "make the tracking store", "study", "output")
    init.add_argument("--uri", default="")
    train = step("train", _train, "train one model", "settings", "data", "output", "checkpoints")
    train.add_argument("--tracking", default="", help="tracking store for live metrics")
    step("analyze", _analyze, "look into the attention of one model", "settings", "model", "data", "output")
    step("theory", _theory, "compute the decay of the rotary kernels", "settings", "output")
    step(
        "extrapolate", _extrapolate, "measure the loss past the training length", "settings", "model", "data", "output"
    )
    step("retrieve", _retrieve, "score the retrieval tasks", "settings", "model", "data", "output")
    step("judge", _judge, "compute tables and judge the claims", "study", "claims")
    step("draw", _draw, "draw the figures", "study")
    step("notebook", _notebook, "run a notebook and render it to HTML", "template", "study", "output", "work")
    step("report", _report, "write the final report", "study")
    return parser
