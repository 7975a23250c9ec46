"""The study's config: typed, strict, and readable without any numerical library.

:class:`Study` is the single source of the config's keys and defaults: ``config.yaml`` and
``workflow/schemas/config.schema.json`` are generated from the classes here. Each rule of the workflow gets only the
part that it depends on, one of the stages of :class:`Arm`, as sorted JSON.
"""

from hope.config.arm import (
    Arm,
    DynamicsStage,
    ExtrapolationStage,
    LengthStage,
    RetrievalStage,
    Seeds,
    TheoryStage,
    TrainStage,
    wrong_name,
)
from hope.config.data import Corpus, Files, Hub, TextSource, Tokens, Validation, WeighedSource, Windows
from hope.config.encodings import EncodingDefinition, EncodingSpec
from hope.config.extensions import Extension
from hope.config.load import BASE, from_json, load_study, parse_study, to_json, with_base
from hope.config.measures import Analysis, Extrapolation, Retrieval, Strided
from hope.config.messages import describe
from hope.config.study import FORMAT, FORMAT_KEY, MAIN, Report, Run, Study, Tracking, as_config, merge
from hope.config.tasks import TASKS, Tasks
from hope.config.training import Mixture, Model, Training
from hope.section import Section
from hope.tasks import TaskDefinition

__all__ = [
    "Analysis",
    "Arm",
    "BASE",
    "Corpus",
    "DynamicsStage",
    "EncodingSpec",
    "EncodingDefinition",
    "Extension",
    "Extrapolation",
    "FORMAT",
    "FORMAT_KEY",
    "ExtrapolationStage",
    "Files",
    "Hub",
    "LengthStage",
    "MAIN",
    "Mixture",
    "Model",
    "Report",
    "Retrieval",
    "RetrievalStage",
    "Run",
    "Section",
    "Seeds",
    "Strided",
    "Study",
    "TASKS",
    "TaskDefinition",
    "Tasks",
    "TextSource",
    "TheoryStage",
    "Tokens",
    "Tracking",
    "TrainStage",
    "Training",
    "Validation",
    "WeighedSource",
    "Windows",
    "as_config",
    "describe",
    "from_json",
    "load_study",
    "merge",
    "parse_study",
    "to_json",
    "with_base",
    "wrong_name",
]
