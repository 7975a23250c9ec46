"""Commands on positional encodings."""

import argparse
from pathlib import Path

from hope.commands.declaration import CONFIGFILE, argument, command


@command(CONFIGFILE)
def encodings(options: argparse.Namespace) -> None:
    """List the positional encodings and presets, or those of a study at its sizes."""
    from hope.encodings.listing import catalogue_lines, study_lines

    if not options.configfile:
        print("\n".join(catalogue_lines()))
        return
    from hope.config import load_study, with_base

    print("\n".join(study_lines(load_study(with_base(options.configfile)))))


@command(
    argument("encoding", help="module:Class of your own, or a name that `encodings` lists"),
    argument("--settings", default="{}", help="its settings, as JSON"),
)
def check_encoding(options: argparse.Namespace) -> int:
    """Run the checks that every encoding must pass, on your own or another encoding."""
    from hope.contract.command import check_encoding

    return 0 if check_encoding(options.encoding, options.settings) else 1


@command(argument("output", type=Path, help="folder of the page; docs for the project's own"), CONFIGFILE)
def atlas(options: argparse.Namespace) -> None:
    """Write the page of encodings and its pictures, at a study's sizes."""
    from hope.config import load_study, with_base
    from hope.reporting.atlas.write import write_atlas

    study = load_study(with_base(options.configfile))
    name, arm = next(iter(study.arms.items()))
    write_atlas(arm, f"the arm `{name}` of the study `{study.study}`", options.output)
