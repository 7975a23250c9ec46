"""The study's config: typed, strict, and readable without any numerical library.

:class:`Study` is the single source of what a config may say; ``config.yaml`` holds the default
study's values, and ``workflow/schemas/config.schema.json`` is generated from the classes here. Each
rule of the workflow gets only its own part, through :meth:`Study.stage`, as sorted JSON.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from hope.catalogue import FAMILIES, family_settings, is_custom
from hope.errors import UserError, nearest

Share = Annotated[float, Field(ge=0.0, le=1.0)]
COMMIT = r"[0-9a-f]{40}"
BASE = Path("config.yaml")
"""The default study, under every overlay; in the project's root."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class Section(BaseModel):
    """A part of the config; an unknown key, or a value of another type, is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class EncodingDefinition(Section):
    """An entry under ``definitions``: a family with settings, under a name of the user's."""

    family: str = Field(description="a known encoding, or module:Class of your own")
    settings: dict[str, Any] = Field(default={}, description="settings of the family")
    text_only: bool = Field(default=False, description="train on text alone, without the mixture")


class Encoding(EncodingDefinition):
    """One contestant of the study, with every setting filled in."""

    name: str


class Seeds(Section):
    """How many models of each encoding are trained."""

    first: int = Field(0, ge=0, description="the first seed; the others follow it")
    count: int = Field(1, ge=1, description="models of an encoding that per_encoding does not name")
    per_encoding: dict[str, Annotated[int, Field(ge=1)]] = Field(default={}, description="models by encoding")


class Files(Section):
    """A corpus of the user's own files."""

    paths: list[str] = Field(default=[], description="files, folders or globs: .txt .md .jsonl .parquet")
    text_field: str = Field("text", description="field that holds the text in .jsonl and .parquet")


class Hub(Section):
    """A corpus from the Hugging Face hub, streamed; nothing of it is executed."""

    dataset: str = Field("", description="name of the dataset on the hub")
    name: str | None = Field(None, description="configuration of the dataset")
    split: str = Field("train", description="split of the dataset")
    revision: str = Field("", description="commit of the dataset: 40 hexadecimal digits")
    text_field: str = Field("text", description="field that holds the text")
    documents: int = Field(10_000, ge=2, description="how many documents are taken")


class Validation(Section):
    """What is held out of training."""

    share: Share = Field(0.1, description="share of the characters held out, by whole documents")
    long_documents: int = Field(32, ge=1, description="held-out documents that must be long")
    long_characters: int = Field(8_000, ge=1, description="characters from which a document is long")


class Corpus(Section):
    """Where the text comes from, and what is held out."""

    source: Literal["python_stdlib", "files", "hub"] = "python_stdlib"
    files: Files = Files()
    hub: Hub = Hub()
    validation: Validation = Validation()
    max_document_share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.02, description="a document is cut to this share of the corpus's characters"
    )
    near_duplicate_share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.5, description="documents that share more of their lines stay on one side of the split"
    )
    seed: int = Field(0, ge=0, description="seed of the split; the models' seeds do not touch it")

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
    """How text becomes token ids."""

    tokenizer: Literal["bpe", "pretrained"] = Field(
        "bpe", description="fit a byte-level BPE on the training text, or load one"
    )
    vocabulary: int = Field(2_048, ge=300, le=1_000_000, description="tokens of a fitted tokenizer")
    pretrained: str | None = Field(None, description="folder, tokenizer.json or hub name of a pretrained one")
    revision: str | None = Field(None, description="commit of a pretrained tokenizer on the hub")
    shard_tokens: int = Field(50_000_000, ge=1_000, description="tokens in a shard file at most")

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


class Model(Section):
    """The decoder's size: RMSNorm, SwiGLU, no biases, as in Llama."""

    layers: int = Field(4, ge=1)
    width: int = Field(96, ge=2, description="size of the residual stream")
    heads: int = Field(3, ge=1, description="query heads")
    kv_heads: int | None = Field(None, ge=1, description="key and value heads; as many as heads if null")
    mlp_width: int = Field(256, ge=1, description="size of the hidden layer of the MLP")
    tied_embeddings: bool = Field(True, description="one matrix for the input and the output embedding")
    norm_epsilon: float = Field(1e-5, gt=0.0)

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.width // self.heads

    @model_validator(mode="after")
    def _divides(self) -> "Model":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        if self.head_dim % 2:
            raise ValueError(f"width / heads is {self.head_dim}: rotary encodings need an even number")
        if self.heads % (self.kv_heads or self.heads):
            raise ValueError(f"heads {self.heads} is no multiple of kv_heads {self.kv_heads}")
        return self


