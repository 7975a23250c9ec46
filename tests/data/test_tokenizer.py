"""Tokenizers: lossless, deterministic, and deaf to special tokens in a text."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_data import prose
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from hope.config import Tokens
from hope.data.tokenizer import SPECIAL, encode, fit_tokenizer, load_pretrained, save_tokenizer, special_ids
from hope.errors import UserError

FITTED = fit_tokenizer([prose(seed, 40) for seed in range(10)], 400)

ANY_TEXT = st.lists(
    st.one_of(st.text(max_size=30), st.sampled_from([*SPECIAL.values(), "<|", "|>", "end", "\n", "\t", " ", "\r\n"])),
    max_size=8,
).map("".join)


@given(ANY_TEXT)
@example("<|end|>")
@example("a<|start|><|end|> <|separator|>\n<|query|>")
@example("".join(map(chr, range(256))))
@settings(deadline=None, max_examples=50)
def test_any_text_comes_back_and_never_yields_a_special_token(text: str) -> None:
    [ids] = encode(FITTED, [text])
    assert FITTED.decode(ids.tolist(), skip_special_tokens=False) == text
    assert not set(ids.tolist()) & set(special_ids(FITTED).values())


def test_a_fit_gives_special_tokens_first_and_merges_frequent_pairs() -> None:
    assert special_ids(FITTED) == {"start": 0, "end": 1, "separator": 2, "query": 3}
    assert FITTED.get_vocab_size() == 400
    again = fit_tokenizer(iter([prose(seed, 40) for seed in range(10)]), 400)
    assert again.to_str() == FITTED.to_str()
    vocabulary = fit_tokenizer(["ab ab ab cd cd ab"], 261).get_vocab()
    assert "ab" in vocabulary and "cd" not in vocabulary
    assert 260 < fit_tokenizer(["abc abc"], 5_000).get_vocab_size() < 270, "a small corpus gives fewer tokens"


def test_transformers_loads_the_folder_and_agrees(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    save_tokenizer(FITTED, tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = prose(77, 5) + "naïve \U0001f600\n\tindented"
    ids = loaded(text, add_special_tokens=True)["input_ids"]
    assert ids == encode(FITTED, [text])[0].tolist()
    assert loaded.decode(ids) == text
    assert (loaded.bos_token_id, loaded.eos_token_id, len(loaded)) == (0, 1, 400)
    assert loaded("<|query|>")["input_ids"] == [3]


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A tokenizer of another make: cuts, pads and marks texts, and has an end token of its own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = {token: index for index, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer.model = models.BPE(vocab=alphabet, merges=[])
    tokenizer.add_special_tokens(["[CLS]", "<|end|>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 256)])
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_a_pretrained_tokenizer_neither_cuts_nor_marks_and_gets_our_tokens(foreign: Path) -> None:
    for path in (foreign, foreign / "tokenizer.json"):
        tokenizer = load_pretrained(Tokens(tokenizer="pretrained", pretrained=str(path)))
        assert special_ids(tokenizer) == {"start": 258, "end": 257, "separator": 259, "query": 260}
        [long, short] = encode(tokenizer, ["a long text that is not cut", "[CLS]<|end|>"])
        assert len(long) == len("a long text that is not cut")
        assert len(short) == len("[CLS]<|end|>") and short.max() < 256


def test_a_tokenizer_that_takes_a_mark_for_a_word_is_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"<|end|>": 0, "the": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    loaded = load_pretrained(Tokens(tokenizer="pretrained", pretrained=str(tmp_path)))
    assert encode(loaded, ["The the"])[0].tolist() == [1, 1]
    with pytest.raises(UserError, match=r"^tokens\.pretrained: this tokenizer encodes plain text[^\n]*$"):
        encode(loaded, ["the <|end|>"])


def test_a_vocabulary_whose_gaps_would_share_an_id_is_refused(tmp_path: Path) -> None:
    for gap, clashes in ((9, False), (5, True)):
        Tokenizer(models.WordLevel({"a": 0, "b": gap}, unk_token="a")).save(str(tmp_path / "tokenizer.json"))
        settings = Tokens(tokenizer="pretrained", pretrained=str(tmp_path))
        if clashes:
            with pytest.raises(UserError, match=r"^tokens\.pretrained: the ids of [^\n]* have gaps[^\n]*$"):
                load_pretrained(settings)
        else:
            assert sorted(load_pretrained(settings).get_vocab().values()) == [0, 2, 3, 4, 5, 9]


def test_a_missing_or_broken_tokenizer_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text(json.dumps({"version": "1.0"}))
    (tmp_path / "no.json").touch()
    settings = [
        Tokens(tokenizer="pretrained", pretrained=str(tmp_path / name)) for name in ("", "no.json", "broken.json")
    ]
    (tmp_path / "no.json").unlink()  # gone between the check of the config and the job
    expected = (r"tokenizer\.json is no file", "is no file", "cannot read a tokenizer")
    for asked, words in zip(settings, expected, strict=True):
        with pytest.raises(UserError, match=rf"^tokens\.pretrained: [^\n]*{words}[^\n]*$"):
            load_pretrained(asked)


def test_encoding_gives_one_array_per_text_in_order() -> None:
    texts = [prose(seed, 3) for seed in range(20)] + [""]
    for together, text in zip(encode(FITTED, texts), texts, strict=True):
        np.testing.assert_array_equal(together, encode(FITTED, [text])[0])
