import ast
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from hope.errors import UserError
from hope.reporting.articles.notebooks import check_parameters, render
from tests.reporting.finished import ROOT
from tests.reporting.pages import Page, broken_joins

TEMPLATES = sorted((ROOT / "notebooks").glob("*.ipynb"))


def write_notebook(path: Path, *cells: str, parameter: str = "study", before: Sequence[Any] = ()) -> Path:
    """Write a notebook of a title, a parameters cell, the cells ``before`` and code cells."""
    first = [new_markdown_cell("# A <notebook>"), new_code_cell(f'{parameter} = ""', metadata={"tags": ["parameters"]})]
    content = new_notebook(cells=[*first, *before, *map(new_code_cell, cells)])
    content.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(content, path)
    return path


def code_cells(template: Path) -> list[Any]:
    return [cell for cell in nbformat.read(template, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_is_stripped_and_holds_text_and_calls_alone(template: Path) -> None:
    content = nbformat.read(template, as_version=4)
    nbformat.validate(content)
    assert content.metadata.kernelspec.name == "python3"
    check_parameters(template, ["study"])
    for cell in code_cells(template):
        assert cell.outputs == [] and cell.execution_count is None
        for statement in ast.parse(cell.source).body:
            assert isinstance(statement, ast.ImportFrom | ast.Assign | ast.Expr)
            for node in ast.walk(statement):
                assert not isinstance(node, ast.BinOp | ast.Lambda | ast.ListComp | ast.IfExp | ast.Subscript)
            if isinstance(statement, ast.ImportFrom):
                assert (statement.module or "").startswith("hope.reporting")
    said = [cell.source for cell in content.cells if cell.cell_type == "markdown"]
    assert said[-1].startswith("## What this does not show")
    assert sum(len(text.split()) for text in said) > 200


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_every_call_of_a_template_shows_something(template: Path, judged_study: Path) -> None:
    names: dict[str, Any] = {}
    shown = 0
    for cell in code_cells(template):
        tree = ast.parse(cell.source)
        last = tree.body.pop()
        exec(compile(tree, cell.id, "exec"), names)
        if "parameters" in cell.metadata.get("tags", []):
            names["study"] = str(judged_study)
        else:
            assert isinstance(last, ast.Expr)
            html = eval(compile(ast.Expression(last.value), cell.id, "eval"), names)._repr_html_()
            assert "yet" not in Page(html).text[:200] and len(html) > 100
            assert broken_joins(html) == []
            shown += 1
    assert shown >= 3


def test_a_notebook_runs_in_the_calling_interpreter_and_becomes_one_page_that_loads_nothing(
    judged_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoy = tmp_path / "jupyter" / "kernels" / "python3"
    decoy.mkdir(parents=True)
    (decoy / "kernel.json").write_text(
        json.dumps({"argv": ["/bin/false", "{connection_file}"], "display_name": "decoy", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.chdir(tmp_path)
    retrieval = nbformat.read(ROOT / "notebooks" / "retrieval.ipynb", as_version=4).cells
    at = next(number for number, cell in enumerate(retrieval) if "parameters" in cell.metadata.get("tags", []))
    template = write_notebook(
        tmp_path / "mine.ipynb",
        "import sys, hope\nprint(sys.executable, hope.__file__, study[-5:])",
        "from IPython.display import HTML, Javascript\nJavascript('fetch(1)')",
        "HTML('<b>bold</b>')",
        before=retrieval[at + 1 :],
    )
    output = tmp_path / "report" / "mine.html"
    render(template, judged_study, output, tmp_path / "work")
    text = output.read_text(encoding="utf-8")
    page = Page(text)
    assert f"{sys.executable} {ROOT / 'hope' / '__init__.py'} study" in page.text
    assert page.all("script") == [] and page.loaded() == []
    assert page.all("b") and "A <notebook>" in page.text
    assert len(page.all("img")) == 3 and all(picture["alt"] for picture in page.all("img"))
    assert "5. Context awareness" in page.text and "What this does not show" in page.text
    assert "Retrieval: share of right answer tokens" in page.text
    assert str(judged_study) not in text and str(tmp_path) not in text  # a machine's paths are no reader's business
    assert len(page.all("details")) == len(code_cells(template)) - 1
    assert json.loads((tmp_path / "work" / "mine.ipynb").read_text())["metadata"]["papermill"]["exception"] is None


def test_a_notebook_that_fails_says_where_and_is_kept(judged_study: Path, tmp_path: Path) -> None:
    template = write_notebook(tmp_path / "bad.ipynb", "1 + 1", "raise ValueError('no\\nsuch thing')")
    with pytest.raises(UserError) as caught:
        render(template, judged_study, tmp_path / "bad.html", tmp_path / "work")
    assert "ValueError: no such thing" in str(caught.value) and "\n" not in str(caught.value)
    assert str(tmp_path / "work" / "bad.ipynb") in str(caught.value)
    executed = nbformat.read(tmp_path / "work" / "bad.ipynb", as_version=4)
    assert any(output.output_type == "error" for cell in executed.cells for output in cell.get("outputs", []))
    assert not (tmp_path / "bad.html").exists()


def test_an_error_of_the_study_in_a_notebook_begins_with_what_is_wrong(judged_study: Path, tmp_path: Path) -> None:
    failing = "from hope.errors import UserError\nraise UserError('a.json: not valid JSON; delete it and run again')"
    template = write_notebook(tmp_path / "own.ipynb", failing)
    with pytest.raises(UserError) as caught:
        render(template, judged_study, tmp_path / "own.html", tmp_path / "work")
    assert str(caught.value).startswith("a.json: not valid JSON; delete it and run again (met by cell ")
    assert str(caught.value).endswith(f" of {template})")


def test_a_misspelt_parameter_is_named_before_anything_runs(tmp_path: Path) -> None:
    template = write_notebook(tmp_path / "misspelt.ipynb", "1", parameter="studdy")
    with pytest.raises(UserError, match=r"sets no 'study' \(did you mean 'studdy'\?\)"):
        render(template, tmp_path, tmp_path / "out.html", tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_what_is_no_notebook_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such notebook"):
        check_parameters(tmp_path / "none.ipynb", ["study"])
    for content in ("not json", "{}", '{"cells": 3}'):
        (tmp_path / "broken.ipynb").write_text(content)
        with pytest.raises(UserError, match="broken.ipynb: ") as caught:
            check_parameters(tmp_path / "broken.ipynb", ["study"])
        assert "\n" not in str(caught.value)
