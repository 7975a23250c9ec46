"""A vocabulary of symbols alone: a data folder without text that all readers of data folders accept."""

import pytest
from transformers import AutoTokenizer

from hope.data.symbols import write_symbols
from hope.data.tokenize import SPLITS
from hope.data.tokenizer import SPECIAL, encode
from hope.data.tokens import TokenCorpus
from hope.errors import UserError
from hope.interchange.tokenizer import open_tokenizer
from hope.seeding import generator
from hope.tasks import Vocabulary


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("symbols")
    write_symbols(40, folder)
    return folder


def test_both_sides_are_sound_and_hold_no_token(folder, tmp_path):
    write_symbols(40, tmp_path / "same")
    write_symbols(41, tmp_path / "other")
    for split in SPLITS:
        corpus = TokenCorpus.open(folder / split, verify=True)
        assert (corpus.tokens, corpus.documents, corpus.vocabulary) == (0, 0, 44)
        assert sorted(corpus.special) == sorted(SPECIAL) and sorted(corpus.special.values()) == [0, 1, 2, 3]
        assert Vocabulary(corpus.vocabulary, corpus.special).ordinary.tolist() == list(range(4, 44))
        with pytest.raises(UserError, match=f"{split}: holds 0 tokens, but a prompt asks for 5 of text"):
            corpus.span(generator("test"), 5)
        same, other = (TokenCorpus.open(tmp_path / name / split).digest for name in ("same", "other"))
        assert corpus.digest == same != other


def test_transformers_reads_the_tokenizer_and_other_words_are_refused(folder):
    tokenizer, opened = AutoTokenizer.from_pretrained(folder / "tokenizer"), open_tokenizer(folder / "tokenizer")
    text = "s0 s39 <|separator|> s7 <|query|> s0"
    assert len(tokenizer) == 44
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == [4, 43, 2, 11, 3, 4]
    assert tokenizer.decode([4, 43, 2, 11, 3, 4]) == text
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (opened.start, opened.end) == (0, 1)
    assert [ids.tolist() for ids in encode(opened.tokenizer, ["s0  s1\n"])] == [[4, 5]]
    for wrong in ("s40", "s0 hello s1", "s0s1", "S0"):
        with pytest.raises(Exception, match="Missing"):
            encode(opened.tokenizer, [wrong])
