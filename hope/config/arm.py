"""One arm of a study: its encodings, its sections, and the part that each stage depends on."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, WithJsonSchema, model_validator

from hope.catalogue import FAMILIES, NAMES, PRESETS, family_settings, is_custom
from hope.catalogue.custom import source_file
from hope.catalogue.spectra import Spectrum
from hope.config.data import SPECIAL_TOKENS, Corpus, Tokens, Windows
from hope.config.encodings import EncodingDefinition, EncodingSpec
from hope.config.measures import Analysis, Extrapolation, Retrieval
from hope.config.messages import describe
from hope.config.tasks import Tasks
from hope.config.training import Mixture, Model, Training
from hope.errors import UserError, nearest
from hope.section import GrownSection, Section
from hope.tasks import TaskDefinition

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LONGEST_NAME = 100
EncodingName = Annotated[str, WithJsonSchema({"anyOf": [{"enum": NAMES}, {"type": "string"}]})]
"""Any text, since definitions add names; an editor suggests the names of the catalogue."""


def wrong_name(key: str, name: str) -> str:
    """Return an error if the name of a study, an arm or an encoding cannot name a folder, else an empty string."""
    if len(name) > _LONGEST_NAME:
        return f"{key}: '{name[:20]}...' has {len(name)} characters; at most {_LONGEST_NAME} can name a folder here"
    return "" if _NAME.fullmatch(name) else f"{key}: '{name}' must be letters, digits, '.', '_' and '-'"


class Seeds(Section):
    """The number of models per encoding."""

    first: int = Field(0, ge=0, description="first seed; the others follow it")
    count: int = Field(1, ge=1, le=10_000, description="models of each encoding that per_encoding does not list")
    per_encoding: dict[str, Annotated[int, Field(ge=1, le=10_000)]] = Field(
        default={}, description="models by encoding; the interval of a difference needs several of both"
    )


class Arm(Section):
    """A group of models that share everything but the encoding and the seed."""

    encodings: list[EncodingName] = Field(
        min_length=1,
        description="The encodings to compare: names from `python -m hope encodings` and from `definitions`.",
    )
    definitions: dict[str, EncodingDefinition] = Field(
        default={},
        description="Encodings with settings, under names of your own",
        examples=[{"rope_text": {"family": "rope", "settings": {"base": 500_000}, "text_only": True}}],
    )
    seeds: Seeds = Seeds()
    trained_on: Literal["text", "tasks"] = Field(
        "text",
        description="text: windows of the corpus, a share of which `mixture` makes synthetic; tasks: the synthetic "
        "examples of `mixture` alone, with their symbols as the vocabulary",
    )
    corpus: Corpus = Corpus()
    tokens: Tokens = Tokens()
    model: Model = Model()
    training: Training = Training()
    mixture: Mixture = Mixture()
    tasks: Tasks = Tasks()
    analysis: Analysis = Analysis()
    extrapolation: Extrapolation = Extrapolation()
    retrieval: Retrieval = Retrieval()

    @model_validator(mode="after")
    def _names_are_known(self) -> "Arm":
        for name in self.definitions:
            self._check_definition(name)
        for name in self.encodings:
            if wrong := wrong_name("encodings", name):
                raise ValueError(wrong)
            if self.encodings.count(name) > 1:
                raise ValueError(f"encodings: '{name}' is listed twice")
            self.encoding(name)
        for name in self.seeds.per_encoding:
            if name not in NAMES and name not in self.definitions:
                raise ValueError(f"seeds.per_encoding: '{name}' is no encoding{self._nearest(name)}")
        for key, names in self._task_lists():
            for name in names:
                if name not in self.tasks.names:
                    raise ValueError(
                        f"{key}: '{name}' is no task{nearest(name, self.tasks.names)}; "
                        f"known are {', '.join(self.tasks.names)}"
                    )
        for name in self.encodings:
            self.spectrum(name)
            if family := FAMILIES.get(self.encoding(name).family):
                self.check_span(name, family.span(family.settings.model_validate(self.encoding(name).settings)))
        if not self.mixture.tasks and (self.mixture.share > 0 or not self.reads_text):
            reason = "mixture.share is above 0" if self.reads_text else "trained_on is tasks"
            raise ValueError(f"{reason}, but mixture.tasks is empty")
        share, windows = self.mixture.share, self.training.batch_windows
        if self.reads_text and share > 0 and not self.mixture.windows(windows):
            raise ValueError(
                f"mixture.share: {share} of a batch of {windows} windows rounds to no synthetic window; set it above "
                f"{0.5 / windows:.4g}, or raise training.batch_windows"
            )
        if self.reads_text:
            self._check_vocabulary()
        else:
            self._check_tasks_alone()
        return self

    def _task_lists(self) -> Iterator[tuple[str, Iterable[str]]]:
        """Yield the keys that list tasks, and the tasks."""
        yield "mixture.tasks", self.mixture.tasks
        if self.mixture.lead_in:
            yield "mixture.lead_in.tasks", self.mixture.lead_in.tasks
        yield "retrieval.tasks", self.retrieval.tasks

    def _check_vocabulary(self) -> None:
        """Check that a vocabulary of known size has enough tokens for the tasks."""
        ordinary = self.tokens.vocabulary - len(SPECIAL_TOKENS)
        for key, names in self._task_lists() if self.tokens.tokenizer == "bpe" else ():
            for name in names:
                if self.tasks.symbols(name) > ordinary:
                    raise ValueError(
                        f"{key}: '{name}' draws from {self.tasks.symbols(name)} distinct tokens, but tokens.vocabulary "
                        f"leaves {ordinary}; lower the task's sizes, or raise tokens.vocabulary"
                    )

    def _check_tasks_alone(self) -> None:
        """Check that nothing needs text in an arm without it."""
        for key, names in self._task_lists():
            for name in names:
                if self.tasks.reads_text(name):
                    raise ValueError(
                        f"{key}: '{name}' makes its prompts from text, but an arm that is trained on tasks alone has "
                        "none; leave it out, or set trained_on: text"
                    )
        for name in self.encodings:
            if self.encoding(name).text_only:
                raise ValueError(f"definitions.{name}.text_only: an arm that is trained on tasks alone has no text")

    @model_validator(mode="after")
    def _sizes_fit_the_training_length(self) -> "Arm":
        length, extrapolation = self.training.length, self.extrapolation
        context = round(extrapolation.contexts[0] * length)
        if extrapolation.targets > context:
            raise ValueError(
                f"extrapolation.targets: {extrapolation.targets} tokens do not fit into the shortest of "
                f"extrapolation.contexts, {context} tokens; lower targets, or leave out that context"
            )
        for key, names, lengths in self.task_lengths():
            shortest = min(lengths, default=length)
            for name in names:
                if shortest < self.tasks.shortest(name):
                    raise ValueError(
                        f"{key}: the shortest example has {shortest} tokens, but {name} needs "
                        f"{self.tasks.shortest(name)}; leave out that multiple, or raise training.length"
                    )
        return self

    @model_validator(mode="after")
    def _extensions_fit_the_head(self) -> "Arm":
        components = self.model.head_dim // 2
        for number, extension in enumerate(self.extrapolation.extensions):
            for key in extension.by_component:
                if len(getattr(extension, key)) != components:
                    raise ValueError(
                        f"extrapolation.extensions.{number}.{key}: {len(getattr(extension, key))} factors, but a head "
                        f"of {self.model.head_dim} dimensions has {components} components; give one for each"
                    )
        return self

    def _nearest(self, name: str) -> str:
        return nearest(name, [*NAMES, *self.definitions])

    def encoding(self, name: str) -> EncodingSpec:
        """Return the encoding ``name`` with every setting filled in.

        A definition of a built-in name changes settings of that encoding.

        Raises:
            ValueError: the name, its family or one of its settings is unknown.
        """
        if name not in self.definitions and name not in NAMES:
            raise ValueError(f"encodings: '{name}' is no encoding{self._nearest(name)}")
        definition = self.definitions.get(name) or _built_in(name)
        try:
            settings = family_settings(definition.family, definition.settings)
        except UserError as error:
            raise ValueError(f"definitions.{name}.family: {error}") from None
        except ValidationError as error:
            raise ValueError(
                describe(error, FAMILIES[definition.family].settings, f"definitions.{name}.settings")
            ) from None
        return EncodingSpec(name=name, family=definition.family, settings=settings, text_only=definition.text_only)

    def _check_definition(self, name: str) -> None:
        """Check that a definition does not put another encoding in the place of a built-in one: claims name those.

        Raises:
            ValueError: it does.
        """
        family = self.encoding(name).family
        # Frequencies found in a model of this family keep its name.
        given = family in FAMILIES and FAMILIES[family].given
        if name in NAMES and family != _built_in(name).family and not given:
            raise ValueError(
                f"definitions.{name}.family: a built-in encoding has this name, and its family is "
                f"'{_built_in(name).family}'; keep that, or choose another name"
            )

    def check_span(self, name: str, span: int | None) -> None:
        """Check that the attention of an encoding can be analysed, which encodes up to ``span`` tokens together.

        Raises:
            ValueError: it cannot.
        """
        length, settings = self.training.length, ", ".join(self.encoding(name).settings)
        if self.reads_text and span is not None and span < length:
            raise ValueError(
                f"encodings: '{name}' encodes up to {span:,} tokens together, but its attention is analysed over "
                f"training.length, {length:,}; change its settings ({settings}), or lower training.length"
            )

    def is_rotary(self, name: str) -> bool:
        """Return whether the encoding ``name`` turns queries and keys by angles linear in position."""
        family = FAMILIES.get(self.encoding(name).family)
        return family is not None and family.rotary

    def spectrum(self, name: str) -> Spectrum | None:
        """Return the frequencies of the encoding ``name`` at this study's sizes; None if it is not rotary.

        Raises:
            ValueError: its settings do not fit the sizes.
        """
        encoding = self.encoding(name)
        family = FAMILIES.get(encoding.family)
        try:
            if family is None:
                return None
            return family.spectrum_at(encoding.settings, self.model.head_dim, self.training.length)
        except UserError as error:
            raise ValueError(f"definitions.{name}.settings: {error}") from None

    def source(self, name: str) -> Path | None:
        """Return the file of the encoding ``name`` if it is the user's own, else None.

        Raises:
            UserError: there is no such file.
        """
        family = self.encoding(name).family
        try:
            return source_file(family) if is_custom(family) else None
        except UserError as error:
            raise UserError(f"definitions.{name}.family: {error}") from None

    def task_sources(self, names: Iterable[str]) -> list[Path]:
        """Return the files of the user's own tasks among ``names``.

        Raises:
            UserError: there is no such file.
        """
        sources = []
        for name in names:
            task = self.tasks.task(name).task
            try:
                sources += [source_file(task)] if is_custom(task) else []
            except UserError as error:
                raise UserError(f"tasks.definitions.{name}.task: {error}") from None
        return sources

    def runs(self) -> list[tuple[str, int]]:
        """Return the (encoding, seed) pairs of all models of the arm."""
        return [
            (name, self.seeds.first + offset)
            for name in self.encodings
            for offset in range(self.seeds.per_encoding.get(name, self.seeds.count))
        ]

    @property
    def reads_text(self) -> bool:
        """Whether the arm's models are trained on text; loss and attention are measured on text."""
        return self.trained_on == "text"

    @property
    def start_token(self) -> bool:
        """Whether windows and prompts begin with the start token; an arm that is trained on tasks alone has none."""
        return self.reads_text and self.training.windows.start_token

    @property
    def tables(self) -> set[str]:
        """The tables of results that the arm's models have, ``room/file``; some only for rotary encodings."""
        names = {"model/history"}
        if self.reads_text:
            names |= {f"evaluation/{name}" for name in ("extrapolation", "context", "strided")}
            names |= {f"analysis/{name}" for name in ("profile", "ushape", "divergence", "components", "activation")}
            names |= {f"analysis/{name}" for name in ("kernel_trained", "intervention", "dynamics")}
            names |= {"theory/kernel", "theory/kernel_sweep", "theory/kernel_sizes", "data/documents"}
        if self.retrieval.tasks:
            names.add("evaluation/retrieval")
        return {f"{name}.parquet" for name in names}

    @property
    def trained_tasks(self) -> list[str]:
        """The tasks whose examples occur in training."""
        return self.mixture.all_tasks if self.mixture.share or not self.reads_text else []

    @property
    def data_key(self) -> str:
        """The name of the folder of the arm's tokens; arms with the same settings share one."""
        if not self.reads_text:
            return f"symbols-{self.symbols}"
        settings = json.dumps(
            [part.model_dump(mode="json") for part in (self.corpus.what_it_holds(), self.tokens)], sort_keys=True
        )
        return f"{self.corpus.source}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"

    @property
    def symbols(self) -> int:
        """The number of symbols that the tasks draw from: the whole vocabulary of an arm without text."""
        return max(self.tasks.symbols(name) for name in {*self.mixture.all_tasks, *self.retrieval.tasks})

    def task_lengths(self) -> Iterator[tuple[str, list[str], list[int]]]:
        """Yield, for training and for evaluation, the key, the tasks, and the tokens per example, start token apart."""
        length = self.training.length
        trained = [round(multiple * length) for multiple in self.mixture.multiples]
        yield "mixture.multiples", self.trained_tasks, trained
        yield "retrieval.multiples", self.retrieval.tasks, self.retrieval_stage().lengths(length)

    def train_stage(self, name: str, seed: int) -> "TrainStage":
        """Return everything that the training of one model depends on."""
        encoding = self.encoding(name)
        share = 0.0 if encoding.text_only else self.mixture.share if self.reads_text else 1.0
        mixture = self.mixture.model_copy(update={"share": share})
        return TrainStage(
            encoding=encoding,
            seed=seed,
            model=self.model,
            training=self.training,
            mixture=mixture,
            tasks=self._tasks(mixture.all_tasks if mixture.share else []),
        )

    def extrapolation_stage(self) -> "ExtrapolationStage":
        """Return everything that the extrapolation evaluation depends on."""
        return ExtrapolationStage(extrapolation=self.extrapolation, windows=self.training.windows)

    def dynamics_stage(self) -> "DynamicsStage":
        """Return everything that the analysis of snapshots depends on."""
        training = self.training
        return DynamicsStage(
            analysis=self.analysis,
            snapshots=training.snapshot_steps,
            steps=training.steps,
            batch_tokens=training.batch_windows * training.length,
        )

    def theory_stage(self) -> "TheoryStage":
        """Return everything that the kernels of the rotary encodings depend on."""
        rotary = [self.encoding(name) for name in self.encodings if self.is_rotary(name)]
        return TheoryStage(encodings=rotary, head_dim=self.model.head_dim, length=self.training.length)

    def length_stage(self) -> "LengthStage":
        """Return everything that is checked on the text before a training."""
        own = any(is_custom(self.tasks.task(name).task) for name in self.retrieval.tasks)
        return LengthStage(
            retrieval=self.retrieval_stage() if own else None,
            length=self.training.length,
            windows=self.training.windows,
            analysis=self.analysis,
            extrapolation=self.extrapolation,
        )

    def retrieval_stage(self) -> "RetrievalStage":
        """Return everything that the retrieval evaluation depends on."""
        return RetrievalStage(
            retrieval=self.retrieval, tasks=self._tasks(self.retrieval.tasks), start_token=self.start_token
        )

    def _tasks(self, names: Iterable[str]) -> dict[str, TaskDefinition]:
        """Return these tasks alone, with every setting filled in."""
        return {name: self.tasks.task(name) for name in names}


