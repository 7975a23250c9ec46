"""The analysis of any model, from text to page: a stock checkpoint made by transformers, and models trained here."""

import re
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hope.analysis.stream import observe_attention
from hope.analysis.text_windows import text_windows
from hope.cli import main
from hope.config import MAIN
from hope.data import progress
from hope.data.tokenizer import fit_tokenizer, save_tokenizer
from hope.errors import UserError
from hope.files import write_json
from hope.model.decoder import Decoder
from hope.model.loading import save_model
from hope.reporting.checkpoint import analyze_checkpoint
from hope.reporting.page.checkpoint import checkpoint_page
from hope.reporting.study_tables import StudyTables
from tests.conftest import tiny_study
from tests.interchange.architectures import OTHERS, ROTARY, made
from tests.reporting.pages import broken_joins

WORDS = [f"w{number}" for number in range(60)]


def text(tokens: int, seed: int = 3) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, tokens))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "long.txt").write_text(text(900))
    (folder / "other.md").write_text(text(400, seed=4))
    (folder / "short.txt").write_text(text(10))
    (folder.parent / "rows.jsonl").write_text('{"body": "w1 w2"}')
    return folder


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with L = 64 and a tokenizer of one token per word, which marks the beginning of a text."""
    folder = tmp_path_factory.mktemp("stock") / "their model"
    vocabulary = {word: number for number, word in enumerate(["<s>", "</s>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="</s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(1)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=62,
            num_key_value_heads=2,
            max_position_embeddings=64,
            bos_token_id=0,
            eos_token_id=1,
            **sizes,
            initializer_range=0.3,
            attn_implementation="eager",
        )  # fmt: skip
    ).eval()
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def looked_at(stock: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("output") / "look"
    assert main(["analyze", str(stock), "--text", str(texts), "--output", str(output), "--documents", "5"]) == 0
    return output


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no figures, which take most of the time."""
    monkeypatch.setattr("hope.reporting.checkpoint.PICTURES", ())


def page(folder: Path) -> str:
    html = (folder / "report" / "index.html").read_text(encoding="utf-8")
    assert broken_joins(html) == []
    return html


def words_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<style.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL)).split())


def test_the_attention_is_that_of_transformers(looked_at: Path, stock: Path, texts: Path) -> None:
    profile = pd.read_parquet(looked_at / "analysis" / "main" / "rope" / "seed0" / "profile.parquet")
    own = profile.query("subject == 'trained' and axis == 'key' and query == 63")
    ids = [np.array([2 + WORDS.index(word) for word in (texts / name).read_text().split()]) for name in
           ("long.txt", "other.md", "short.txt")]  # fmt: skip
    windows, sources = text_windows(ids, 5, 128, [0])
    assert windows.shape == (5, 129) and (windows[:, 0] == 0).all() and set(sources) <= {0, 1}
    theirs = LlamaForCausalLM.from_pretrained(stock, attn_implementation="eager").eval()
    with torch.no_grad():
        maps = theirs(torch.from_numpy(windows)[:, :-1], output_attentions=True).attentions
    for layer, full in enumerate(maps):
        expected = full[:, :, 56:64, :64].mean(dim=(0, 2))
        got = own[own["layer"] == layer].pivot(index="head", columns="start", values="mass").to_numpy()
        np.testing.assert_allclose(got, expected.numpy(), atol=1e-5)


def test_it_leaves_every_table_and_figure(looked_at: Path) -> None:
    tables = {path.stem for path in (looked_at / "analysis" / "main" / "rope" / "seed0").iterdir()}
    assert tables == {"profile", "ushape", "divergence", "components", "activation", "kernel_trained", "intervention"}
    names = ("attention_profile", "ushape_heads", "components", "intervention", "divergence")
    drawn = {path.name for path in (looked_at / "figures" / "main").iterdir()}
    assert drawn == {f"{name}.{suffix}" for name in names for suffix in ("svg", "png", "csv")}
    assert page(looked_at).count("data:image/svg+xml") == len(names)
    assert [path.name for path in looked_at.parent.iterdir()] == ["look"]


def test_the_page_is_one_file_that_fetches_nothing(looked_at: Path) -> None:
    html = page(looked_at)
    assert not re.search(r"<script|@import|url\([\"']?(?:https?:)?//", html)
    assert not re.findall(r"<(?:link|img|iframe|source)[^>]+(?:src|href)=(?![\"']?data:)", html)
    said = words_of(html)
    assert "their model : a stock checkpoint, model_type llama" in said
    assert "each begins with the start token" in said and "5 windows from 2 of 3 documents" in said
    for title in ("Attention by distance", "Frequency components", "Interventions", "Past the training length"):
        assert title in said
    for file in re.findall(r'href="\.\./([^"]+)"', html):
        assert (looked_at / file).is_file()


