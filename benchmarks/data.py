"""Preparing a corpus of a given size: MB/s and peak memory per stage, beside datatrove on the same files.

The documents are made from real texts by stated edits: each takes paragraphs of a text until it has about 4,000
characters, and puts the words of each sentence into a random order, so that documents are unlike each other; one in 50
repeats the document before it, and one in 20 repeats it with one word in 30 replaced.

Both sides read the same .jsonl files, drop copies and write token ids of the same tokenizer. They differ in how near
copies are found: datatrove's MinHash (5 words, 14 buckets of 8 hashes, its defaults) compares whole documents, and
removes copies from the corpus; here excerpts count too, and copies stay on one side of the split. The found shares of
the copies that were made are printed beside the times.

Usage, from the project's root:
    python -m benchmarks.data --megabytes 100 [--shards 4] [--texts FOLDER] [--datatrove PYTHON] [--keep]

``--datatrove`` names a Python that has datatrove, orjson, xxhash and tokenizers, which are no dependencies of this
project. For 10 GB, which takes hours on two cores: ``python -m benchmarks.data --megabytes 10000 --shards 40 --keep``.
"""

import argparse
import json
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import report
from hope.config import Corpus, Files, Tokens, Validation, to_json
from hope.data.columns import read_columns
from hope.paths import cost_file, part_folder
from hope.seeding import generator

FILE_BYTES = 50_000_000
CHARACTERS = 4_000
CORES = 2
MEMORY_MB = 1_500


