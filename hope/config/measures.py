"""The config's sections on measurements of trained models."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from hope.config.extensions import Extension, Yarn
from hope.section import Section


class Analysis(Section):
    """Attention mass over distance, the U-shape, and the rotary components."""

    documents: int = Field(24, ge=2, description="validation documents used")
    multiples: list[Annotated[float, Field(gt=0.0)]] = Field(
        default=[1.0, 2.0, 4.0], description="query positions, in training lengths"
    )
    queries: int = Field(8, ge=1, description="neighbouring query positions to average at each multiple")
    active_share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.25, description="share of the frequency components that counts as activated (ours)"
    )
    threads: int = Field(1, ge=1, description="CPU threads of the job")

    @field_validator("multiples")
    @classmethod
    def _has_one(cls, value: list[float]) -> list[float]:
        if 1.0 not in value or sorted(set(value)) != value:
            raise ValueError("multiples must rise and hold 1.0, the training length itself")
        return value


class Strided(Section):
    """Sliding windows over the text: the usual perplexity, with every token scored once."""

    window: Annotated[float, Field(gt=0.0)] = Field(1.0, description="tokens per window, in training lengths")
    stride: Annotated[float, Field(gt=0.0)] = Field(
        0.5, description="tokens from one window to the next, in training lengths"
    )

    @model_validator(mode="after")
    def _overlaps(self) -> "Strided":
        if self.stride > self.window:
            raise ValueError(
                f"stride {self.stride:g} is above window {self.window:g}: tokens between would be left out"
            )
        return self


class Extrapolation(Section):
    """The loss past the training length."""

    documents: int = Field(24, ge=2, description="validation documents to evaluate, the same ones for every model")
    windows: int = Field(2, ge=1, description="windows per document")
    longest: int = Field(16, ge=1, description="longest context, in training lengths")
    bin_share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.125, description="width of a position bin, as a share of the training length"
    )
    contexts: list[Annotated[float, Field(gt=0.0)]] = Field(
        default=[0.5, 1.0, 2.0, 4.0, 8.0, 16.0],
        description="contexts of the fixed target tokens, in training lengths",
    )
    targets: int = Field(32, ge=1, description="fixed target tokens per window, at its end")
    extensions: list[Extension] = Field(
        default=[Yarn(kind="yarn", factor=4.0)],
        description="length extensions, each measured with every encoding that it applies to; "
        "kinds: linear, ntk, dynamic-ntk, yarn, longrope, rerope (docs/extensions.md)",
    )
    strided: Strided | None = Field(
        None,
        description="the usual perplexity too, in sliding windows; null: not measured",
        examples=[{"window": 1.0, "stride": 0.5}],
    )
    threads: int = Field(1, ge=1, description="CPU threads of the job")

    @model_validator(mode="after")
    def _labels_differ(self) -> "Extrapolation":
        labels = ["none", *(extension.label for extension in self.extensions)]
        for label in labels:
            if labels.count(label) > 1:
                taken = "means no extension" if label == "none" else "is the label of two extensions"
                raise ValueError(f"extensions: '{label}' {taken}; give the extension another name")
        return self

    @model_validator(mode="after")
    def _fits(self) -> "Extrapolation":
        if 1.0 not in self.contexts or sorted(set(self.contexts)) != self.contexts:
            raise ValueError("contexts must rise and hold 1.0, the training length itself")
        if self.contexts[-1] > self.longest:
            raise ValueError(f"contexts ends at {self.contexts[-1]}, past longest {self.longest}")
        if self.strided is not None and self.strided.window > self.longest:
            raise ValueError(f"strided.window {self.strided.window:g} is above longest {self.longest}")
        return self


class Retrieval(Section):
    """The accuracy on retrieval tasks, whose answers are in the context."""

    tasks: list[str] = Field(
        default=["copy", "copy_text", "few_shot", "recall", "induction"],
        description="tasks to evaluate: any of `tasks`, trained or not",
    )
    multiples: list[Annotated[float, Field(gt=0.0)]] = Field(
        default=[0.125, 0.25, 0.5, 1.0, 2.0, 4.0], description="prompt lengths, in training lengths"
    )
    prompts: int = Field(
        400,
        ge=2,
        description="prompts per task and length, the same ones for every model and every depth of a task",
    )
    seed: int = Field(1_000_003, ge=0, description="seed of the prompts; no training uses it")
    threads: int = Field(1, ge=1, description="CPU threads of the job")
