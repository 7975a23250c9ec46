"""The evaluation of any model on the user's own text: losses as transformers has them, time and text, and the page."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from hope.analysis.text_windows import text_windows
from hope.cli import main
from hope.errors import UserError
from hope.evaluation import retrieval
from hope.evaluation.retrieval import score
from hope.files import write_json
from hope.interchange.opening import open_checkpoint
from hope.interchange.stock_model import open_stock
from hope.model.loading import load_model
from hope.reporting import evaluation
from hope.reporting.evaluation import Texts, evaluate_checkpoint
from hope.reporting.on_text import resumed_folder
from tests.interchange.architectures import LENGTH, OTHERS, ROTARY, VOCABULARY, made
from tests.reporting.page.test_checkpoint import page, study_model, words_of

WORDS = [f"w{number}" for number in range(VOCABULARY - 2)]


def write_tokenizer(folder: Path) -> None:
    """Write a tokenizer of one token per word."""
    vocabulary = {word: number for number, word in enumerate(["<s>", "</s>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="</s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)


def stock(folder: Path, name: str, **over: object) -> Path:
    made(name, **over).save_pretrained(folder / name)
    write_tokenizer(folder / name)
    return folder / name


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    """Return a file of 1,000 words: two windows of eight training lengths."""
    path = tmp_path_factory.mktemp("text") / "long.txt"
    path.write_text(" ".join(np.random.default_rng(3).choice(WORDS, 1000)))
    return path


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hope.reporting.evaluation.PICTURES", ())


@pytest.fixture(scope="module")
def evaluated(text, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("evaluated")
    asked = [str(stock(folder, "llama")), "--text", str(text), "--output", str(folder / "out"), "--minutes", "5"]
    assert main(["evaluate", *asked]) == 0
    return folder


def table(folder: Path, name: str) -> pd.DataFrame:
    (path,) = folder.rglob(f"{name}.parquet")
    return pd.read_parquet(path)


def test_losses_are_those_of_transformers(evaluated, text):
    """At every position to eight training lengths, and on the same last tokens with less context."""
    ids = torch.tensor([[2 + WORDS.index(word) for word in text.read_text().split()]])
    theirs = AutoModelForCausalLM.from_pretrained(evaluated / "llama", attn_implementation="eager").eval()
    positions, contexts = (table(evaluated / "out", name) for name in ("extrapolation", "context"))
    assert positions["document"].nunique() == 1 and positions["window"].nunique() == 2
    windows, _ = text_windows([ids[0].numpy()], 4, 8 * LENGTH, [])
    for number, window in enumerate(torch.from_numpy(windows)):
        with torch.no_grad():
            logits = theirs(window[None, :-1]).logits[0]
            short = theirs(window[None, -LENGTH - 1 : -1]).logits[0]
        losses = F.cross_entropy(logits, window[1:], reduction="none")
        own = positions[(positions["window"] == number) & (positions["extension"] == "none")]
        for row in own.to_dict("records"):
            assert row["nll"] == pytest.approx(float(losses[row["start"] : row["end"]].sum()), rel=1e-4)
        own = contexts[(contexts["window"] == number) & (contexts["extension"] == "none")].set_index("context")["nll"]
        targets = int(contexts["tokens"].iloc[0])
        assert own[8 * LENGTH] == pytest.approx(float(losses[-targets:].sum()), rel=1e-4)
        expected = F.cross_entropy(short[-targets:], window[-targets:], reduction="none")
        assert own[LENGTH] == pytest.approx(float(expected.sum()), rel=1e-4)


def test_extensions_and_retrieval_stand_beside_it(evaluated):
    assert set(table(evaluated / "out", "extrapolation")["extension"]) == {"none", "yarn-8", "ntk-8", "linear-8"}
    retrieval = table(evaluated / "out", "retrieval")
    # Induction, recall and needle need more distinct tokens than 62.
    assert set(retrieval["task"]) == {"copy_text", "passkey"}
    assert (retrieval["length"] <= 8 * LENGTH).all() and retrieval["accuracy"].between(0, 1).all()
    html = page(evaluated / "out")
    said = words_of(html)
    assert not re.search(r"<script|@import|url\([\"']?(?:https?:)?//", html)
    for words in ("What to take from it", "The task recall: the tokenizer has too few tokens", "lm-eval", "RULER"):
        assert words in said
    for file in re.findall(r'href="\.\./([^"]+)"', html):
        assert (evaluated / "out" / file).is_file()
    assert html.count("data:image/svg+xml") == 5
    assert [path.name for path in evaluated.iterdir() if path.name.startswith(".")] == []


def test_the_numbers_of_the_page_are_those_of_the_tables(evaluated):
    frame, said = table(evaluated / "out", "context"), words_of(page(evaluated / "out")).replace("−", "-")
    loss = frame[frame["extension"] == "none"].set_index(["window", "context"])["nll"] / frame["tokens"].iloc[0]
    gain = (loss.xs(LENGTH, level=1) - loss.xs(8 * LENGTH, level=1)).to_numpy()
    shown = re.search(rf"{8 * LENGTH} \(8L\) \S+ ± \S+ (\S+) ± (\S+)", said)
    assert shown and float(shown[1]) == pytest.approx(gain.mean(), rel=6e-3)
    assert float(shown[2]) == pytest.approx(gain.std(ddof=1) / 2**0.5, rel=6e-2)


def test_time_and_text_set_how_far_it_goes(text, tmp_path, no_pictures, monkeypatch):
    folder = stock(tmp_path, "llama")
    monkeypatch.setattr(evaluation, "cost_of_passes", lambda model, kept: float)  # a second per token
    # Two windows of L = 48 and their contexts of 12 and 24 tokens take 168 s, half of what is allowed.
    evaluate_checkpoint(folder, [str(text)], tmp_path / "some", minutes=6, documents=2)
    assert table(tmp_path / "some", "extrapolation")["end"].max() == LENGTH
    said = words_of(page(tmp_path / "some"))
    assert "Windows of more than 48 tokens: the time (--minutes) or the documents allow no more" in said
    assert "Length extensions: no window is longer than L" in said
    (tmp_path / "short.txt").write_text(" ".join(text.read_text().split()[:220]))
    evaluate_checkpoint(folder, [str(tmp_path / "short.txt")], tmp_path / "less", minutes=1000, documents=2)
    assert table(tmp_path / "less", "extrapolation")["end"].max() == 2 * LENGTH


def test_what_was_stopped_goes_on_with_the_same_numbers(text, tmp_path, no_pictures, monkeypatch, capsys):
    folder = stock(tmp_path, "llama")
    evaluate_checkpoint(folder, [str(text)], tmp_path / "whole", minutes=5, documents=2)
    with monkeypatch.context() as stopped:
        stopped.setattr(evaluation, "write_retrieval", lambda *given, **more: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            evaluate_checkpoint(folder, [str(text)], tmp_path / "out", minutes=5, documents=2)
    capsys.readouterr()
    evaluate_checkpoint(folder, [str(text)], tmp_path / "out", minutes=5, documents=2)
    assert "goes on after 5 finished passes" in capsys.readouterr().out  # the cost, no extension, and three of them
    for name in ("extrapolation", "context", "retrieval"):
        pd.testing.assert_frame_equal(table(tmp_path / "whole", name), table(tmp_path / "out", name), check_exact=True)


QUICK = ("gemma3", "falcon", "gpt2", "mpt")


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[] if one in QUICK else pytest.mark.slow) for one in ROTARY | OTHERS]
)
def test_every_architecture_is_evaluated(name, text, tmp_path, no_pictures):
    evaluate_checkpoint(stock(tmp_path, name), [str(text)], tmp_path / "out", minutes=5, documents=2)
    frame = table(tmp_path / "out", "extrapolation")
    longest = open_stock(tmp_path / name).encoding.longest
    assert frame["end"].max() == (8 * LENGTH if longest is None else LENGTH)
    assert np.isfinite(frame["nll"]).all()
    extended = set(frame["extension"]) - {"none"}
    assert bool(extended) == (name in ROTARY)
    if name in OTHERS and longest:
        assert "the model has no more positions" in words_of(page(tmp_path / "out"))


def test_frequencies_of_the_model_that_change_are_not_extended(text, tmp_path, no_pictures):
    rope = {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}
    evaluate_checkpoint(stock(tmp_path, "llama", **rope), [str(text)], tmp_path / "out", minutes=5, documents=2)
    said = words_of(page(tmp_path / "out"))
    assert "The length extension yarn-8: the model's own frequencies change with the length of the text" in said


def begun(folder: Path) -> Path:
    """Let the tokenizer of a checkpoint put its start token before every text."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_another_length_does_not_go_on_with_what_was_kept(text, tmp_path, no_pictures, monkeypatch, capsys):
    folder = stock(tmp_path, "bloom")
    content = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {key: value for key, value in content.items() if key != "seq_length"})
    with monkeypatch.context() as stopped:
        stopped.setattr(evaluation, "write_retrieval", lambda *given, **more: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            evaluate_checkpoint(folder, [str(text)], tmp_path / "out", minutes=5, documents=2, length=LENGTH)
    evaluate_checkpoint(folder, [str(text)], tmp_path / "out", minutes=5, documents=2, length=LENGTH // 2)
    assert "goes on" not in capsys.readouterr().out
    assert table(tmp_path / "out", "extrapolation")["end"].max() == 8 * LENGTH // 2


def test_a_length_beside_that_of_the_config_is_one_line(text, tmp_path):
    with pytest.raises(UserError, match=f"--length: 64 tokens, but .*config.json names a training length of {LENGTH};"):
        evaluate_checkpoint(stock(tmp_path, "llama"), [str(text)], tmp_path / "out", length=64)


def test_prompts_begin_with_the_start_token_as_windows_do(text, tmp_path, no_pictures, monkeypatch):
    seen = []

    def scored(model, examples, what="prompts"):
        seen.extend((what, one) for one in examples)
        return score(model, examples, what)

    monkeypatch.setattr(retrieval, "score", scored)
    evaluate_checkpoint(begun(stock(tmp_path, "llama")), [str(text)], tmp_path / "out", minutes=5, documents=2)
    assert len(seen) > 100
    for what, one in seen:
        assert one.tokens[0] == 0 and not one.answer[0] and one.answer.any()
        assert f"at {len(one.tokens)} tokens" in what and len(one.answer) == len(one.tokens)
    said = words_of(page(tmp_path / "out"))
    assert "own tokens, behind the start token:" in said and "each begins with the start token" in said


@pytest.mark.parametrize(
    ("single", "side", "start"),
    [("$A", "right", []), ("<s> $A", "left", [0]), ("$A </s>", "right", []), ("<s> $A </s>", "right", [0])],
)
def test_the_start_token_is_what_transformers_puts_before_a_text(single, side, start, tmp_path):
    """Whatever padding and truncation the file asks for, and though the end token is that of the config's start."""
    folder = stock(tmp_path, "llama", bos_token_id=1)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ends = [("<s>", 0), ("</s>", 1)]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=ends)
    theirs = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>", padding_side=side
    )
    theirs("w1 w2", padding="max_length", max_length=8, truncation=True)
    theirs.save_pretrained(folder)
    assert json.loads((folder / "tokenizer.json").read_text())["padding"]
    ids = AutoTokenizer.from_pretrained(folder)("w1 w2").input_ids
    assert ids[: ids.index(2 + WORDS.index("w1"))] == start
    opened = open_checkpoint(folder)
    assert opened.start == start
    assert opened.encode(["w1 w2 " * 9])[0].tolist() == [2 + WORDS.index("w1"), 2 + WORDS.index("w2")] * 9