def main(arguments: list[str] | None = None) -> None:
    """Make the files, run both sides, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=100, help="size of the text")
    parser.add_argument("--shards", type=int, default=4, help="parts that the text is read and tokenized in")
    parser.add_argument("--texts", type=Path, help="folder of .txt files; the standard library's modules if not given")
    parser.add_argument("--datatrove", help="a Python that has datatrove; left out if not given")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder if not given")
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/data-<megabytes>mb.json")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=asked.folder) as temporary:
        folder = Path(temporary)
        copies = write_files(folder / "texts", asked.megabytes * 1_000_000, texts_of(asked.texts))
        results: dict[str, Any] = {"ours": prepare(folder, asked.shards)}
        results["ours"]["copies_found"] = found_here(folder, copies)
        if asked.datatrove:
            results["datatrove"] = run_datatrove(asked.datatrove, folder, copies)
    for side, found in results.items():
        for stage, cost in found["stages"].items():
            speed = asked.megabytes / cost["seconds"]
            peak = cost["peak_memory_bytes"] / 2**20
            print(f"{side:>10} {stage:<16} {cost['seconds']:8.1f} s {speed:8.1f} MB/s {peak:8.0f} MiB per job")
        print(f"{side:>10} copies found: {found['copies_found']}")
    peak = max(cost["peak_memory_bytes"] for cost in results["ours"]["stages"].values())
    goal = f"every job within 2 GiB, with corpus.memory_mb {MEMORY_MB}"
    facts = {"goal": goal, "met": peak <= 2**31, "megabytes": asked.megabytes, "shards": asked.shards, "cores": CORES}
    report("data", facts | results, ["duckdb", "tokenizers"], asked.keep, f"data-{asked.megabytes}mb")


def texts_of(folder: Path | None) -> list[str]:
    """Return the texts to make documents from."""
    paths = sorted(folder.glob("*.txt") if folder else Path(sysconfig.get_path("stdlib")).glob("*.py"))
    return [path.read_text(encoding="utf-8", errors="replace") for path in paths]


def write_files(folder: Path, size: int, texts: list[str]) -> dict[str, set[tuple[int, int]]]:
    """Write documents of ``size`` bytes as .jsonl; return the pairs (original, copy) that were made, by kind."""
    folder.mkdir()
    copies: dict[str, set[tuple[int, int]]] = {"exact": set(), "near": set()}
    written = number = 0
    handle, documents = None, made_documents(texts)
    original, last = 0, ""
    while written < size:
        if handle is None or handle.tell() >= FILE_BYTES:
            handle = open(folder / f"{number:09d}.jsonl", "w", encoding="utf-8")  # noqa: SIM115
        random = generator("benchmark copies", number)
        kind = "exact" if number % 50 == 7 else "near" if number % 20 == 13 else ""
        if kind == "near":
            words = last.split(" ")
            for at in random.integers(len(words), size=len(words) // 30):
                words[at] = f"w{random.integers(10_000)}"
            text = " ".join(words)
        elif kind:
            text = last
        else:
            text = last = next(documents)
            original = number
        if kind:
            copies[kind].add((original, number))
        line = json.dumps({"text": text, "id": str(number)}, ensure_ascii=False)
        handle.write(line + "\n")
        written += len(line.encode()) + 1
        number += 1
    if handle:
        handle.close()
    return copies


def made_documents(texts: list[str]) -> Iterator[str]:
    """Yield documents without end."""
    paragraphs = [part.split(".") for text in texts for part in text.split("\n\n") if len(part) > 40]
    number = 0
    while True:
        random = generator("benchmark document", number)
        at, pieces, size = int(random.integers(len(paragraphs))), [], 0
        while size < CHARACTERS:
            sentences = []
            for sentence in paragraphs[at % len(paragraphs)]:
                words = sentence.split()
                sentences.append(" ".join(words[index] for index in random.permutation(len(words))))
            pieces.append(". ".join(sentences))
            size += len(pieces[-1])
            at += 1
        yield "\n\n".join(pieces)
        number += 1


def prepare(folder: Path, shards: int) -> dict[str, Any]:
    """Run the steps of the workflow, as many at once as there are cores; return seconds and peak memory per stage."""
    corpus, data = folder / "corpus", folder / "data"
    settings = Corpus(
        source="files",
        files=Files(paths=[str(folder / "texts")]),
        validation=Validation(share=0.01, long_documents=8, long_characters=1_000),
        shards=shards,
        memory_mb=MEMORY_MB,
    )
    preparation = json.dumps(settings.how_it_is_prepared())
    given = ["--settings", to_json(settings.what_it_holds()), "--preparation", preparation]
    tokens = ["--settings", to_json(Tokens(vocabulary=8_192)), "--corpus", str(corpus)]
    read = [["--part", str(part), "--output", str(part_folder(corpus, part))] for part in range(shards)]
    encode = [["--part", str(part), "--output", str(part_folder(data, part))] for part in range(shards)]
    tokenizer = ["--tokenizer", str(data / "tokenizer")]
    jobs = {
        "read-part": [[*given, *each] for each in read],
        "prepare-corpus": [[*given, "--output", str(corpus)]],
        "fit-tokenizer": [[*tokens, "--output", str(data / "tokenizer")]],
        "tokenize-part": [["--corpus", str(corpus), *tokenizer, *each] for each in encode],
        "join-tokens": [[*tokens, "--output", str(data)]],
    }
    return {"stages": {stage: _run(stage, commands) for stage, commands in jobs.items()}}


def _run(stage: str, commands: list[list[str]]) -> dict[str, float]:
    """Run the jobs of a stage; return its seconds, the processor seconds of all jobs, and the largest memory of one."""
    started = time.monotonic()
    with ThreadPoolExecutor(CORES) as pool:
        asked = [[sys.executable, "-m", "hope", stage, *command] for command in commands]
        list(pool.map(lambda command: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), asked))
    seconds = time.monotonic() - started
    costs = [json.loads(cost_file(Path(command[-1]), stage).read_text(encoding="utf-8")) for command in commands]
    return {
        "seconds": round(seconds, 1),
        "processor_seconds": round(sum(cost["processor_seconds"] for cost in costs), 1),
        "peak_memory_bytes": max(cost["peak_memory_bytes"] for cost in costs),
    }


def found_here(folder: Path, copies: dict[str, set[tuple[int, int]]]) -> dict[str, float]:
    """Return the shares of the copies that the prepared corpus has found, and how many more documents are grouped."""
    name, group = read_columns(folder / "corpus" / "documents.parquet", "name", "group")
    files = {path.name: int(path.stem) - 1 for path in (folder / "texts").iterdir()}
    numbers = []
    for each in name.to_pylist():
        file, _, line = each.rpartition(":")
        numbers.append(files[Path(file).name] + int(line))
    groups = dict(zip(numbers, group.to_pylist(), strict=True))
    exact = [copy not in groups for _, copy in copies["exact"]]
    near = [groups.get(original) == groups.get(copy) for original, copy in copies["near"] if copy in groups]
    members = np.bincount(group.to_numpy())
    made = sum(near)
    return {
        "exact": float(np.mean(exact)),
        "near": float(np.mean(near)),
        "documents_in_groups_beyond_the_copies": int(members[members > 1].sum() - (members > 1).sum() - made),
    }


def run_datatrove(python: str, folder: Path, copies: dict[str, set[tuple[int, int]]]) -> dict[str, Any]:
    """Run datatrove's pipeline in another Python; return its costs, and the shares of copies that it removed."""
    script = Path(__file__).with_name("data_datatrove.py")
    tokenizer = folder / "data" / "tokenizer" / "tokenizer.json"
    command = [python, str(script), str(folder / "texts"), str(folder / "datatrove"), str(tokenizer), str(CORES)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(answer.splitlines()[-1])
    kept = set(found.pop("kept"))
    removed = {kind: [not {one, other} <= kept for one, other in pairs] for kind, pairs in copies.items()}
    made = sum(map(len, copies.values()))
    beyond = found.pop("documents") - len(kept) - made
    shares = {kind: float(np.mean(each)) for kind, each in removed.items()}
    return found | {"copies_found": shares | {"removed_beyond_the_copies": beyond}}


if __name__ == "__main__":
    main()