class Windows(Section):
    """How tokens become windows, in training and in evaluation alike."""

    boundaries: Literal["crossed", "kept"] = Field(
        "kept", description="'kept': a window lies within one document; 'crossed': documents are joined"
    )
    start_token: bool = Field(False, description="begin every window with the start token")


class Training(Section):
    """One training: sizes, schedule, and how it runs."""

    length: int = Field(128, ge=8, description="tokens of a training window: the training length L")
    tokens: int = Field(1_800_000, ge=1, description="tokens seen in all; rounded up to whole batches")
    batch_windows: int = Field(8, ge=1, description="windows of a global batch")
    micro_batch_windows: int | None = Field(None, ge=1, description="windows of one forward pass a process")
    learning_rate: float = Field(3e-3, gt=0.0, description="peak learning rate of AdamW")
    final_learning_rate: float = Field(1e-6, ge=0.0, description="learning rate at the end of the cosine")
    warmup_steps: int = Field(100, ge=0, description="steps of linear warm-up")
    weight_decay: float = Field(0.1, ge=0.0, description="of matrices; norms and encodings get none")
    betas: tuple[float, float] = Field((0.9, 0.95), strict=False, description="AdamW's averaging factors")
    clip: float = Field(1.0, gt=0.0, description="largest norm of the gradient")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="of the forward and backward pass")
    zero_stage: Literal[0, 1, 2, 3] = Field(0, description="DeepSpeed ZeRO stage")
    offload: bool = Field(False, description="keep the optimiser state in the memory of the host")
    activation_checkpointing: bool = Field(False, description="recompute each layer in the backward pass")
    processes: int = Field(1, ge=1, description="processes of one training on a node: GPUs, or CPU processes")
    threads: int = Field(1, ge=1, description="CPU threads of one process; part of the result's bits")
    checkpoint_seconds: float = Field(30.0, ge=0.0, description="seconds between checkpoints")
    log_steps: int = Field(10, ge=1, description="steps between points of the loss curve")
    windows: Windows = Windows()

    @model_validator(mode="after")
    def _divides(self) -> "Training":
        micro = self.micro_batch_windows or self.batch_windows // self.processes
        if micro == 0 or self.batch_windows % (micro * self.processes):
            raise ValueError(
                f"batch_windows {self.batch_windows} is no multiple of processes {self.processes} "
                f"times micro_batch_windows {self.micro_batch_windows or 1}"
            )
        if self.final_learning_rate > self.learning_rate:
            raise ValueError("final_learning_rate is above learning_rate")
        return self

    @property
    def steps(self) -> int:
        """Optimiser steps of the training."""
        return -(-self.tokens // (self.length * self.batch_windows))


class Mixture(Section):
    """Synthetic examples mixed into training, with the loss on their answers only."""

    share: Share = Field(0.3, description="share of a batch's windows that hold a synthetic example")
    weight: float = Field(1.0, ge=0.0, description="weight of the synthetic loss beside the text loss")
    tasks: dict[str, Annotated[float, Field(gt=0.0)]] = Field(
        default={"copy": 0.7, "recall": 0.3}, description="tasks by their share of the synthetic windows"
    )
    multiples: list[Annotated[float, Field(gt=0.0, le=1.0)]] = Field(
        default=[0.125, 0.25, 0.5, 1.0], min_length=1, description="lengths of the examples, in training lengths"
    )


class Copy(Section):
    """Repeat a string of random tokens."""

    alphabet: int = Field(64, ge=2, description="distinct tokens that the string is drawn from")


class Recall(Section):
    """Answer with the value that was bound to a key."""

    pairs: int = Field(4, ge=1, description="bindings in a prompt")
    keys: int = Field(32, ge=2, description="distinct keys")
    values: int = Field(32, ge=2, description="distinct values")

    @model_validator(mode="after")
    def _enough(self) -> "Recall":
        if self.pairs > min(self.keys, self.values):
            raise ValueError(f"pairs {self.pairs} is above keys {self.keys} or values {self.values}")
        return self


class Tasks(Section):
    """Settings of the retrieval tasks, the same in training and in evaluation."""

    copy_: Copy = Field(default=Copy(), alias="copy")
    recall: Recall = Recall()


TASKS = ("copy", "recall")
SHORTEST_PROMPT = 5
"""Tokens below which no task fits."""


class Analysis(Section):
    """The attention analysis."""

    documents: int = Field(24, ge=2, description="validation documents looked at")
    multiples: list[Annotated[float, Field(gt=0.0)]] = Field(
        default=[1.0, 2.0, 4.0], description="query positions, in training lengths"
    )
    queries: int = Field(8, ge=1, description="neighbouring query positions averaged at each multiple")
    active_share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.25, description="share of the frequency components that counts as activated"
    )
    threads: int = Field(1, ge=1, description="CPU threads of the job")

    @field_validator("multiples")
    @classmethod
    def _has_one(cls, value: list[float]) -> list[float]:
        if 1.0 not in value or sorted(set(value)) != value:
            raise ValueError("multiples must rise and hold 1.0, the training length itself")
        return value