def test_a_tokenizer_with_dropout_yields_the_same_tokens_each_time(tmp_path):
    folder = stock(tmp_path, "llama")
    tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")], dropout=0.5))
    tokenizer.save(str(folder / "tokenizer.json"))
    assert {tuple(ids) for ids in open_checkpoint(folder).encode(["ab"] * 40)} == {(2,)}


@pytest.mark.parametrize("name", ["modèle", "m" * 120, "模型"])
def test_a_folder_of_any_name_is_evaluated(name, text, tmp_path, no_pictures):
    folder = stock(tmp_path, "gpt2").rename(tmp_path / name)
    evaluate_checkpoint(folder, [str(text)], tmp_path / "out", minutes=5, documents=2)
    assert f"The losses of {name}" in page(tmp_path / "out")


def test_an_odd_head_dimension_is_one_line(text, tmp_path):
    with pytest.raises(UserError, match=r"config.json: cannot be looked into: width / heads is 9"):
        evaluate_checkpoint(stock(tmp_path, "gpt2", n_embd=36), [str(text)], tmp_path / "out")


def test_a_place_below_a_file_is_one_line(text, tmp_path):
    with pytest.raises(UserError, match=r"long.txt/out: cannot be made \(.*: Not a directory\); name a folder"):
        evaluate_checkpoint(stock(tmp_path, "gpt2"), [str(text)], text / "out")


