"""Token folders as they are written: contents, order of writing, failures."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_data import prose, table_of
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from hope.cli import main
from hope.config import Corpus, Files, Tokens, Validation, to_json
from hope.data.corpus import prepare_corpus
from hope.data.tokenize import join_parts, tokenize_corpus, tokenize_part
from hope.data.tokenizer import encode, save_tokenizer
from hope.data.tokens import TokenCorpus
from hope.errors import UserError
from hope.paths import part_folder

SIDES = ("train", "validation")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_tokens_decode_to_the_documents_of_their_side(data: Path) -> None:
    table = table_of(data / "corpus")
    tokenizer = Tokenizer.from_file(str(data / "tokenizer" / "tokenizer.json"))
    for side in SIDES:
        texts = table[table.split == side].text.tolist()
        corpus = TokenCorpus.open(data / side, verify=True)
        assert corpus.documents == len(texts)
        for index, text in enumerate(texts):
            ids = corpus.document(index).tolist()
            assert ids[-1] == corpus.special["end"] and corpus.special["end"] not in ids[:-1]
            assert tokenizer.decode(ids[:-1], skip_special_tokens=False) == text
    assert table.text.str.contains("<|end|>", regex=False).sum() == 1, "a literal end token ends no document"


def test_the_manifest_describes_the_files(data: Path) -> None:
    description = json.loads((data / "corpus" / "corpus.json").read_text())
    for side in SIDES:
        manifest = json.loads((data / side / "manifest.json").read_text())
        shards = sorted((data / side).glob("shard-*.bin"))
        assert manifest["shards"] == [
            {"file": path.name, "sha256": sha256(path), "tokens": path.stat().st_size // 2} for path in shards
        ]
        assert len(shards) > 1 and {shard["tokens"] for shard in manifest["shards"][:-1]} == {1_000}
        assert manifest["documents_sha256"] == sha256(data / side / "documents.bin")
        assert manifest["tokenizer_sha256"] == sha256(data / "tokenizer" / "tokenizer.json")
        assert manifest["corpus_digest"] == description["digest"]
        assert manifest["characters"] == description["split"][side]["characters"]
        assert (manifest["vocabulary"], manifest["dtype"], manifest["split"]) == (400, "uint16", side)


def test_altered_tokens_of_a_part_and_an_altered_tokenizer_are_refused(data: Path, tmp_path: Path) -> None:
    corpus, tokenizer, part = data / "corpus", tmp_path / "tokenizer", part_folder(tmp_path, 0)
    settings = ["--settings", to_json(Tokens(vocabulary=400)), "--corpus", str(corpus)]
    assert main(["fit-tokenizer", *settings, "--output", str(tokenizer)]) == 0
    tokenize_part(corpus, 0, tokenizer, part)
    for path in sorted(part.glob("*.bin")):
        whole = path.read_bytes()
        path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        with pytest.raises(UserError, match=rf"{path.name}: altered since .*tokens.json was written"):
            join_parts(Tokens(), corpus, tmp_path)
        path.write_bytes(whole)
    join_parts(Tokens(), corpus, tmp_path)
    path = tokenizer / "tokenizer.json"
    path.write_text(path.read_text().replace("<|query|>", "<|quern|>"))
    with pytest.raises(UserError, match=r"tokenizer.json: altered since .*fit-tokenizer.cost.json was written"):
        tokenize_part(corpus, 0, tokenizer, part)
    tokenize_corpus(Tokens(vocabulary=400), corpus, tmp_path)


def test_another_shard_size_changes_no_token_and_leaves_no_older_shard(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path, dirs_exist_ok=True)
    tokenize_corpus(Tokens(vocabulary=400), tmp_path / "corpus", tmp_path)
    for side in SIDES:
        names = sorted(path.name for path in (tmp_path / side).iterdir())
        assert names == ["documents.bin", "manifest.json", "shard-00000.bin"]
        whole, cut = TokenCorpus.open(tmp_path / side), TokenCorpus.open(data / side)
        np.testing.assert_array_equal(whole.read(0, whole.tokens), cut.read(0, cut.tokens))
        np.testing.assert_array_equal(whole.offsets, cut.offsets)


def test_tokens_are_learned_from_the_training_side_alone(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    letters = "bcdfghklmnprstvw"
    for index in range(16):
        word = f"{letters[index]}q{letters[-index]}xyz"
        (folder / f"{index:02d}.txt").write_text(f"{word} " * 40 + prose(index, 4))
    validation = Validation(share=0.3, long_documents=1, long_characters=1)
    prepare_corpus(Corpus(source="files", files=Files(paths=[str(folder)]), validation=validation), tmp_path / "corpus")
    tokenize_corpus(Tokens(vocabulary=1_000), tmp_path / "corpus", tmp_path)
    words = set(Tokenizer.from_file(str(tmp_path / "tokenizer" / "tokenizer.json")).get_vocab())
    table = table_of(tmp_path / "corpus")
    assert set(table.split) == set(SIDES)
    for row in table.itertuples():
        assert (f"Ġ{row.text.split()[0]}" in words) == (row.split == "train"), row.name


def test_a_large_pretrained_vocabulary_takes_four_bytes_a_token(data: Path, tmp_path: Path) -> None:
    words = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(f"never seen {index}" for index in range(66_000))]
    tokenizer = Tokenizer(models.BPE(vocab={word: index for index, word in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    save_tokenizer(tokenizer, tmp_path / "large")
    asked = Tokens(tokenizer="pretrained", pretrained=str(tmp_path / "large"))
    tokenize_corpus(asked, data / "corpus", tmp_path / "data")
    corpus = TokenCorpus.open(tmp_path / "data" / "train")
    assert corpus.manifest["dtype"] == "uint32" and corpus.vocabulary == len(words) + 4
    table = table_of(data / "corpus")
    first = table[table.split == "train"].text.iloc[0]
    assert tokenizer.decode(corpus.document(0)[:-1].tolist()) == first


def test_a_failure_leaves_nothing_that_passes_for_whole(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(data, tmp_path, dirs_exist_ok=True)
    written = []

    def full_at_third_file(path: Path, array: np.ndarray) -> None:
        written.append(path)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        array.tofile(path)

    monkeypatch.setattr("hope.data.tokenize._write_array", full_at_third_file)
    with pytest.raises(OSError, match="No space left"):
        tokenize_corpus(Tokens(vocabulary=400, shard_tokens=2_000), data / "corpus", tmp_path)
    for side in SIDES:
        with pytest.raises(UserError, match=r"manifest\.json: there is no such file; tokenize the corpus first"):
            TokenCorpus.open(tmp_path / side)
    with pytest.raises(UserError, match=r"corpus\.json: there is no such file"):
        tokenize_corpus(Tokens(), tmp_path / "nowhere", tmp_path)


def test_long_documents_are_encoded_in_pieces_and_give_the_same_tokens(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hope.data.tokenize.BATCH_CHARACTERS", 1_500)
    longest = []
    monkeypatch.setattr(
        "hope.data.tokenize.encode", lambda *asked: (longest.append(sum(map(len, asked[1]))), encode(*asked))[1]
    )
    unfinished = tmp_path / "train" / ".shard-00000.bin.1.part"
    unfinished.parent.mkdir()
    unfinished.touch()
    tokenize_corpus(Tokens(vocabulary=400, shard_tokens=1_000), data / "corpus", tmp_path)
    for side in SIDES:
        assert (tmp_path / side / "manifest.json").read_bytes() == (data / side / "manifest.json").read_bytes()
    assert max(longest) < 1_520 and not unfinished.exists()


def test_a_long_document_is_refused_by_a_tokenizer_that_encodes_it_whole(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hope.data.tokenize.WHOLE_CHARACTERS", 2_000)
    tokenize_part(data / "corpus", 0, data / "tokenizer", tmp_path / "part", memory_mb=1)
    other = Tokenizer.from_file(str(data / "tokenizer" / "tokenizer.json"))
    other.normalizer = normalizers.NFC()
    save_tokenizer(other, tmp_path / "other")
    with pytest.raises(UserError, match=r"^tokens\.pretrained: [^\n]* characters does not fit 1 MB; split[^\n]*'bpe'$"):
        tokenize_part(data / "corpus", 0, tmp_path / "other", tmp_path / "refused", memory_mb=1)
    tokenize_part(data / "corpus", 0, tmp_path / "other", tmp_path / "whole", memory_mb=4)


def test_the_number_of_shards_changes_no_example_of_an_unknown_character(tmp_path: Path) -> None:
    odd = [chr(0x4E00 + index) for index in range(30)]
    (tmp_path / "a.txt").write_text("e" + "".join(odd[15:]))
    (tmp_path / "b.txt").write_text("e" + "".join(odd[:15]))
    Tokenizer(models.BPE(vocab={"e": 0}, merges=[])).save(str(tmp_path / "tokenizer.json"))
    tokens = Tokens(tokenizer="pretrained", pretrained=str(tmp_path), unknown_share=1.0)
    validation = Validation(long_documents=1, long_characters=1)
    for shards in (1, 2):
        files = Files(paths=[str(tmp_path / "*.txt")])
        output = tmp_path / str(shards)
        prepare_corpus(Corpus(source="files", files=files, validation=validation, shards=shards), output / "corpus")
        tokenize_corpus(tokens, output / "corpus", output)
        assert json.loads((output / "unknown.json").read_text())["examples"] == dict.fromkeys(odd[:20], 1)


def test_text_that_a_tokenizer_cannot_spell_is_refused_above_a_share(data: Path, tmp_path: Path) -> None:
    Tokenizer(models.BPE(vocab={"e": 0, "a": 1}, merges=[])).save(str(tmp_path / "tokenizer.json"))
    asked = {"tokenizer": "pretrained", "pretrained": str(tmp_path)}
    with pytest.raises(UserError, match=r"^tokens\.pretrained: [^\n]*no token for [^\n]*raise tokens\.unknown_share$"):
        tokenize_corpus(Tokens(**asked), data / "corpus", tmp_path / "refused")
    assert not (tmp_path / "refused" / "train" / "manifest.json").exists()
    tokenize_corpus(Tokens(**asked, unknown_share=1.0), data / "corpus", tmp_path / "kept")
    counts = json.loads((tmp_path / "kept" / "unknown.json").read_text())
    text = "".join(table_of(data / "corpus").text)
    missing = [character for character in text if character not in "ea" and not character.isspace()]
    assert counts["characters"] == len(missing) and counts["share"] == len(missing) / len(text)
    assert json.loads((data / "unknown.json").read_text()) == {"characters": 0, "examples": {}, "share": 0.0}
