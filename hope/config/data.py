"""The config's sections on data: the corpus, its tokens, and their windows."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hope.section import COMMIT, Section, Share

SPECIAL_TOKENS = ("<|start|>", "<|end|>", "<|separator|>", "<|query|>")
"""Tokens of every vocabulary that stand for no text; they are added to a pretrained tokenizer."""


class Files(Section):
    """A corpus of the user's own files."""

    paths: list[Annotated[str, Field(min_length=1)]] = Field(
        default=[],
        description="files, folders or globs: .txt .md .jsonl .parquet, also .gz and .zst of the first three",
    )
    text_field: str = Field("text", description="field of the text in .jsonl and .parquet")


class Hub(Section):
    """A corpus from the Hugging Face hub, streamed; its code is never executed."""

    dataset: str = Field("", description="name of the dataset on the hub, or a local folder in the hub's layout")
    name: str | None = Field(None, description="its configuration, if it has several")
    split: str = Field("train", description="its split")
    revision: str = Field("", description="its commit, 40 hexadecimal digits, so that a rerun reads the same text")
    text_field: str = Field("text", description="field of the text")
    documents: int = Field(10_000, ge=2, description="number of documents, from the first")

    @property
    def folder(self) -> Path | None:
        """The dataset's folder if it is a local one."""
        given = os.path.expanduser(self.dataset)
        return Path(given) if os.path.isdir(given) else None


class TextSource(Section):
    """One place that text comes from."""

    source: Literal["python_stdlib", "files", "hub"] = Field("python_stdlib", description="as for the whole corpus")
    files: Files = Files()
    hub: Hub = Hub()

    @model_validator(mode="after")
    def _is_given(self) -> "TextSource":
        if self.source == "files" and not self.files.paths:
            raise ValueError("source is 'files', but files.paths is empty: name files, folders or globs")
        if self.source == "hub":
            if not self.hub.dataset:
                raise ValueError("source is 'hub', but hub.dataset is empty: name a dataset")
            if not self.hub.folder and not re.fullmatch(COMMIT, self.hub.revision):
                raise ValueError("hub.revision must be a commit of 40 hexadecimal digits, so that reruns agree")
        return self


class WeighedSource(TextSource):
    """One source of a mixture."""

    weight: float = Field(1.0, gt=0.0, description="its part of the mixture's characters, relative to the others'")


class Validation(Section):
    """The held-out documents."""

    share: Share = Field(0.1, description="share of the characters to hold out, in whole documents")
    long_documents: int = Field(
        32, ge=1, description="held-out documents that must be long, for evaluation past the training length"
    )
    long_characters: int = Field(8_000, ge=1, description="characters of a long document, at least")


HOW_IT_IS_PREPARED = ("shards", "memory_mb")
"""Settings of a corpus that change no document and no token."""


class Corpus(Section):
    """The text for training and validation."""

    source: Literal["python_stdlib", "files", "hub", "mixture"] = Field(
        "python_stdlib",
        description="python_stdlib: source code of this interpreter's standard library, without its tests; "
        "files: your own files, set under `files`; hub: a dataset of the Hugging Face hub, set under `hub`; "
        "mixture: several of these, set under `mixture`",
    )
    files: Files = Files()
    hub: Hub = Hub()
    mixture: dict[str, WeighedSource] = Field(
        default={},
        description="sources by name; of each, documents are left out until its characters fit its weight",
        examples=[{"web": {"source": "files", "files": {"paths": ["web/"]}, "weight": 4.0}}],
    )
    validation: Validation = Validation()
    max_document_share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.02, description="longer documents are cut to this share of the corpus's characters"
    )
    near_duplicate_share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.5, description="documents that have a larger share of their text in common stay on one side of the split"
    )
    seed: int = Field(0, ge=0, description="seed of the split; it does not depend on the models' seeds")
    shards: int = Field(
        1, ge=1, le=10_000, description="parts of each source, prepared by jobs of their own; the tokens stay the same"
    )
    memory_mb: int = Field(2_000, ge=500, description="memory of a job that prepares the corpus, in MB")

    @model_validator(mode="after")
    def _source_is_given(self) -> "Corpus":
        if self.source == "mixture" and not self.mixture:
            raise ValueError("source is 'mixture', but mixture is empty: name sources")
        _ = self.sources
        return self

    @property
    def sources(self) -> dict[str, TextSource]:
        """The sources by name, in the order of their names; a corpus of one source has one of that name."""
        if self.source == "mixture":
            return dict(sorted(self.mixture.items()))
        return {self.source: TextSource(source=self.source, files=self.files, hub=self.hub)}

    @property
    def weights(self) -> list[float] | None:
        """The weights of the sources of a mixture; None for a single source, which is taken whole."""
        if self.source != "mixture":
            return None
        return [source.weight for _, source in sorted(self.mixture.items())]

    @property
    def parts(self) -> int:
        """The number of parts that are read and tokenized one by one: the shards of all sources."""
        return len(self.sources) * self.shards

    def what_it_holds(self) -> "Corpus":
        """Return the same corpus with the defaults for :data:`HOW_IT_IS_PREPARED`."""
        return self.model_copy(update={key: Corpus.model_fields[key].default for key in HOW_IT_IS_PREPARED})

    def how_it_is_prepared(self) -> dict[str, Any]:
        """Return the settings of :data:`HOW_IT_IS_PREPARED`."""
        return {key: getattr(self, key) for key in HOW_IT_IS_PREPARED}


class Tokens(Section):
    """The tokenizer and the files of token ids."""

    tokenizer: Literal["bpe", "pretrained"] = Field(
        "bpe",
        description="bpe: a byte-level BPE fitted on the training text; pretrained: the one named in `pretrained`",
    )
    vocabulary: int = Field(
        2_048, ge=300, le=1_000_000, description="tokens of a fitted tokenizer, including special ones"
    )
    pretrained: str | None = Field(None, description="folder, tokenizer.json or hub name of a pretrained tokenizer")
    revision: str | None = Field(None, description="commit of a pretrained tokenizer on the hub")
    fit_characters: int = Field(
        100_000_000, ge=1_000, description="characters that a tokenizer is fitted on, at most, in whole documents"
    )
    unknown_share: Share = Field(
        0.01, description="share of the characters, at most, that a pretrained tokenizer has no token for"
    )
    shard_tokens: int = Field(50_000_000, ge=1_000, description="tokens per shard file, at most")

    @property
    def local(self) -> Path | None:
        """The folder or file of a pretrained tokenizer if it is a local one."""
        given = os.path.expanduser(self.pretrained or "")
        return Path(given) if self.tokenizer == "pretrained" and os.path.exists(given) else None

    @model_validator(mode="after")
    def _pretrained_is_given(self) -> "Tokens":
        if self.tokenizer == "pretrained" and not self.pretrained:
            raise ValueError("tokenizer is 'pretrained', but pretrained is empty: name a folder, file or hub name")
        if self.tokenizer == "pretrained" and not self.local and not re.fullmatch(COMMIT, self.revision or ""):
            raise ValueError(
                f"pretrained: there is no file or folder '{self.pretrained}'; for a name on the hub, "
                "revision must be a commit of 40 hexadecimal digits, so that reruns agree"
            )
        return self


class Windows(Section):
    """Windows of tokens, the same in training and in evaluation."""

    boundaries: Literal["crossed", "kept"] = Field(
        "kept", description="kept: a window lies within one document; crossed: it may span several"
    )
    start_token: bool = Field(False, description="begin every window with the start token")
