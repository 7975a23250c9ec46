"""The processes of a training on one node, started and watched over by one that does not compute."""

import ctypes
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, start_processes

from hope.errors import UserError
from hope.training.devices import CannotRunHere

PR_SET_PDEATHSIG = 1
PASSED_ON_ERRORS = {"UserError": UserError, "CannotRunHere": CannotRunHere}


def spawn(work: Callable[..., None], count: int, arguments: tuple, nodes: dict[str, Popen]) -> None:
    """Run ``work(number, folder, *arguments)`` in ``count`` processes, and return when all have ended well.

    SIGTERM and SIGINT are passed on to them. If this process is killed they die with it, so that its locks
    are never free while they still run.

    Args:
        work: a function of a module; ``folder`` is a temporary one, the same for all.
        count: how many.
        arguments: its further arguments.
        nodes: commands that run the training on other nodes, by host; if one fails, all is over.

    Raises:
        UserError: a process raised one, or was killed, or a node failed.
        SystemExit: a signal ended the processes.
    """
    with tempfile.TemporaryDirectory() as folder:
        context = start_processes(_run, (folder, work, arguments), nprocs=count, join=False, start_method="spawn")
        stopped: list[int] = []

        def forward(number: int, frame: object) -> None:
            stopped.append(number)
            for process in [*context.processes, *nodes.values()]:
                process.terminate()

        before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            # A process that failed leaves the others a while to say the same.
            while not context.join(timeout=1.0, grace_period=10.0):
                failed = next((host for host, node in nodes.items() if node.poll()), None)
                if failed and not stopped:
                    for process in context.processes:
                        process.terminate()
                    raise CannotRunHere(
                        f"training.hostfile: {failed} ended with status {nodes[failed].returncode}; see its lines "
                        "above, and that 'ssh' reaches it without a password"
                    )
        except (ProcessExitedException, ProcessRaisedException) as error:
            _raise_first(Path(folder))
            if stopped:
                sys.exit(128 + stopped[0])
            if isinstance(error, ProcessExitedException) and error.signal_name:
                raise CannotRunHere(
                    f"process {error.error_index} of the training was ended by {error.signal_name}; "
                    "if nobody did that, the machine's memory was full"
                ) from None
            raise
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _raise_first(folder: Path) -> None:
    """Raise the error that the first of the processes left behind, if one did."""
    for name, kind in PASSED_ON_ERRORS.items():
        for path in sorted(folder.glob(f"{name}-*")):
            raise kind(path.read_text(encoding="utf-8"))


def _run(number: int, folder: str, work: Callable[..., None], arguments: tuple) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        work(number, folder, *arguments)
    except UserError as error:
        (Path(folder) / f"{type(error).__name__}-{number}").write_text(str(error), encoding="utf-8")
        sys.exit(1)
    except Exception:
        traceback.print_exc()
        sys.exit(1)
