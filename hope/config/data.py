"""The config's sections on data: the corpus, its tokens, and their windows."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hope.section import COMMIT, Section, Share

SPECIAL_TOKENS = ("<|start|>", "<|end|>", "<|separator|>", "<|query|>")
"""Tokens of every vocabulary that stand for no text; they are added to a pretrained tokenizer."""


class Files(Section):
    """A corpus of the user's own files."""

    paths: list[str] = Field(default=[], description="files, folders or globs: .txt .md .jsonl .parquet")
    text_field: str = Field("text", description="field of the text in .jsonl and .parquet")


class Hub(Section):
    """A corpus from the Hugging Face hub, streamed; its code is never executed."""

    dataset: str = Field("", description="name of the dataset on the hub")
    name: str | None = Field(None, description="its configuration, if it has several")
    split: str = Field("train", description="its split")
    revision: str = Field("", description="its commit, 40 hexadecimal digits, so that a rerun reads the same text")
    text_field: str = Field("text", description="field of the text")
    documents: int = Field(10_000, ge=2, description="number of documents, from the first")


class Validation(Section):
    """The held-out documents."""

    share: Share = Field(0.1, description="share of the characters to hold out, in whole documents")
    long_documents: int = Field(
        32, ge=1, description="held-out documents that must be long, for evaluation past the training length"
    )
    long_characters: int = Field(8_000, ge=1, description="characters of a long document, at least")


class Corpus(Section):
    """The text for training and validation."""

    source: Literal["python_stdlib", "files", "hub"] = Field(
        "python_stdlib",
        description="python_stdlib: source code of this interpreter's standard library, without its tests; "
        "files: your own files, set under `files`; hub: a dataset of the Hugging Face hub, set under `hub`",
    )
    files: Files = Files()
    hub: Hub = Hub()
    validation: Validation = Validation()
    max_document_share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.02, description="longer documents are cut to this share of the corpus's characters"
    )
    near_duplicate_share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.5, description="documents that have a larger share of their lines in common stay on one side of the split"
    )
    seed: int = Field(0, ge=0, description="seed of the split; it does not depend on the models' seeds")

    @model_validator(mode="after")
    def _source_is_given(self) -> "Corpus":
        if self.source == "files" and not self.files.paths:
            raise ValueError("source is 'files', but files.paths is empty: name files, folders or globs")
        if self.source == "hub":
            if not self.hub.dataset:
                raise ValueError("source is 'hub', but hub.dataset is empty: name a dataset")
            if not re.fullmatch(COMMIT, self.hub.revision):
                raise ValueError("hub.revision must be a commit of 40 hexadecimal digits, so that reruns agree")
        return self


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
    shard_tokens: int = Field(50_000_000, ge=1_000, description="tokens per shard file, at most")

    @model_validator(mode="after")
    def _pretrained_is_given(self) -> "Tokens":
        if self.tokenizer == "pretrained" and not self.pretrained:
            raise ValueError("tokenizer is 'pretrained', but pretrained is empty: name a folder, file or hub name")
        local = self.pretrained and Path(self.pretrained).exists()
        if self.tokenizer == "pretrained" and not local and not re.fullmatch(COMMIT, self.revision or ""):
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
