"""Commands on a study: check its config, estimate its needs, run it, show its progress."""

import argparse
import json
import sys
from pathlib import Path

from hope.commands.declaration import CONFIGFILE, STUDY, argument, command, positive


@command(CONFIGFILE)
def check(options: argparse.Namespace) -> None:
    """Check a config and report its arms and models."""
    from hope.config import load_study, with_base
    from hope.encodings.built import check_own_encodings
    from hope.encodings.listing import same_lines
    from hope.reporting.claims_check import unanswered
    from hope.reporting.detectable import seen_effects
    from hope.study_files import check_study, check_tasks

    study = load_study(with_base(options.configfile))
    files = check_study(study)
    check_tasks(study)
    check_own_encodings(study)
    for line in [*same_lines(study), *unanswered(files.claims, study)]:
        print(f"warning: {line}")
    for name, arm in study.arms.items():
        print(f"{study.study}, arm {name}: {len(arm.encodings)} encodings, {len(arm.runs())} models")
    lines = list(seen_effects(files.claims, study))
    if lines:
        print("\nthe smallest effects that it could see, if its noise is that of the default study:")
        print("\n".join(f"  {line}" for line in lines))
    print(f"{study.study}: {len(study.runs())} models in all: the config is right")


@command(STUDY)
def noise(options: argparse.Namespace) -> None:
    """Print the noise of a study's endpoints, in the format of docs/noise.json."""
    from hope.paths import StudyPaths
    from hope.reporting.detectable import noise_of
    from hope.tracking.store import find_study

    print(json.dumps(noise_of(StudyPaths(find_study(options.study)).claims), indent=1))


@command(
    CONFIGFILE,
    argument("--gpus", type=positive(int), help="devices in all (those of one training)"),
    argument("--gpu", help="estimate for one kind of device, by name (all known kinds)"),
    argument("--flops", type=positive(float), metavar="TFLOP/S", help="peak of another device"),
    argument("--memory", type=positive(float), metavar="GIB", help="memory of that device"),
    argument("--utilisation", type=positive(float), metavar="SHARE", help="share of the peak reached (0.4)"),
    argument("--cpu", action="store_true", help="estimate for CPUs, where the precision implies a GPU"),
    argument("--tokens-per-second", type=positive(float), help="measured speed of one training"),
    argument("--vocabulary", type=positive(int), help="number of token ids, if the config does not define it"),
    argument("--json", action="store_true", help="print everything as JSON: bytes, FLOPs, hours"),
)
def plan(options: argparse.Namespace) -> None:
    """Estimate a study before anything runs: parameters, FLOPs, memory, disk and hours."""
    from hope.config import load_study, with_base
    from hope.plan.estimate import PlanOptions, estimate_plan
    from hope.plan.text import plan_text

    study = load_study(with_base(options.configfile))
    asked = PlanOptions(
        devices=options.gpus,
        gpu=options.gpu,
        flops=options.flops,
        memory=options.memory,
        utilisation=options.utilisation,
        cpu=options.cpu,
        tokens_per_second=options.tokens_per_second,
        vocabulary=options.vocabulary,
    )
    plans = {name: estimate_plan(f"{study.study}, arm {name}", arm, asked) for name, arm in study.arms.items()}
    if options.json:
        print(json.dumps({name: estimate.as_json() for name, estimate in plans.items()}, indent=2))
    else:
        print("\n\n\n".join(plan_text(study.arms[name], estimate) for name, estimate in plans.items()))


@command(CONFIGFILE, argument("--json", action="store_true", help="print JSON, with the seconds of a model per arm"))
def speed(options: argparse.Namespace) -> None:
    """Measure how fast this machine trains the models of a study, in seconds."""
    from hope.config import load_study, with_base
    from hope.plan.compute import measuring_flops, training_flops
    from hope.plan.sizes import count_parameters, vocabulary_of
    from hope.training.speed import is_measured, training_speed

    speeds = {}
    for name, arm in load_study(with_base(options.configfile)).arms.items():
        vocabulary, training = vocabulary_of(arm), arm.training
        sizes = arm.model, arm.encoding(arm.encodings[0]), vocabulary, training.length
        if not is_measured(count_parameters(*sizes).total):
            print(f"{name}: its models are too large to measure on a CPU; see 'python -m hope plan'", file=sys.stderr)
            continue
        tokens_per_second = training_speed(arm, vocabulary)
        seconds = training.steps * training.batch_windows * training.length / tokens_per_second
        flops = sum(measuring_flops(arm, vocabulary, arm.is_rotary(encoding)) for encoding, _ in arm.runs())
        measuring = seconds * flops / len(arm.runs()) / training_flops(arm, vocabulary)[1]
        speeds[name] = {"tokens_per_second": tokens_per_second, "training": seconds, "measuring": measuring}
    if options.json:
        print(json.dumps(speeds))
        return
    for name, measured in speeds.items():
        print(f"{name}: {measured['tokens_per_second']:,.0f} tokens/s in one training")


def _cores(text: str) -> str:
    """Read a number of cores, or ``all``."""
    if text != "all" and not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"'{text}' is no number of cores; give 1 or more, or all")
    return text


@command(
    CONFIGFILE,
    argument("--cores", type=_cores, default="all", help="cores to use"),
    argument("rest", nargs=argparse.REMAINDER, help="after --: further options of snakemake"),
)
def reproduce(options: argparse.Namespace) -> int:
    """Run the study to its final report, from wherever it was stopped."""
    from hope.encodings.built import check_own_encodings
    from hope.reproduce import reproduce
    from hope.study_files import check_tasks

    return reproduce(options.configfile, options.cores, options.rest, [check_tasks, check_own_encodings])


@command(
    argument("study", nargs="?", type=Path, help="name of a study, or its folder (the study of the config)"),
    CONFIGFILE,
)
def status(options: argparse.Namespace) -> None:
    """Show the progress of a study's trainings."""
    from hope.training.status import study_status

    print(study_status(options.study, options.configfile))


@command(STUDY, argument("--arm", default="main", help="name of the arm that its models get (main)"))
def adopt(options: argparse.Namespace) -> None:
    """Take over a study's folder of before there were arms, without training anything again."""
    from hope.adopt import adopt
    from hope.tracking.store import find_study

    print("\n".join(adopt(find_study(options.study), options.arm)))


@command()
def schema(options: argparse.Namespace) -> None:
    """Print the JSON schema of the config."""
    from hope.config.default import config_schema

    print(json.dumps(config_schema(), indent=2, sort_keys=True))


@command()
def defaults(options: argparse.Namespace) -> None:
    """Print config.yaml: the default study, with a comment on every key."""
    from hope.config.default import default_yaml

    print(default_yaml(), end="")
