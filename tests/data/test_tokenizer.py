"""Tokenizers: lossless, deterministic, and deaf to special tokens in a text."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_data import prose
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from hope.config import Tokens
from hope.data.tokenizer import (
    SPECIAL,
    _pieces,
    cuts_at_spaces,
    encode,
    fit_tokenizer,
    load_pretrained,
    pieces_at_spaces,
    save_tokenizer,
    special_ids,
    spells_all,
    token_ids,
    unknown_characters,
)
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


@given(st.text(st.sampled_from("ab's12 -\n\t\u00a0é\u0301漢😀\x1c"), max_size=60), st.integers(1, 5))
@example("it's  two\n\n lines", 3)
@settings(deadline=None, max_examples=200)
def test_a_text_in_pieces_gives_the_same_tokens(text: str, characters: int) -> None:
    pieces = list(pieces_at_spaces(text, characters))
    assert "".join(pieces) == text
    ids = [ids for piece in pieces for ids in encode(FITTED, [piece])[0].tolist()]
    assert ids == encode(FITTED, [text])[0].tolist()


def test_only_tokenizers_with_the_pattern_of_gpt_2_take_pieces() -> None:
    assert cuts_at_spaces(FITTED)
    for change in ("prefix", "normalizer", "words", "added"):
        other = Tokenizer.from_str(FITTED.to_str())
        if change == "prefix":
            other.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        elif change == "normalizer":
            other.normalizer = normalizers.Prepend("a")
        elif change == "words":
            other.pre_tokenizer = pre_tokenizers.Metaspace()
        else:
            other.add_tokens(["a b"])
        assert not cuts_at_spaces(other), change


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
    tokenizer = byte_level()
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


def byte_level(**settings: object) -> Tokenizer:
    """Return a byte-level BPE without merges, as made elsewhere."""
    alphabet = {token: index for index, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[], **settings))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def llama3() -> Tokenizer:
    """Return a tokenizer that begins each text with a mark."""
    tokenizer = byte_level(ignore_merges=True)
    tokenizer.add_special_tokens(["<|begin_of_text|>"])
    mark = ("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))
    template = processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[mark])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return tokenizer


def bert() -> Tokenizer:
    """Return a tokenizer that marks both ends, and folds case and accents."""
    words = [
        "[UNK]",
        "[CLS]",
        "[SEP]",
        *"abcdefghijklmnopqrstuvwxyz",
        *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
    ]
    tokenizer = Tokenizer(models.WordPiece({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer.add_special_tokens(["[UNK]", "[CLS]", "[SEP]"])
    return tokenizer


def unigram() -> Tokenizer:
    """Return a SentencePiece tokenizer, which writes a space as a letter and begins each text with one."""
    pieces = [("<unk>", 0.0), ("\u2581", -2.0), *((c, -3.0) for c in "abcdefghijklmnopqrstuvwxyz"), ("\u2581the", -1.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


@pytest.mark.parametrize("made", [llama3, bert, unigram, lambda: byte_level(dropout=0.5)])
def test_an_exported_tokenizer_gives_the_ids_of_the_training_by_default(
    made: Callable[[], Tokenizer], tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    made().save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_pretrained(Tokens(tokenizer="pretrained", pretrained=str(tmp_path)))
    save_tokenizer(tokenizer, tmp_path / "saved")
    text = "The quick Brown fox,  jumps over\nthe lazy dog. Caf\u00e9"
    ids = encode(tokenizer, [text])[0].tolist()
    assert ids == encode(tokenizer, [text])[0].tolist()
    assert Tokenizer.from_file(str(tmp_path / "saved" / "tokenizer.json")).encode(text).ids == ids
    assert AutoTokenizer.from_pretrained(tmp_path / "saved")(text)["input_ids"] == ids


def test_what_a_tokenizer_has_no_token_for_is_counted() -> None:
    assert spells_all(byte_level()) and spells_all(FITTED) and spells_all(llama3())
    few = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "ab": 2}, merges=[("a", "b")]))
    for tokenizer, text, expected in (
        (few, "ab c ab\nd\u00e9", {"c": 1, "d": 1, "\u00e9": 1}),  # dropped without a word
        (bert(), "abc \u0434\u0430 abc", {"\u0434": 1, "\u0430": 1}),
        (unigram(), "the \u0434 cat", {"\u0434": 1}),
        (unigram(), "the cat", {}),
    ):
        assert not spells_all(tokenizer)
        assert unknown_characters(tokenizer, [text]) == expected
    without = Tokenizer(models.WordLevel({"a": 0}))
    without.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    with pytest.raises(
        UserError, match=r"^tokens\.pretrained: this tokenizer cannot encode [^\n]*unknown words[^\n]*$"
    ):
        token_ids(without, ["a b"])


def test_a_path_of_the_users_home_is_expanded(foreign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(foreign.parent))
    settings = Tokens(tokenizer="pretrained", pretrained=f"~/{foreign.name}")
    assert settings.local == foreign
    assert load_pretrained(settings).get_vocab_size() == 261


def test_words_without_an_end_are_fitted_on_in_pieces(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    alphabets = ("acgt", "0123456789", "=+*", "\u0e01\u0e02\u0e03")
    runs = ["".join(rng.choice(list(letters), 60_000)) for letters in alphabets]
    started = time.process_time()
    tokenizer = fit_tokenizer([*runs, " " * 60_000, prose(0, 20)], 600)
    assert time.process_time() - started < 20, "an unbounded fit takes minutes"
    assert "words of more than 256 characters are fitted on in pieces" in capsys.readouterr().out
    for text in runs:
        [ids] = encode(tokenizer, [text])
        assert tokenizer.decode(ids.tolist()) == text and len(ids) < 0.75 * len(text.encode())
    assert [len(piece) for piece in _pieces(["a" * 1_000])] == [256, 256, 256, 232]
    assert list(_pieces([prose(0, 20)])) == [prose(0, 20)]


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