class Extrapolation(Section):
    """The loss past the training length."""

    documents: int = Field(24, ge=2, description="validation documents evaluated")
    windows: int = Field(2, ge=1, description="windows of each document")
    longest: int = Field(8, ge=1, description="longest context, in training lengths")
    bin_share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.125, description="width of a position bin, as a share of the training length"
    )
    contexts: list[Annotated[float, Field(gt=0.0)]] = Field(
        default=[0.5, 1.0, 2.0, 4.0, 8.0], description="contexts of the fixed targets, in training lengths"
    )
    targets: int = Field(32, ge=1, description="fixed target tokens of a window, at its end")
    threads: int = Field(1, ge=1, description="CPU threads of the job")

    @model_validator(mode="after")
    def _fits(self) -> "Extrapolation":
        if 1.0 not in self.contexts or sorted(set(self.contexts)) != self.contexts:
            raise ValueError("contexts must rise and hold 1.0, the training length itself")
        if self.contexts[-1] > self.longest:
            raise ValueError(f"contexts ends at {self.contexts[-1]}, past longest {self.longest}")
        return self


class Retrieval(Section):
    """The retrieval tasks."""

    tasks: list[str] = Field(default=["copy", "recall"], description="tasks evaluated")
    multiples: list[Annotated[float, Field(gt=0.0)]] = Field(
        default=[0.125, 0.25, 0.5, 1.0, 2.0, 4.0], description="prompt lengths, in training lengths"
    )
    prompts: int = Field(200, ge=2, description="prompts of each task and length")
    seed: int = Field(1_000_003, ge=0, description="seed of the prompts; disjoint from training's")
    threads: int = Field(1, ge=1, description="CPU threads of the job")


class Tracking(Section):
    """Where runs are tracked."""

    uri: str | None = Field(None, description="an MLflow server; null is the store in the study's own folder")
    live: bool = Field(True, description="send metrics while a model trains")


class Report(Section):
    """What the report says of the study."""

    title: str = Field("HoPE against RoPE", description="title of the report")
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(0.95, description="confidence of the intervals")


