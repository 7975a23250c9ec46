"""What the README shows works as it stands there, and every page's links lead somewhere."""

import re
import subprocess
from pathlib import Path

import pytest
import torch

from hope.config import Study, load_study
from hope.model.decoder import Decoder
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BASE = ROOT / "config.yaml"
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("workflow/*/README.md"), ROOT / "benchmarks/README.md"]
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def study_of(overlay: str, folder: Path) -> Study:
    path = folder / "my.yaml"
    path.write_text(overlay, encoding="utf-8")
    return load_study([BASE, path])


@pytest.mark.parametrize("overlay", blocks("yaml"))
def test_the_overlays_are_right(overlay, tmp_path):
    assert study_of(overlay, tmp_path).study == "mine"


def test_the_encoding_of_ones_own_attends_as_it_says(tmp_path, monkeypatch):
    (example,) = [block for block in blocks("python") if "Encoding" in block]
    (tmp_path / "window.py").write_text(example, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    (overlay,) = [block for block in blocks("yaml") if "window" in block]
    study = study_of(overlay, tmp_path)
    assert all("window" in arm.encodings for arm in study.arms.values())
    arm = study.arms["text"]
    shape = arm.model.model_copy(update={"layers": 1})
    model = Decoder(shape, 64, arm.training.length, arm.encoding("window")).initialise(0).eval()
    ids = torch.randint(64, (1, 128), generator=torch.Generator().manual_seed(0))
    changed = ids.clone()
    changed[0, 10] = (ids[0, 10] + 1) % 64
    with torch.inference_mode():
        difference = (model(ids) - model(changed)).abs().amax(dim=-1)[0]
    assert difference[10:74].min() > 1e-6
    assert difference[:10].max() == 0 and difference[74:].max() < 1e-6


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page):
    for target, _, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#?)([^)]*)\)", page.read_text(encoding="utf-8")):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), f"{target}#{anchor}"


def test_every_make_target_that_it_names_is_there():
    targets = set(re.findall(r"\bmake ([a-z]+)", README))
    assert targets >= {"reproduce", "test", "setup", "ui"}
    subprocess.run(["make", "-n", *targets], cwd=ROOT, check=True, capture_output=True)