def test_its_numbers_are_those_of_the_tables(looked_at: Path) -> None:
    folder = looked_at / "analysis" / "main" / "rope" / "seed0"
    ushape = pd.read_parquet(folder / "ushape.parquet").query("subject == 'trained' and query == 63")
    index = ushape.groupby("document")["index_without_sink"].mean()
    said = words_of(page(looked_at)).replace("−", "-")
    shown = re.search(r"this model (\S+) ± (\S+)", said)
    assert shown
    assert float(shown[1]) == pytest.approx(index.mean(), rel=6e-3)
    assert float(shown[2]) == pytest.approx(index.std() / 5**0.5, rel=6e-2)
    loss = pd.read_parquet(folder / "intervention.parquet").query("measure == 'loss_within'")
    means = loss.groupby(["mode", "set"])["value"].mean()
    change = means["remove", "fast"] - means["none", "none"]
    row = re.search(r"fast: one turn or more removed \S+ ± \S+ (\S+) ±", said)
    assert row and float(row[1]) == pytest.approx(change, rel=6e-3)


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        (5.0, "above both nulls by more than two standard errors: attention is a U"),
        (-5.0, "which is no U: one end, or both, draw no more attention than the middle. The index"),
        (None, "which is not above both nulls by two standard errors: a U is not shown. The index"),
    ],
)
def test_what_the_index_shows_is_one_sentence(shift: float | None, words: str, looked_at: Path, tmp_path: Path) -> None:
    folder = tmp_path / "look"
    shutil.copytree(looked_at, folder)
    path = folder / "analysis" / "main" / "rope" / "seed0" / "ushape.parquet"
    table = pd.read_parquet(path)
    trained = table["subject"] == "trained"
    table["index_without_sink"] = table["index_without_sink"].where(~trained, shift) if shift else 1.0
    table.to_parquet(path)
    facts = {"checkpoint": "mine", "kind": "a stock checkpoint", "trained_here": True, "parameters": 9, "files": {}}
    facts |= {"trained_length": 64, "start": False, "windows": 5, "documents": 1, "documents_used": 1, "tokens": 700}
    html = checkpoint_page(StudyTables(folder).arms["main"], facts | {"past": False, "limit": 128, "turned": 2})
    assert words in words_of(html) and broken_joins(html) == []


def test_a_shorter_length_leaves_out_what_lies_past_training(
    stock: Path, texts: Path, tmp_path: Path, no_pictures: None
) -> None:
    analyze_checkpoint(stock, [str(texts)], tmp_path / "short", length=32, documents=3)
    said = words_of(page(tmp_path / "short"))
    assert "Analysed over L = 32 tokens of its training length of 64" in said
    assert "Attention past the training length: the windows have 32 of the 64 tokens" in said
    ushape = pd.read_parquet(tmp_path / "short" / "analysis" / "main" / "rope" / "seed0" / "ushape.parquet")
    assert set(ushape["query"]) == {31} and ushape["document"].nunique() == 3
    components = pd.read_parquet(tmp_path / "short" / "analysis" / "main" / "rope" / "seed0" / "components.parquet")
    first = components.query("component == 1").iloc[0]
    # theta_1 = 10000^(-2/8) over 32 tokens.
    assert first["turns"] == pytest.approx(32 * 0.1 / (2 * np.pi))


def test_text_too_short_past_training_is_analysed_within_it(stock: Path, tmp_path: Path, no_pictures: None) -> None:
    (tmp_path / "one.txt").write_text(text(140))
    analyze_checkpoint(stock, [str(tmp_path / "one.txt")], tmp_path / "look")
    said = words_of(page(tmp_path / "look"))
    assert "in 2 windows from 1 of 1 document" in said
    assert "windows of 128 tokens are needed, and the text has too few of them" in said


def test_one_tested_window_leads_to_no_conclusion(stock: Path, texts: Path, tmp_path: Path, no_pictures: None) -> None:
    analyze_checkpoint(stock, [str(texts)], tmp_path / "look", length=32, documents=2)
    said = words_of(page(tmp_path / "look"))
    assert "One window does not show what they carry." in said and "nan" not in said
    assert re.search(r"Freezing the activated components changes it by \S+, as many others at random by \S+\d\. ", said)
    for words in ("So they carry", "So what they say", "So the model hardly", "matter more"):
        assert words not in said


