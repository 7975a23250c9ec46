"""What a user asks of a study, as the command line calls it."""

import argparse
import json


def check(options: argparse.Namespace) -> None:
    """Check a config and say what it describes."""
    from hope.encodings.listing import same_lines
    from hope.reporting.claims_check import checked_claims, unanswered
    from hope.reproduce import check

    study = check(options.configfile)
    for line in [*same_lines(study), *unanswered(checked_claims(study), study)]:
        print(f"warning: {line}")
    print(f"{study.study}: {len(study.encodings)} encodings, {len(study.runs())} models: the config is right")


def plan(options: argparse.Namespace) -> None:
    """Say what a study will take before anything runs: parameters, FLOPs, memory, disk and hours."""
    from hope.config import load_study, with_base
    from hope.plan.reckon import Asked, reckon
    from hope.plan.show import shown

    study = load_study(with_base(options.configfile))
    asked = Asked(
        devices=options.gpus,
        gpu=options.gpu,
        flops=options.flops,
        memory=options.memory,
        utilisation=options.utilisation,
        cpu=options.cpu,
        tokens_per_second=options.tokens_per_second,
        vocabulary=options.vocabulary,
    )
    found = reckon(study, asked)
    print(json.dumps(found.as_json(), indent=2) if options.json else shown(study, found))


def schema(options: argparse.Namespace) -> None:
    """Print the JSON schema of the config."""
    from hope.config import Study

    print(json.dumps(Study.model_json_schema(by_alias=True), indent=2, sort_keys=True))


def defaults(options: argparse.Namespace) -> None:
    """Print config.yaml: the default study, with a comment on every key."""
    from hope.config.default import default_yaml

    print(default_yaml(), end="")


def encodings(options: argparse.Namespace) -> None:
    """List the positional encodings and presets, or those of a study at its sizes."""
    from hope.encodings.listing import catalogue_lines, study_lines

    if not options.configfile:
        print("\n".join(catalogue_lines()))
        return
    from hope.config import load_study, with_base

    print("\n".join(study_lines(load_study(with_base(options.configfile)))))


def atlas(options: argparse.Namespace) -> None:
    """Write the page of encodings and its pictures, at a study's sizes."""
    from hope.config import load_study, with_base
    from hope.reporting.atlas.write import write_atlas

    write_atlas(load_study(with_base(options.configfile)), options.output)


def export(options: argparse.Namespace) -> None:
    """Write a trained model as a stock checkpoint."""
    from hope.interchange.exporting import export_model

    print(export_model(options.model, options.output, options.format, options.tokenizer))


def import_(options: argparse.Namespace) -> None:
    """Bring a stock checkpoint into analysis and evaluation."""
    from hope.interchange.importing import import_checkpoint

    print(import_checkpoint(options.checkpoint, options.output, options.length, options.data))


def analyze(options: argparse.Namespace) -> None:
    """Look into the attention of any model of the Llama kind, or of a study's, with texts of your own."""
    from pathlib import Path

    from hope.reporting.checkpoint import analyze_checkpoint, name_of

    output = options.output or Path(f"analysis-{name_of(options.checkpoint)}")
    print(
        analyze_checkpoint(options.checkpoint, options.text, output, options.length, options.documents, options.field)
    )


def check_encoding(options: argparse.Namespace) -> int:
    """Hold an encoding, your own or another, to the contract of all encodings."""
    from hope.contract.command import check_encoding

    return 0 if check_encoding(options.encoding, options.settings) else 1


def sync(options: argparse.Namespace) -> None:
    """Bring the tracking store in line with a study's files."""
    from hope.tracking.store import sync

    sync(options.study, options.uri or None)


def ui(options: argparse.Namespace) -> None:
    """Open the MLflow UI on a study, on this machine only."""
    from hope.tracking.server import serve

    serve(options.study, options.port)


def status(options: argparse.Namespace) -> None:
    """Show how far the trainings of a study are."""
    from hope.training.status import show

    print(show(options.study, options.configfile))


def reproduce(options: argparse.Namespace) -> int:
    """Run the study to its final report, from wherever it was stopped."""
    from hope.reproduce import reproduce

    return reproduce(options.configfile, options.cores, options.rest)
