"""The figures of a study: what there is, and drawing them all."""

from pathlib import Path

import pandas as pd

from hope.files import whole_file
from hope.reporting.figures import (
    activation,
    attention,
    claims,
    comparisons,
    decay,
    dynamics,
    evaluation,
    extensions,
    intervention,
    retrieval,
    rotary,
)
from hope.reporting.figures.data import Drawing, FigureKind
from hope.reporting.figures.style import MUTED, new_figure, paper_style, save
from hope.reporting.study_tables import StudyTables

KINDS = (
    FigureKind(
        "claims",
        "All claims at a glance",
        "Effects are scaled so that 1 is the smallest that counts (the upright stroke) and the claimed side is right "
        "of 0; for a non-inferiority the stroke is the margin. A bar is the interval, a diamond an exact number. "
        "Beyond 2 the axis is logarithmic.",
        "Forest plot of the primary endpoint of every part of every claim, with intervals and thresholds.",
        claims.claims,
    ),
    FigureKind(
        "loss_by_position",
        "Loss by position",
        "Past L (shaded) a model that extrapolates keeps its level. The lower panel is the one to judge by: it pairs "
        "the losses by seed and document, so that what all models find hard cancels.",
        "Loss at each position of long windows, one line an encoding, and its paired difference to RoPE.",
        evaluation.loss_by_position,
    ),
    FigureKind(
        "context_gain",
        "Context gain",
        "The loss on the same tokens with L tokens of context, minus the loss with another context. Past L: above 0 "
        "the model uses the longer context, at 0 it ignores it, below 0 it is harmed by it.",
        "Loss saved on fixed tokens by longer contexts, one line an encoding, zero at the training length.",
        evaluation.context_gain,
    ),
    FigureKind(
        "extensions",
        "Length extensions",
        "The loss of the trained models when their angles are rescaled at evaluation, without training. Dotted upright "
        "lines are the models as they were trained: left of an encoding's line an extension helps it. What it costs "
        "within L stands in the first panel. An encoding for which an extension has no meaning has no mark.",
        "Loss within the training length and in each octave past it, one row a length extension, by encoding.",
        extensions.extensions,
    ),
    FigureKind(
        "retrieval",
        "Retrieval",
        "Share of answer tokens that are right, each predicted from the right tokens before it. The dotted line "
        "is a guess among the task's candidates. Trained tasks were part of training up to L, with other prompts.",
        "Accuracy of retrieval tasks by prompt length, one panel a task, one line an encoding, with chance.",
        evaluation.retrieval,
    ),
    FigureKind(
        "retrieval_depth",
        "Retrieval by length and depth",
        "Percent of answer tokens that are right, by the place of what is asked for: depth 0 is the beginning of the "
        "prompt, 1 right before the question. The arrow at the scale is a guess among the task's candidates. An empty "
        "cell is one that the encoding has no positions for.",
        "Heatmaps of accuracy over prompt length and depth, one panel an encoding, one row of panels a task.",
        retrieval.retrieval_depth,
    ),
    FigureKind(
        "comparisons",
        "All comparisons with RoPE",
        "Every measure in which encodings are compared, a column an encoding of several seeds. Diamonds are primary "
        "endpoints of claims, circles are exploratory: the basis of no verdict. A filled mark survives Holm's "
        "correction within its family; intervals are not corrected. Percent are logarithmic beyond 5.",
        "Forest plot of the differences of every encoding to RoPE in every measure, with intervals.",
        comparisons.against_rope,
    ),
    FigureKind(
        "comparisons_hope",
        "All comparisons with HoPE",
        "Every measure in which encodings are compared, a column an encoding of several seeds. Diamonds are primary "
        "endpoints of claims, circles are exploratory: the basis of no verdict. A filled mark survives Holm's "
        "correction within its family; intervals are not corrected. Percent are logarithmic beyond 5.",
        "Forest plot of the differences of every encoding to HoPE in every measure, with intervals.",
        comparisons.against_hope,
    ),
    FigureKind(
        "attention_profile",
        "Where attention goes",
        "A U-shape rises at both ends of the upper panels; long-term decay alone would rise at the right end only. The "
        "first key has a bin of its own: a spike there is the attention sink. Means over layers and heads; bands span "
        "the seeds.",
        "Attention density over key position and over distance, at initialisation and trained, one line an encoding.",
        attention.attention_profile,
    ),
    FigureKind(
        "ushape_heads",
        "The U-shape, head by head",
        "One mark a head: the U-shape index without the first token, 0 for uniform attention, below 0 for decay alone, "
        "above 0 for a U. Heads differ; the claim is about their mean. It must exceed that of the same models before "
        "training, and on the same tokens in random order.",
        "U-shape index of every head by layer, trained, at initialisation and on shuffled tokens, a panel an encoding.",
        attention.ushape_heads,
    ),
    FigureKind(
        "components",
        "Frequency components",
        "Above, how far each component bends the logits over distances within L: dots are heads, the line their mean, "
        "circles the activated ones. "
        "The dashed line is HoPE's cutoff: right of it a component completes no turn within L. Below, which way each "
        "bends them.",
        "Logit contribution of each frequency component of the rotary encodings over distance, with the cutoff marked.",
        rotary.components,
    ),
    FigureKind(
        "activation",
        "Activated components",
        "Which components bend the logits over distance the most, and where they lie against the dashed line, HoPE's "
        "cutoff 2 pi / L. From the top: by the study's own share, layer by layer; over all layers by other shares; and "
        "by an absolute size. The area of a mark is the share of the seeds that activate the component.",
        "Components that count as activated, by layer and by threshold, one panel a rotary encoding, cutoff marked.",
        activation.activation,
    ),
    FigureKind(
        "intervention",
        "Changing components",
        "What changes when some of a trained model's components stand still (what they say of tokens stays), when "
        "their mean at each distance takes their place (what they say of distance stays), and when they are removed. "
        "Claims 2 and 3 compare the disks of the activated ones with those of the others. Where changes are large, "
        "the axis is logarithmic beyond 0.1.",
        "Change of U-shape index and losses when components are frozen, averaged or removed, by set of components.",
        intervention.intervention,
    ),
    FigureKind(
        "divergence",
        "Departure of attention past L",
        "The share of attention that lies elsewhere than within L, 0 to 1, by octaves of distance. Lower is closer to "
        "what training showed the model. Below, one mark a model: what the loss rises by past L, in the octave up to "
        "that query, where so much of the attention moved.",
        "Total variation between attention past and within the training length by layer, and against the loss past L.",
        attention.divergence,
    ),
    FigureKind(
        "kernel",
        "Decay in theory",
        "g(D) is the logit of a query and a key that are equal in every component, relative to distance 0; it needs no "
        "model. Bold lines are means over an octave. Past L, HoPE keeps a floor where RoPE goes on falling. The bound "
        "beside it depends on the order of the components and is a worst case, not what models do.",
        "Theoretical mean kernel and summation bound of the rotary encodings over distances to 16 training lengths.",
        rotary.kernel,
    ),
    FigureKind(
        "kernel_sweep",
        "Decay in theory, by base and encoding",
        "The same two curves over bases, darker the larger, and of other rotary encodings at their usual settings; "
        "means over an octave, no model is in them. A larger base moves the fall of RoPE to the right, and HoPE's "
        "floor up, for it stops more components.",
        "Mean kernel and summation bound over distance, of RoPE and HoPE at several bases and of other encodings.",
        decay.kernel_sweep,
    ),
    FigureKind(
        "kernel_trained",
        "Decay with trained queries and keys",
        "The same two curves with the mean query and key of each head in the place of equal ones, in logits; means "
        "over an octave. Lines are means over heads and seeds, bands hold the middle half of the heads.",
        "Kernel and bound of the trained heads' mean queries and keys over distances to 16 training lengths.",
        decay.kernel_trained,
    ),
    FigureKind(
        "training_dynamics",
        "How it comes to be",
        "The U-shape and the loss of held-out text before the first step (0), at moments of training and at its end "
        "(1); wide intervals are cut at the edge. Below, how far each component bends the logits over distance; "
        "circles are the activated ones of each moment, and above the dashed line a component completes no turn within "
        "L.",
        "U-shape index and loss over the course of training, one line an encoding, and the spread of each frequency "
        "component at each moment.",
        dynamics.training_dynamics,
    ),
    FigureKind(
        "training_loss",
        "Training",
        "All models of a seed see the same batches. Thin lines are seeds, bold ones their mean. Synthetic examples "
        "count on their answer tokens only.",
        "Training loss on text and on synthetic examples over tokens seen, one line an encoding.",
        evaluation.training_loss,
    ),
)


def kind(name: str) -> FigureKind:
    """Return the figure called ``name``; KeyError if there is none."""
    return {known.name: known for known in KINDS}[name]


def draw_one(tables: StudyTables, name: str) -> Drawing:
    """Return one figure; where the study has no data for it, a figure that says so and an empty table."""
    with paper_style():
        drawing = kind(name).draw(tables)
        if drawing is not None:
            return drawing
        figure, ((axes,),) = new_figure(6.0, 1.2)
        axes.set_axis_off()
        words = f"{kind(name).title}: this study has no data for it"
        axes.text(0.5, 0.5, words, ha="center", va="center", color=MUTED, transform=axes.transAxes)
        return Drawing(figure, pd.DataFrame())


def draw(study: Path) -> None:
    """Write ``figures/<name>.svg``, ``.png`` and ``.csv`` for each figure of the study at ``study``.

    Raises:
        UserError: ``study`` holds no study.
    """
    tables = StudyTables(study)
    for known in KINDS:
        drawing = draw_one(tables, known.name)
        target = tables.paths.figures / known.name
        save(drawing.figure, target)
        with whole_file(target.with_name(f"{known.name}.csv")) as temporary:
            drawing.data.to_csv(temporary, index=False, float_format="%.8g")
