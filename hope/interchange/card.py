"""The README of an exported model: description, how to load it, provenance."""

from pathlib import Path
from typing import Any

from hope.files import read_json, sha256_of_file

OLDEST = {"llama": "5.5", "partial-rotary": "4.57"}
"""The oldest version of transformers that reads a format."""


def provenance_of(model: Path, description: dict[str, Any]) -> dict[str, str]:
    """Return the provenance of a model, by label; unknown entries are left out.

    Args:
        model: the model's folder.
        description: its ``config.json``.
    """
    origin: dict[str, Any] = {"SHA-256 of its model.safetensors": sha256_of_file(model / "model.safetensors")}
    imported = description.get("imported")
    if imported:
        return origin | {f"SHA-256 of the imported {name}": digest for name, digest in imported["sha256"].items()}
    origin |= {"training's fingerprint": description.get("fingerprint"), "seed": description.get("seed")}
    record_file = model / "run.json"
    if record_file.is_file():
        record = read_json(record_file)
        data = [digest for given in record.get("inputs", {}).values() for digest in given.get("manifests", {}).values()]
        origin |= {
            "SHA-256 of the training's settings": record.get("settings_sha256"),
            "SHA-256 of the training's code": record.get("code"),
            "commit": record.get("commit"),
            "training data": ", ".join(data) or None,
            "environment": record.get("environment"),
            "trained": record.get("ended"),
        }
    return {label: str(value) for label, value in origin.items() if value is not None}


def model_card(
    kind: str, description: dict[str, Any], rotation: str, tokenizer: bool, provenance: dict[str, str]
) -> str:
    """Return the text of the README.

    Args:
        kind: the format's name.
        description: ``config.json`` of the model's folder.
        rotation: which components turn, in words.
        tokenizer: True if the folder has a tokenizer.
        provenance: from :func:`provenance_of`.
    """
    encoding, shape = description["encoding"], description["shape"]
    settings = "".join(f", {key} {value}" for key, value in encoding["settings"].items() if value is not None)
    notes = [
        f"- Positional encoding: `{encoding['name']}` (family `{encoding['family']}`{settings}): {rotation}.",
        f"- Training length L: {description['training_length']} tokens. No position past it was trained.",
        f"- Size: {shape['layers']} layers, {shape['width']} wide, {shape['heads']} heads, "
        f"{description['vocab_size']} token ids, float32.",
    ]
    if description["windows"]["start_token"]:
        notes.append("- Trained with the start token before every text: begin each prompt with it.")
    if not tokenizer:
        notes.append("- No tokenizer is included: the model takes token ids.")
    rows = [f"| {label} | `{value}` |" for label, value in provenance.items()]
    front = ["---", "library_name: transformers", "pipeline_tag: text-generation", "---"]
    if kind == "gguf":
        front[1] = "library_name: gguf"
    title = f"# {encoding['name']}, trained at {description['training_length']} tokens"
    table = ["| provenance | |", "|---|---|", *rows]
    return "\n".join([*front, "", title, "", *notes, "", *_use(kind, tokenizer), "", *table]) + "\n"


def _use(kind: str, tokenizer: bool) -> list[str]:
    """Return the lines that show how to load a format."""
    if kind == "gguf":
        prompt = ' -p "def "' if tokenizer else ""
        return [
            "```sh",
            f"llama-cli -m model.gguf --cache-type-k f32 --cache-type-v f32{prompt}",
            "```",
            "",
            "By default llama.cpp keeps keys and values in 16 bits; the options above keep 32.",
        ]
    also = ", AutoTokenizer" if tokenizer else ""
    return [
        "```python",
        f"from transformers import AutoModelForCausalLM{also}  # {OLDEST[kind]} or later",
        "",
        'model = AutoModelForCausalLM.from_pretrained("PATH")',
        *(['tokenizer = AutoTokenizer.from_pretrained("PATH")'] if tokenizer else []),
        "```",
    ]
