"""The documents of the benchmark of data preparation are what it says they are."""

import json
from pathlib import Path

from benchmarks.data import write_files


def test_copies_are_made_as_stated(tmp_path: Path) -> None:
    texts = ["\n\n".join(f"Sentence {number} of a text. It says {number * 7} things." for number in range(200))]
    copies = write_files(tmp_path / "texts", 400_000, texts)
    lines = [line for path in sorted((tmp_path / "texts").iterdir()) for line in path.read_text().splitlines()]
    documents = [json.loads(line)["text"] for line in lines]
    assert [json.loads(line)["id"] for line in lines] == [str(number) for number in range(len(lines))]
    assert copies["exact"] and copies["near"]
    assert all(documents[original] == documents[copy] for original, copy in copies["exact"])
    for original, copy in copies["near"]:
        pairs = list(zip(documents[original].split(" "), documents[copy].split(" "), strict=True))
        assert 0 < sum(one != other for one, other in pairs) <= len(pairs) / 30
    made = {copy for pairs in copies.values() for _, copy in pairs}
    others = [document for number, document in enumerate(documents) if number not in made]
    assert len(set(others)) == len(others)
