"""A process that has imported all that a training imports, and forks a ``python -m hope`` for each request.

Each command runs as it would from a shell, from its arguments on, in a process (and process group) of its own;
only the four seconds of imports are shared. Requests are lines of JSON on standard input, answers lines of JSON
on standard output.
"""

import json
import os
import sys
import traceback


def main() -> None:
    import deepspeed  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import torch._dynamo  # noqa: F401, what an optimizer imports when it is made

    import hope.model.loading
    import hope.tracking.store
    import hope.training.launch
    import hope.training.train  # noqa: F401

    answer({"ready": os.getpid()})
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            answer({"status": os.waitstatus_to_exitcode(status)})
        else:
            answer({"process": start(**request)})


def answer(content: dict) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def start(arguments: list[str], log: str, environment: dict[str, str]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        os.environ.update(environment)
        sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
        for number, path in ((0, os.devnull), (1, log), (2, log)):
            opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(opened, number)
        from hope.cli import main as hope

        status = hope(arguments)
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
