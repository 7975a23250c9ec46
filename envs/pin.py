"""Write requirements.lock and the rules' environments from what is installed: ``python envs/pin.py``.

Each file contains the named packages and everything that they depend on, at the versions installed for this
interpreter. So the rules use the same packages as the tests.
"""

import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PYTHON = "python=3.11.14"
PIP = "pip=25.3"
ENVIRONMENTS = {
    "torch": (
        "Steps that read text or compute with models.",
        "torch deepspeed transformers tokenizers datasets duckdb charset-normalizer safetensors numpy pandas pyarrow "
        "scipy psutil pydantic pyyaml mlflow nvidia-ml-py",
    ),
    "report": (
        "Tables, claims, figures, notebooks, the report and the tracking store; no torch.",
        "numpy pandas pyarrow scipy matplotlib papermill nbconvert nbformat ipykernel jinja2 pygments psutil pydantic "
        "pyyaml mlflow",
    ),
}
# Parts of a CUDA build of torch. They are left out: which build is installed depends on where pip finds torch.
PLATFORM = re.compile(r"nvidia-(?!ml-py)|cuda-|triton$")


def named() -> list[str]:
    """Return the requirements of requirements.in."""
    lines = (ROOT / "requirements.in").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pins(requirements: list[str]) -> list[str]:
    """Return ``name==version`` of ``requirements`` and all their dependencies, as installed, sorted by name."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(text), "") for text in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if PLATFORM.match(name) or (requirement.marker and not requirement.marker.evaluate({"extra": extra})):
            continue
        package = metadata.distribution(name)
        found[name] = Version(package.version).public
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                waiting += [(Requirement(text), wanted) for text in package.requires or []]
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def lock() -> str:
    """Return the text of requirements.lock."""
    header = "# All packages of the tests and of a run without conda; written by envs/pin.py from requirements.in.\n"
    return header + "".join(f"{pin}\n" for pin in pins(named()))


def environment(name: str) -> str:
    """Return the text of ``envs/<name>.yaml``."""
    purpose, wanted = ENVIRONMENTS[name]
    head = [
        f"# {purpose}",
        "# Written by envs/pin.py; the versions are those of requirements.lock.",
        "channels: [conda-forge]",
        "dependencies:",
        f"  - {PYTHON}",
        f"  - {PIP}",
        "  - pip:",
    ]
    return "\n".join(head + [f"      - {pin}" for pin in pins(wanted.split())]) + "\n"


if __name__ == "__main__":
    (ROOT / "requirements.lock").write_text(lock(), encoding="utf-8")
    for environment_name in ENVIRONMENTS:
        (ROOT / "envs" / f"{environment_name}.yaml").write_text(environment(environment_name), encoding="utf-8")