class Study(Section):
    """A whole study."""

    study: str = Field(description="name of the study: its results lie in results/<study>")
    encodings: list[str] = Field(min_length=1, description="encodings compared, by name")
    definitions: dict[str, EncodingDefinition] = Field(
        default={}, description="encodings with settings, under names of your own"
    )
    seeds: Seeds = Seeds()
    corpus: Corpus = Corpus()
    tokens: Tokens = Tokens()
    model: Model = Model()
    training: Training = Training()
    mixture: Mixture = Mixture()
    tasks: Tasks = Tasks()
    analysis: Analysis = Analysis()
    extrapolation: Extrapolation = Extrapolation()
    retrieval: Retrieval = Retrieval()
    tracking: Tracking = Tracking()
    report: Report = Report()
    claims: str = Field("workflow/claims.yaml", description="the claims under test")

    @model_validator(mode="after")
    def _names_are_known(self) -> "Study":
        if not NAME.fullmatch(self.study):
            raise ValueError(f"study: '{self.study}' must be letters, digits, '.', '_' and '-'")
        for name in self.encodings:
            if not NAME.fullmatch(name):
                raise ValueError(f"encodings: '{name}' must be letters, digits, '.', '_' and '-'")
            if self.encodings.count(name) > 1:
                raise ValueError(f"encodings: '{name}' is listed twice")
            self.encoding(name)
        for name in self.seeds.per_encoding:
            if name not in FAMILIES and name not in self.definitions:
                raise ValueError(f"seeds.per_encoding: '{name}' is no encoding{self._nearest(name)}")
        for key, names in (("mixture.tasks", self.mixture.tasks), ("retrieval.tasks", self.retrieval.tasks)):
            for name in names:
                if name not in TASKS:
                    raise ValueError(f"{key}: '{name}' is no task{nearest(name, TASKS)}; known are {', '.join(TASKS)}")
        if self.mixture.share > 0 and not self.mixture.tasks:
            raise ValueError("mixture.share is above 0, but mixture.tasks is empty")
        return self

    @model_validator(mode="after")
    def _sizes_fit_the_training_length(self) -> "Study":
        length, extrapolation = self.training.length, self.extrapolation
        context = round(extrapolation.contexts[0] * length)
        if extrapolation.targets > context:
            raise ValueError(
                f"extrapolation.targets: {extrapolation.targets} tokens do not fit into the shortest of "
                f"extrapolation.contexts, {context} tokens; lower targets, or leave out that context"
            )
        prompts = {"mixture.multiples": self.mixture.multiples if self.mixture.share else []}
        prompts["retrieval.multiples"] = self.retrieval.multiples if self.retrieval.tasks else []
        for key, multiples in prompts.items():
            shortest = round(min(multiples, default=1.0) * length)
            if multiples and shortest < SHORTEST_PROMPT:
                raise ValueError(
                    f"{key}: the shortest example has {shortest} tokens, but a task needs {SHORTEST_PROMPT}; "
                    "leave out that multiple, or raise training.length"
                )
        return self

    def _nearest(self, name: str) -> str:
        return nearest(name, [*FAMILIES, *self.definitions])

    def encoding(self, name: str) -> Encoding:
        """Return the contestant ``name`` with every setting filled in.

        Raises:
            ValueError: the name, its family or one of its settings is unknown.
        """
        definition = self.definitions.get(name)
        if definition is None and name not in FAMILIES:
            raise ValueError(f"encodings: '{name}' is no encoding{self._nearest(name)}")
        definition = definition or EncodingDefinition(family=name)
        try:
            settings = family_settings(definition.family, definition.settings)
        except UserError as error:
            raise ValueError(f"definitions.{name}.family: {error}") from None
        except ValidationError as error:
            raise ValueError(
                describe(error, FAMILIES[definition.family].settings, f"definitions.{name}.settings")
            ) from None
        return Encoding(name=name, family=definition.family, settings=settings, text_only=definition.text_only)

    def is_rotary(self, name: str) -> bool:
        """Return whether the encoding ``name`` belongs to the rotary family."""
        family = self.encoding(name).family
        return not is_custom(family) and FAMILIES[family].rotary

    def runs(self) -> list[tuple[str, int]]:
        """Return the (encoding, seed) pairs of all models of the study."""
        return [
            (name, self.seeds.first + offset)
            for name in self.encodings
            for offset in range(self.seeds.per_encoding.get(name, self.seeds.count))
        ]

    def train_stage(self, name: str, seed: int) -> "TrainStage":
        """Return all that the training of one model depends on."""
        encoding = self.encoding(name)
        mixture = self.mixture.model_copy(update={"share": 0.0}) if encoding.text_only else self.mixture
        return TrainStage(
            encoding=encoding, seed=seed, model=self.model, training=self.training, mixture=mixture, tasks=self.tasks
        )

    def extrapolation_stage(self) -> "ExtrapolationStage":
        """Return all that the extrapolation evaluation depends on."""
        return ExtrapolationStage(extrapolation=self.extrapolation, windows=self.training.windows)

    def theory_stage(self) -> "TheoryStage":
        """Return all that the decay of the rotary kernels depends on."""
        rotary = [self.encoding(name) for name in self.encodings if self.is_rotary(name)]
        return TheoryStage(encodings=rotary, head_dim=self.model.head_dim, length=self.training.length)

    def length_stage(self) -> "LengthStage":
        """Return all that the evaluations ask of the held-out documents."""
        return LengthStage(
            length=self.training.length,
            windows=self.training.windows,
            analysis=self.analysis,
            extrapolation=self.extrapolation,
        )

    def retrieval_stage(self) -> "RetrievalStage":
        """Return all that the retrieval evaluation depends on."""
        return RetrievalStage(retrieval=self.retrieval, tasks=self.tasks)