def _built_in(name: str) -> EncodingDefinition:
    """Return the family and settings of a name of the catalogue."""
    if name in PRESETS:
        return EncodingDefinition(family=PRESETS[name].family, settings=PRESETS[name].settings)
    return EncodingDefinition(family=name)


class TrainStage(Section):
    """Everything that the training of one model depends on, except its data."""

    encoding: EncodingSpec
    seed: int
    model: Model
    training: Training
    mixture: Mixture
    tasks: dict[str, TaskDefinition]

    @property
    def led_steps(self) -> int:
        """The number of steps, from the first, that use the tasks of the lead-in."""
        lead_in = self.mixture.lead_in if self.mixture.share else None
        return round(lead_in.share * self.training.steps) if lead_in else 0


class RetrievalStage(GrownSection):
    """Everything that the retrieval evaluation of one model depends on, except the model."""

    retrieval: Retrieval
    tasks: dict[str, TaskDefinition]
    start_token: bool = False

    later = ("start_token",)

    def lengths(self, length: int) -> list[int]:
        """Return the tokens per example, without the start token, at a training length."""
        return [round(multiple * length) - self.start_token for multiple in self.retrieval.multiples]


class ExtrapolationStage(Section):
    """Everything that the extrapolation evaluation of one model depends on, except the model."""

    extrapolation: Extrapolation
    windows: Windows


class DynamicsStage(Section):
    """Everything that the analysis of one model's snapshots depends on, except the model."""

    analysis: Analysis
    snapshots: list[int]
    steps: int
    batch_tokens: int


class TheoryStage(Section):
    """Everything that the kernels of the rotary encodings depend on."""

    encodings: list[EncodingSpec]
    head_dim: int
    length: int


class LengthStage(GrownSection):
    """Everything that is checked on the text before a training: how long documents are, and the user's own tasks."""

    length: int
    windows: Windows
    analysis: Analysis
    extrapolation: Extrapolation
    retrieval: RetrievalStage | None = None

    later = ("retrieval",)