def test_a_call_that_is_killed_at_its_end_has_lost_nothing(tmp_path, monkeypatch):
    def killed(path, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("hope.reporting.on_text.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt), resumed_folder(tmp_path / "out", "key") as folder:
        (folder / "page").touch()
    assert (tmp_path / "out" / "page").is_file()


def test_a_tokenizer_with_more_tokens_than_the_model_is_one_line(text, tmp_path):
    folder = stock(tmp_path, "gpt2")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens(["[PAD]"])
    tokenizer.save(str(folder / "tokenizer.json"))
    words = f"has {VOCABULARY + 1} tokens, but .* has {VOCABULARY}; put the tokenizer.json there that belongs"
    with pytest.raises(UserError, match=words):
        evaluate_checkpoint(folder, [str(text)], tmp_path / "out")


def test_spans_lie_within_a_document_at_any_place():
    texts, random = Texts([np.arange(10), np.arange(100, 105), np.arange(200, 203)]), np.random.default_rng(0)
    spans = [texts.span(random, 4) for _ in range(400)]
    assert all((np.diff(span) == 1).all() and len(span) == 4 for span in spans)
    assert {int(span[0]) for span in spans} == {*range(7), 100, 101}
    with pytest.raises(UserError, match="no document has the 11 tokens"):
        texts.span(random, 11)


def test_a_tokenizer_without_an_unknown_token_is_one_line(text, tmp_path):
    folder = stock(tmp_path, "llama")
    for model in (
        models.WordLevel({"w1": 0}, unk_token="[UNK]"),
        models.WordPiece({"w1": 0}, unk_token="[UNK]"),
        models.Unigram([("w1", -1.0)], None),
    ):
        Tokenizer(model).save(str(folder / "tokenizer.json"))
        with pytest.raises(UserError, match=r"tokenizer.json: cannot encode the text") as caught:
            evaluate_checkpoint(folder, [str(text)], tmp_path / "out")
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["llama"]


@pytest.mark.parametrize("name", ["hope", "alibi", "learned"])
def test_a_model_of_a_study_is_evaluated_with_its_own_tokenizer(name, tiny_files, tmp_path, no_pictures):
    model = study_model(tmp_path, tiny_files, name)
    evaluate_checkpoint(model, [str(tiny_files / "00.txt")], tmp_path / "out", minutes=5, documents=2)
    frame, retrieval = (table(tmp_path / "out", one) for one in ("extrapolation", "retrieval"))
    length = load_model(model).training_length
    assert frame["end"].max() == (length if name == "learned" else 8 * length)
    assert {"recall", "needle"} <= set(retrieval["task"])
    assert (set(frame["extension"]) != {"none"}) == (name == "hope")
    said = words_of(page(tmp_path / "out"))
    assert f"{name}-seed0 : a model of a study" in said and "A line break and a question mark" not in said
