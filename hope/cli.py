"""The command line: every step of the workflow, and what a user asks of a study."""

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from hope import __version__, commands, steps
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
    except BrokenPipeError:
        # Whoever read the output, such as head, has seen enough. Without this, Python complains at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
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


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    """Return a reader of numbers above 0."""

    def read(text: str) -> float:
        number = kind(text)
        if not 0 < number < float("inf"):
            raise argparse.ArgumentTypeError(f"'{text}' is not above 0")
        return number

    read.__name__ = getattr(kind, "__name__", "number")
    return read


def _at_least(fewest: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from ``fewest`` on."""

    def read(text: str) -> int:
        number = int(text)
        if number < fewest:
            raise argparse.ArgumentTypeError(f"'{text}' is below {fewest}")
        return number

    read.__name__ = "number"
    return read


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hope", description="Reproduction of HoPE, step by step.")
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="step", required=True, metavar="STEP")

    def step(name: str, command: Command, *flags: str) -> argparse.ArgumentParser:
        """Add a step, told by the first line of its docstring.

        Each of ``flags`` is a required option that takes a path, or text for --settings.
        """
        told = (command.__doc__ or "").partition("\n")[0]
        sub = subparsers.add_parser(name, help=told[:1].lower() + told[1:].rstrip("."), description=told)
        for flag in flags:
            sub.add_argument(f"--{flag}", required=True, type=str if flag == "settings" else Path)
        sub.set_defaults(command=command)
        return sub

    def config(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--configfile", nargs="+", type=Path, default=[], help="overlays of config.yaml, in order")

    config(step("check", commands.check))
    plan = step("plan", commands.plan)
    config(plan)
    plan.add_argument("--gpus", type=_positive(int), help="devices in all (as many as one training takes)")
    plan.add_argument("--gpu", help="reckon with one kind of device, by name (all that are known)")
    plan.add_argument("--flops", type=_positive(float), metavar="TFLOP/S", help="peak of another device")
    plan.add_argument("--memory", type=_positive(float), metavar="GIB", help="memory of that device")
    plan.add_argument("--utilisation", type=_positive(float), metavar="SHARE", help="share of the peak reached (0.4)")
    plan.add_argument("--cpu", action="store_true", help="reckon for CPUs, where the precision speaks of a GPU")
    plan.add_argument("--tokens-per-second", type=_positive(float), help="speed of one training, as it was measured")
    plan.add_argument("--vocabulary", type=_positive(int), help="token ids, where the config does not tell")
    plan.add_argument("--json", action="store_true", help="print everything as JSON: bytes, FLOPs, hours")
    config(step("encodings", commands.encodings))
    atlas = step("atlas", commands.atlas)
    atlas.add_argument("output", type=Path, help="folder of the page; docs for the project's own")
    config(atlas)
    contract = step("check-encoding", commands.check_encoding)
    contract.add_argument("encoding", help="module:Class of your own, or a name that `encodings` lists")
    contract.add_argument("--settings", default="{}", help="its settings, as JSON")
    step("schema", commands.schema)
    step("defaults", commands.defaults)
    status = step("status", commands.status)
    status.add_argument("study", nargs="?", type=Path, help="name of a study, or its folder; else that of the config")
    config(status)
    run = step("reproduce", commands.reproduce)
    config(run)
    run.add_argument("--cores", default="all", help="cores to use")
    run.add_argument("rest", nargs=argparse.REMAINDER, help="after --: further options of snakemake")
    export = step("export", commands.export)
    export.add_argument("model", type=Path, help="folder of a trained model")
    export.add_argument("output", type=Path, help="the new folder")
    export.add_argument("--format", choices=("llama", "partial-rotary", "gguf"), default="llama")
    export.add_argument("--tokenizer", help="folder of the model's tokenizer, or 'none'; that of its study if left out")
    bring = step("import", commands.import_)
    bring.add_argument("checkpoint", type=Path, help="folder with config.json and safetensors")
    bring.add_argument("output", type=Path, help="the new folder")
    bring.add_argument("--length", type=int, help="training length in tokens; max_position_embeddings if left out")
    bring.add_argument("--data", type=Path, help="a study's data folder whose special tokens the model is to get")
    look = step("analyze", commands.analyze)
    look.add_argument("checkpoint", type=Path, help="folder of a trained model, or with config.json and safetensors")
    look.add_argument("--text", nargs="+", required=True, help="files, folders or globs: .txt .md .jsonl .parquet")
    look.add_argument("--output", type=Path, help="the new folder (analysis-NAME)")
    look.add_argument("--length", type=_positive(int), help="tokens of a window (the training length, at most 512)")
    look.add_argument("--field", default="text", help="field that holds the text in .jsonl and .parquet (text)")
    look.add_argument("--documents", type=_at_least(2), default=8, help="windows of text looked at (8)")
    ui = step("ui", commands.ui)
    ui.add_argument("study", type=Path, help="name of a study, or its folder")
    ui.add_argument("--port", type=int, default=5000)
    sync = step("sync", commands.sync)
    sync.add_argument("study", type=Path, help="name of a study, or its folder")
    sync.add_argument("--uri", default="", help="another MLflow server than the study's own store")

    step("resolve", steps.resolve, "settings", "output")
    step("prepare-corpus", steps.prepare_corpus, "settings", "output")
    step("tokenize", steps.tokenize, "settings", "corpus", "output")
    step("check-lengths", steps.check_lengths, "settings", "data", "output")
    init = step("init-tracking", steps.init_tracking, "study", "output")
    init.add_argument("--uri", default="")
    train = step("train", steps.train, "settings", "data", "output", "checkpoints")
    train.add_argument("--tracking", default="", help="tracking store for live metrics")
    train.add_argument("--launch", default="{}", help="settings of the training that say where it runs, as JSON")
    step("analyze-attention", steps.analyze_attention, "settings", "model", "data", "output")
    step("analyze-dynamics", steps.analyze_dynamics, "settings", "model", "data", "output")
    step("theory", steps.theory, "settings", "output")
    step("extrapolate", steps.extrapolate, "settings", "model", "data", "output")
    step("retrieve", steps.retrieve, "settings", "model", "data", "output")
    step("judge", steps.judge, "study", "claims")
    step("draw", steps.draw, "study")
    step("notebook", steps.notebook, "template", "study", "output", "work")
    step("report", steps.report, "study")
    return parser