def test_a_model_too_short_for_the_analysis_is_one_line(texts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "llama"
    made("llama", max_position_embeddings=16).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({"w1": 0}, unk_token="w1"))
    tokenizer.save(str(folder / "tokenizer.json"))
    for length in (None, 16):
        with pytest.raises(UserError, match=r"over 16 tokens, and the analysis needs 24; `python -m hope evaluate`"):
            analyze_checkpoint(folder, [str(texts)], tmp_path / "look", length=length)


def same_tables(one: Path, other: Path) -> None:
    """Assert that two folders hold the same tables, bit by bit."""
    paths = sorted(path.relative_to(one) for path in one.rglob("*.parquet"))
    assert paths == sorted(path.relative_to(other) for path in other.rglob("*.parquet")) and len(paths) > 2
    for path in paths:
        pd.testing.assert_frame_equal(pd.read_parquet(one / path), pd.read_parquet(other / path), check_exact=True)


def test_what_was_stopped_goes_on_and_has_one_line_of_progress(
    stock: Path, texts: Path, tmp_path: Path, no_pictures: None, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    whole, output, calls = tmp_path / "whole", tmp_path / "look", []
    analyze_checkpoint(stock, [str(texts)], whole, documents=4)

    def counted(*given, stop: int = 7, **more):
        calls.append(len(given[1]))
        if len(calls) == stop:
            raise KeyboardInterrupt
        return observe_attention(*given, **more)

    for module in ("attention", "intervention"):
        monkeypatch.setattr(f"hope.analysis.{module}.observe_attention", counted)
    monkeypatch.setattr(progress.ProgressLines.__init__, "__defaults__", (0.0,))
    with pytest.raises(KeyboardInterrupt):
        analyze_checkpoint(stock, [str(texts)], output, documents=4)
    assert not output.exists()
    capsys.readouterr()
    analyze_checkpoint(stock, [str(texts)], output, documents=4)
    # Three passes over all windows, then one over half of them per run; the one that was stopped is repeated.
    assert calls[:3] == [4, 4, 4] and set(calls[3:]) == {2} and calls.count(4) == 3
    same_tables(whole, output)
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "look"}
    said = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("report")]
    assert said[0] == f"{output}: goes on after 7 finished passes"
    shares = [int(found[1]) for line in said[1:] if (found := re.match(r"analysis: (\d+)%, [\d.]+ s left after", line))]
    assert len(shares) == len(said) - 1 and shares == sorted(shares) and shares[-1] >= 90


def test_another_text_does_not_go_on_with_what_was_kept(
    stock: Path, texts: Path, tmp_path: Path, no_pictures: None, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    with monkeypatch.context() as stopped:
        stopped.setattr("hope.reporting.checkpoint.StudyTables", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            analyze_checkpoint(stock, [str(texts)], tmp_path / "look", documents=3)
    analyze_checkpoint(stock, [str(texts)], tmp_path / "look", documents=4)
    assert "goes on" not in capsys.readouterr().out
    assert "in 4 windows from" in words_of(page(tmp_path / "look"))


QUICK = ("gemma3", "falcon", "deepseek-v3", "gpt2", "bloom")


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[] if one in QUICK else pytest.mark.slow) for one in ROTARY | OTHERS]
)
def test_every_architecture_gets_a_page(name: str, stock: Path, texts: Path, tmp_path: Path, no_pictures: None) -> None:
    folder = tmp_path / name
    made(name).save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(stock / file, folder / file)
    analyze_checkpoint(folder, [str(texts)], tmp_path / "look", documents=3)
    said = words_of(page(tmp_path / "look"))
    assert f"{name} : a stock checkpoint, model_type" in said and "3 layers of 4 heads" in said
    if name in ROTARY:
        assert "Freezing the slow components" in said
        (table,) = (tmp_path / "look").rglob("components.parquet")
        assert sorted(set(pd.read_parquet(table)["layer"])) == ROTARY[name][2]
        assert ("of 3 layers that share the main rotation" in said) == (len(ROTARY[name][2]) < 3)
    else:
        own = {"gptj": "weights alone", "bloom": "weights alone", "mpt": "weights alone"}
        assert own.get(name, "it turns no queries and keys") in said
    losses = list((tmp_path / "look").rglob("intervention.parquet"))
    assert len(losses) == (name in ROTARY)


