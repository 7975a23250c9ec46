"""Commands on trained models and stock checkpoints."""

import argparse
from pathlib import Path

from hope.commands.declaration import argument, at_least, command, positive


@command(
    argument("model", type=Path, help="folder of a trained model"),
    argument("output", type=Path, help="the new folder"),
    argument("--format", choices=("llama", "partial-rotary", "gguf"), default="llama", help="what to write (llama)"),
    argument("--tokenizer", help="folder of the model's tokenizer, or 'none' (the tokenizer of its study)"),
)
def export(options: argparse.Namespace) -> None:
    """Write a trained model as a stock checkpoint."""
    from hope.interchange.exporting import export_model

    print(export_model(options.model, options.output, options.format, options.tokenizer))


@command(
    argument("checkpoint", type=Path, help="folder with config.json and safetensors"),
    argument("output", type=Path, help="the new folder"),
    argument("--length", type=int, help="training length in tokens (max_position_embeddings)"),
    argument("--data", type=Path, help="a study's folder of tokens; the model gets its special tokens"),
)
def import_(options: argparse.Namespace) -> None:
    """Convert a stock checkpoint into a model that analysis and evaluation can read."""
    from hope.interchange.importing import import_checkpoint

    print(import_checkpoint(options.checkpoint, options.output, options.length, options.data))


CHECKPOINT = argument("checkpoint", type=Path, help="folder of a trained model, or with config.json and safetensors")
TEXT = argument(
    "--text", nargs="+", action="extend", required=True, help="files, folders or globs: .txt .md .jsonl .parquet"
)
FIELD = argument("--field", default="text", help="field that holds the text in .jsonl and .parquet (text)")


@command(
    CHECKPOINT,
    TEXT,
    argument("--output", type=Path, help="the new folder (analysis-NAME)"),
    argument("--length", type=positive(int), help="tokens per window (the training length, at most 512)"),
    FIELD,
    argument("--documents", type=at_least(2), default=8, help="windows of text to analyze (8)"),
)
def analyze(options: argparse.Namespace) -> None:
    """Analyze the attention of any causal language model on texts of your own."""
    from hope.reporting.checkpoint import analyze_checkpoint
    from hope.reporting.on_text import name_of

    output = options.output or Path(f"analysis-{name_of(options.checkpoint)}")
    print(
        analyze_checkpoint(options.checkpoint, options.text, output, options.length, options.documents, options.field)
    )


@command(
    CHECKPOINT,
    TEXT,
    argument("--output", type=Path, help="the new folder (evaluation-NAME)"),
    argument("--minutes", type=positive(float), default=20.0, help="time that the passes may take, about (20)"),
    argument("--documents", type=at_least(2), default=4, help="windows of text (4)"),
    argument("--length", type=positive(int), help="training length in tokens, if config.json names none"),
    FIELD,
)
def evaluate(options: argparse.Namespace) -> None:
    """Evaluate the losses and the retrieval of any causal language model on texts of your own."""
    from hope.reporting.evaluation import evaluate_checkpoint
    from hope.reporting.on_text import name_of

    output = options.output or Path(f"evaluation-{name_of(options.checkpoint)}")
    asked = options.minutes, options.documents, options.length, options.field
    print(evaluate_checkpoint(options.checkpoint, options.text, output, *asked))
