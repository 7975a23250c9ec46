"""The command line: a parser built from the declared commands, and errors as exit statuses."""

import argparse
import errno
import io
import os
import re
import sys
import traceback
from typing import NoReturn

from hope import __version__
from hope.commands import COMMANDS
from hope.errors import UserError, nearest

REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "your share of the disk is full; free some space",
    errno.EACCES: "not writable; change its permissions",
    errno.EPERM: "not writable; change its permissions",
    errno.EROFS: "not writable, since its disk is read-only; mount it for writing",
    errno.EIO: "the disk reports an error; check it",
    errno.ESTALE: "the file server has lost it; mount it again",
    errno.ENAMETOOLONG: "the path is too long; move the project to a shorter one",
    errno.EEXIST: "a file is in its place, or a link that leads nowhere; move that away",
    errno.ENOTDIR: "a part of the path is a file, not a folder; name another place, or move that away",
    errno.EISDIR: "a folder, where a file is expected; name a file, or move it away",
    errno.ELOOP: "its links lead in a circle; mend them",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
}
"""What is wrong, and what a user can do, by the number of an error of the operating system."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit status: 0, 1 for an error, 2 for a wrong command line.

    An error that the user can correct is printed as one line; only a defect of the program prints a traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal without UTF-8, or a file's name that is no text, must not end a command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        return COMMANDS[options.step].function(options) or 0
    except UserError as error:
        return _fail(error.line)
    except BrokenPipeError:
        # The reader of the output, such as head, has closed it. Without this, Python prints an error when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno in REMEDIES:
            return _fail(f"{error.filename or 'the results folder'}: {REMEDIES[error.errno]} and run again")
        traceback.print_exc()
        return 1
    except MemoryError:
        return _fail("the memory is full; close other programs, or lower the number of --cores, and run again")
    except KeyboardInterrupt:
        return _fail("stopped by the keyboard; run again to continue")


def _fail(line: str) -> int:
    print(f"hope: error: {line}", file=sys.stderr, flush=True)
    return 1


class _Parser(argparse.ArgumentParser):
    """A parser that reports a wrong command line in one line."""

    def error(self, message: str) -> NoReturn:
        unknown = re.match(r"argument STEP: invalid choice: '(.*?)' \(choose from", message)
        if unknown:
            message = f"'{unknown[1]}' is no command{nearest(unknown[1], COMMANDS)}; --help lists them"
        self.exit(2, f"hope: error: {message}; {' '.join(self.format_usage().split())}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m hope", description="Reproduction of HoPE, step by step.")
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    for name, declared in COMMANDS.items():
        summary = declared.summary
        sub = subparsers.add_parser(name, help=summary[:1].lower() + summary[1:].rstrip("."), description=summary)
        for add_argument in declared.arguments:
            add_argument(sub)
    return parser