class TrainStage(Section):
    """What the training of one model depends on, its data aside."""

    encoding: Encoding
    seed: int
    model: Model
    training: Training
    mixture: Mixture
    tasks: Tasks


class RetrievalStage(Section):
    """What the retrieval evaluation of one model depends on, the model aside."""

    retrieval: Retrieval
    tasks: Tasks


class ExtrapolationStage(Section):
    """What the extrapolation evaluation of one model depends on, the model aside."""

    extrapolation: Extrapolation
    windows: Windows


class TheoryStage(Section):
    """What the decay of the rotary kernels depends on."""

    encodings: list[Encoding]
    head_dim: int
    length: int


class LengthStage(Section):
    """What the evaluations ask of the held-out documents."""

    length: int
    windows: Windows
    analysis: Analysis
    extrapolation: Extrapolation


AnySection = TypeVar("AnySection", bound=Section)


def to_json(section: Section) -> str:
    """Return a section as one line of sorted JSON, every default filled in."""
    return json.dumps(section.model_dump(mode="json", by_alias=True), sort_keys=True)


def from_json(kind: type[AnySection], text: str) -> AnySection:
    """Read back what :func:`to_json` wrote.

    Raises:
        UserError: the text is not JSON, or not of this kind.
    """
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise UserError(describe(error, kind, "--settings")) from None


def parse_study(content: Any, origin: str) -> Study:
    """Return the study that ``content``, a parsed YAML document, describes.

    Raises:
        UserError: one line that names the key, what is wrong and the nearest valid name.
    """
    if not isinstance(content, dict):
        raise UserError(f"{origin}: expected 'key: value' lines, as in config.yaml")
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{origin}: {describe(error, Study)}") from None


def load_study(paths: list[Path]) -> Study:
    """Read config files, later ones over earlier ones: maps merge, lists and values replace.

    Raises:
        UserError: a file is missing, is not YAML, or the study is wrong.
    """
    merged: dict = {}
    for path in paths:
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{path}: there is no such config file") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
        if content is not None and not isinstance(content, dict):
            raise UserError(f"{path}: expected 'key: value' lines, as in config.yaml")
        merged = merge(merged, content or {})
    return parse_study(merged, ", ".join(str(path) for path in paths))


def with_base(overlays: list[Path]) -> list[Path]:
    """Return config files in the order in which they are laid over each other, ``config.yaml`` first."""
    return [BASE, *(path for path in overlays if path != BASE)]


def merge(below: dict, above: dict) -> dict:
    """Return ``above`` laid over ``below``: maps merge, lists and values replace."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def describe(error: ValidationError, kind: type[BaseModel], prefix: str = "") -> str:
    """Return the first error of a validation as one line with the key's full name and a remedy."""
    errors = error.errors(include_url=False)
    # A misspelt key is the cause of the missing one beside it.
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    key = ".".join(part for part in [prefix, *(str(part) for part in first["loc"])] if part)
    if first["type"] == "extra_forbidden":
        known = _keys_at(kind, first["loc"][:-1])
        text = f"unknown key '{key}'{nearest(str(first['loc'][-1]), known)}; known here are {', '.join(known)}"
    elif first["type"] == "missing":
        text = f"key '{key}' is missing"
    else:
        message = first["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        got = first.get("input")
        shown = f" (got {got!r})" if isinstance(got, str | int | float | bool) or got is None else ""
        if first["type"] == "float_type" and isinstance(got, str):
            shown += "; YAML reads 3e-3 as text, write 3.0e-3 or 0.003"
        text = f"{key}: {message}{shown}" if key else message
    return text + (f" (and {len(errors) - 1} more)" if len(errors) > 1 else "")


def _keys_at(kind: type[BaseModel], location: tuple) -> list[str]:
    """Return the valid keys of the section at ``location`` within ``kind``."""
    for part in location:
        fields = {(field.alias or name): field for name, field in kind.model_fields.items()}
        annotation = fields[part].annotation if part in fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return list(EncodingDefinition.model_fields) if location[0] == "definitions" else []
        kind = annotation
    return [field.alias or name for name, field in kind.model_fields.items()]
