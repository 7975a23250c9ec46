"""Run a notebook template on a study and render it to one self-contained HTML file.

A template in ``notebooks/`` is text and calls of :mod:`hope.reporting.articles.article`, with one cell tagged
``parameters`` that sets ``study``. It runs in the calling interpreter, whatever kernels the user has.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hope
from hope.errors import UserError, nearest, short_reason
from hope.files import write_text

PARAMETER = "study"
KERNEL = "python3"
_START_SECONDS = 120
"""Longest start of a kernel, in seconds: it shares the cores with other jobs of a workflow."""


def render(template: Path, study: Path, output: Path, work: Path) -> None:
    """Run ``template`` on ``study`` and write it as a self-contained page with its code folded.

    Args:
        template: notebook with a cell tagged ``parameters`` that sets ``study``.
        study: folder of the study.
        output: the HTML file, written whole or not at all.
        work: folder for the executed notebook; a notebook that fails is kept there.

    Raises:
        UserError: the template is missing or not a notebook, lacks the parameter, or a cell fails.
    """
    parameters = {PARAMETER: str(study.resolve())}
    check_parameters(template, parameters)
    work.mkdir(parents=True, exist_ok=True)
    executed = work / template.name
    _execute(template, executed, parameters)
    write_text(output, to_html(executed))


def check_parameters(template: Path, names: Iterable[str]) -> None:
    """Check that a notebook takes parameters of these names; papermill only warns.

    Raises:
        UserError: the file is missing or not a notebook, or it lacks a parameter.
    """
    from papermill import inspect_notebook

    try:
        known = list(inspect_notebook(str(template)))
    except FileNotFoundError:
        raise UserError(f"{template}: there is no such notebook") from None
    except Exception as error:  # the errors of papermill and nbformat have no common class
        reason = short_reason(error)
        raise UserError(f"{template}: not a notebook that can be read ({reason}); write it again") from None
    for name in names:
        if name not in known:
            raise UserError(
                f"{template}: sets no '{name}'{nearest(name, known)}; a cell tagged 'parameters' must hold "
                f"`{name} = ...`, and here are {', '.join(known) or 'none'}"
            )


def _execute(template: Path, executed: Path, parameters: dict[str, Any]) -> None:
    from papermill import PapermillExecutionError, execute_notebook
    from traitlets.config import Config

    # A kernel listens on a port of this machine, where other users must not read along.
    encrypted = Config({"KernelManager": {"transport_encryption": "auto"}})
    with _own_kernel():
        try:
            execute_notebook(
                str(template),
                str(executed),
                parameters,
                kernel_name=KERNEL,
                start_timeout=_START_SECONDS,
                progress_bar=False,
                cwd=str(_root()),
                config=encrypted,
            )
        except PapermillExecutionError as error:
            what, cell = " ".join(error.evalue.split()), error.cell_index + 1
            if error.ename == UserError.__name__:  # begins with the file or the name that is wrong
                raise UserError(f"{what} (met by cell {cell} of {template})") from None
            raise UserError(f"{template}: cell {cell} failed with {error.ename}: {what}; see {executed}") from None


def _root() -> Path:
    """Return the parent folder of the package, where the kernel runs."""
    return Path(hope.__file__).resolve().parents[1]


@contextmanager
def _own_kernel() -> Iterator[None]:
    """Make the kernel ``python3`` this interpreter with this package, for the block.

    Otherwise a kernel of that name in the user's folder would replace the calling interpreter, and the user's IPython
    profile would change the output.
    """
    from ipykernel.kernelspec import get_kernel_dict

    with tempfile.TemporaryDirectory(prefix="hope-kernel-") as folder:
        kernel = Path(folder) / "kernels" / KERNEL
        kernel.mkdir(parents=True)
        path = os.pathsep.join([str(_root()), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {
            "PYTHONPATH": path,
            "IPYTHONDIR": str(Path(folder) / "ipython"),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else the debugger warns about frozen modules
        }
        content = {**get_kernel_dict(), "display_name": KERNEL, "env": environment}
        (kernel / "kernel.json").write_text(json.dumps(content), encoding="utf-8")
        changes = {
            "JUPYTER_PATH": os.pathsep.join([folder, *filter(None, [os.environ.get("JUPYTER_PATH")])]),
            "JUPYTER_RUNTIME_DIR": str(Path(folder) / "runtime"),
            "IPYTHONDIR": environment["IPYTHONDIR"],
        }
        before = {name: os.environ.get(name) for name in changes}
        os.environ.update(changes)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def to_html(notebook: Path) -> str:
    """Return an executed notebook as one HTML page: no script, no file beside it, nothing from a network."""
    import nbformat
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter

    from hope.reporting.page.templating import environment, template_text

    content = nbformat.read(notebook, as_version=4)
    exporter = HTMLExporter(
        template_name="basic",
        template_file="notebook_cells.html.j2",
        extra_loaders=[DictLoader({"notebook_cells.html.j2": template_text("notebook_cells.html.j2")})],
        embed_images=True,
        mathjax_url="",
        require_js_url="",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    body, _ = exporter.from_notebook_node(content, resources={"metadata": {"path": str(notebook.parent)}})
    return (
        environment()
        .get_template("notebook.html.j2")
        .render(
            title=_title(content) or notebook.stem,
            body=body,
            code_css=HtmlFormatter(style="default").get_style_defs(".highlight"),
        )
    )


def _title(notebook: Any) -> str:
    """Return the first heading of a notebook, or an empty string."""
    for cell in notebook.cells:
        for line in cell.source.splitlines() if cell.cell_type == "markdown" else []:
            if line.startswith("# "):
                return line.removeprefix("# ").strip()
    return ""