def study_model(folder: Path, files: Path, name: str) -> Path:
    """Write an untrained model of a study, with the study's tokenizer in its place."""
    study = tiny_study(files, definitions={"mine": {"family": "hope"}}, encodings=["mine", name])
    arm = study.arms[MAIN]
    write_json(folder / "study.json", study.model_dump(mode="json", by_alias=True))
    stage = arm.train_stage(name, 0)
    content = [path.read_text() for path in sorted(files.iterdir())]
    save_tokenizer(fit_tokenizer(content, 300), folder / "data" / arm.data_key / "tokenizer")
    model = Decoder(stage.model, 300, stage.training.length, stage.encoding).initialise(0)
    target = folder / "models" / "main" / name / "seed0"
    save_model(model, model.state_dict(), stage, "0" * 16, target)
    return target


@pytest.mark.parametrize(("name", "left_out"), [("hope", False), ("alibi", True), ("learned", True)])
def test_a_model_of_a_study_is_analysed_with_its_own_tokenizer(
    name: str, left_out: bool, tiny_files: Path, tmp_path: Path, no_pictures: None
) -> None:
    model = study_model(tmp_path, tiny_files, name)
    analyze_checkpoint(model, [str(tiny_files / "00.txt")], tmp_path / "look", documents=4)
    said = words_of(page(tmp_path / "look"))
    assert f"{name}-seed0 : a model of a study" in said and f"encoding {name}" in said
    assert "initial weights" not in said
    assert ("Components were chosen on the first half" in said) != left_out
    assert ("Past the training length" in said) == (name != "learned")
    if name == "learned":
        assert "'learned' can be analysed over 32 tokens" in said
    if left_out:
        assert f"Frequency components and interventions: the encoding '{name}' turns no queries and keys" in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: {"checkpoint": folder / "nowhere"}, r"nowhere: there is no such folder"),
        (lambda folder: {"text": ["nothing-*.txt"]}, r"--text: 'nothing-\*\.txt' leads to no file"),
        (
            lambda folder: {"text": [str(folder / "short.txt")]},
            r"--text: 2 windows of 64 tokens are needed.* 10 tokens",
        ),
        (
            lambda folder: {"text": [str(folder.parent / "rows.jsonl")]},
            r"rows\.jsonl:1: no field 'text'; there are body: give --field$",
        ),
        (lambda folder: {"length": 65}, r"--length: 65 tokens; this model can be looked at over 24 to 64"),
        (lambda folder: {"length": 22}, r"--length: 22 tokens"),
        (lambda folder: {"output": folder}, r"is there already, and is not overwritten"),
    ],
)
def test_a_mistake_is_one_line(change, words: str, stock: Path, texts: Path, tmp_path: Path) -> None:
    given = {"checkpoint": stock, "text": [str(texts)], "output": tmp_path / "look"} | change(texts)
    with pytest.raises(UserError, match=words):
        analyze_checkpoint(**given)
    assert not list(tmp_path.iterdir())


def test_a_pickle_and_a_model_of_another_kind_are_refused(texts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(UserError, match="a pickle can run code"):
        analyze_checkpoint(folder, [str(texts)], tmp_path / "look")
    (folder / "pytorch_model.bin").unlink()
    (folder / "model.safetensors").touch()
    with pytest.raises(UserError, match="model_type 't5' is no causal language model of transformers"):
        analyze_checkpoint(folder, [str(texts)], tmp_path / "look")


def test_without_a_tokenizer_it_says_so(stock: Path, texts: Path, tmp_path: Path) -> None:
    shutil.copytree(stock, tmp_path / "bare")
    (tmp_path / "bare" / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"bare: holds no tokenizer\.json"):
        analyze_checkpoint(tmp_path / "bare", [str(texts)], tmp_path / "look")


def test_windows_lie_within_documents_and_do_not_overlap() -> None:
    documents = [np.arange(1000, 1100), np.arange(2000, 2009), np.arange(3000, 3061)]
    windows, sources = text_windows(documents, 100, 20, [7])
    assert windows.shape == (5 + 3, 21) and sources.tolist() == [0] * 5 + [2] * 3
    assert (windows[:, 0] == 7).all()
    body = windows[:, 1:]
    assert (np.diff(body, axis=1) == 1).all()
    assert (np.diff(body[sources == 0, 0]) == 20).all()
    fewer, _ = text_windows(documents, 3, 20, [7])
    assert {tuple(row) for row in fewer} < {tuple(row) for row in windows}
    assert text_windows(documents, 3, 500, [])[0].shape == (0, 501)
