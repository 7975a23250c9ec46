"""The plan as text: tables for a terminal or a proposal."""

from collections.abc import Iterable

from hope.config import Arm
from hope.plan.devices import DEVICES, GIB, TERA
from hope.plan.disk import CHECKPOINTS
from hope.plan.estimate import Hours, Plan
from hope.plan.preparation import Preparation
from hope.words import plural, short, size, table

PARTS = ("weights", "gradients", "optimizer", "activations", "loss", "buffers")
"""Parts of the memory, in the order of the table."""
LABEL = 14
"""Width of the labels in characters."""
NOT_COUNTED = {
    "gpu": "memory of CUDA itself and free memory between allocations",
    "cpu": "0.5 GiB for Python with its libraries and freed memory that the C library keeps",
}
"""Memory of a process that the estimate leaves out."""


def plan_text(arm: Arm, plan: Plan) -> str:
    """Return the plan of an arm as text."""
    blocks = [_model(arm, plan), _work(arm, plan), _memory(arm, plan), _disk(plan), _hours(arm, plan)]
    if plan.preparation:
        blocks.insert(1, _preparation(plan.preparation))
    if plan.notes:
        blocks.append(_labelled("left out", plan.notes))
    return "\n\n".join("\n".join(block) for block in blocks)


def _model(arm: Arm, plan: Plan) -> list[str]:
    shape, counts = arm.model, plan.parameters[plan.largest]
    runs = ", ".join(f"{count} {name}" for name, count in plan.runs.items())
    embedding = f"{short(counts.embedding)} embedding"
    embedding += f" and {short(counts.head)} output projection" if counts.head else " (tied)"
    encoding = f", {short(counts.encoding)} encoding ({plan.largest})" if counts.encoding else ""
    return [
        f"{plan.title}: {sum(plan.runs.values())} models ({runs})",
        *_labelled(
            "model",
            [
                f"{shape.layers} layers, {shape.width} wide, {shape.heads} heads of {shape.head_dim}, "
                f"{plan.vocabulary:,} token ids",
                f"{short(counts.total)} parameters: {embedding}, {short(counts.layers)} layers{encoding}",
            ],
        ),
    ]


def _preparation(text: Preparation) -> list[str]:
    return _labelled(
        "the text",
        [
            f"{size(text.text)} in about {short(round(text.documents))} documents: {_time(text.core_hours)} "
            f"processor hours to prepare, in up to {plural(text.jobs, 'job')} at once",
            f"{size(text.memory)} of memory for the largest job, {size(text.stays)} of disk, and "
            f"{size(text.meanwhile)} meanwhile",
        ],
    )


def _work(arm: Arm, plan: Plan) -> list[str]:
    training = arm.training
    seen = training.steps * training.batch_windows * training.length
    model, computed = plan.flops["model"], plan.flops["computed"]
    again = f" ({computed:.3g} with recomputation)" if computed > model else ""
    return [
        *_labelled(
            "a training",
            [
                f"{short(seen)} tokens, {plan.steps:,} steps of {plural(training.batch_windows, 'window')} of "
                f"{training.length:,}: {short(training.batch_windows * training.length)} tokens per step",
                f"{model:.3g} FLOPs{again}, {plan.flops['attention'] / model:.0%} in attention, "
                f"{plan.flops['head'] / model:.0%} in the output projection",
            ],
        ),
        *_labelled(
            "all of them",
            [
                f"{plan.flops_trainings + plan.flops_measuring:.3g} FLOPs: {plan.flops_trainings:.3g} to train, "
                f"{plan.flops_measuring:.3g} to measure"
            ],
        ),
    ]


def _memory(arm: Arm, plan: Plan) -> list[str]:
    training = arm.training
    what = "device" if plan.kind == "gpu" else "process"
    recompute = "recomputed" if training.activation_checkpointing else "kept"
    away = ", optimiser in the host's memory" if training.offload else ""
    most = max(held.total for held in plan.memory.values())
    unit, divisor = ("GiB", GIB) if most >= GIB else ("MiB", GIB / 1024)
    title = (
        f"memory per {what}, {unit} ({training.precision}, {plural(training.world, what)} per training, "
        f"micro-batches of {training.micro_windows} x {training.length:,}, activations {recompute}{away})"
    )
    rows = [["ZeRO", *(part.replace("optimizer", "optimiser") for part in PARTS), "total", "fullest in"]]
    for stage, held in plan.memory.items():
        chosen = " *" if stage == training.zero_stage else ""
        parts = [f"{getattr(held, part) / divisor:.2f}" for part in PARTS]
        rows.append([f"{stage}{chosen}", *parts, f"{held.total / divisor:.2f}", held.moment])
    lines = [f"  * as configured; not counted: {NOT_COUNTED[plan.kind]}"]
    host = plan.memory[training.zero_stage].host
    if host:
        lines.append(f"  and {host * training.processes / GIB:.2f} GiB of the host's memory on each node")
    return [title, *_indented(table(rows, left=(0, len(rows[0]) - 1))), *lines]


def _disk(plan: Plan) -> list[str]:
    disk = plan.disk
    return _labelled(
        "disk",
        [
            f"{size(disk.models)} models, {size(disk.snapshots)} snapshots of them (training.snapshots)",
            f"{size(disk.checkpoints)} checkpoints of "
            f"{plural(plan.at_once, 'running training')} ({CHECKPOINTS} of {size(disk.checkpoint)} each)",
            f"{size(disk.tokens)} tokens, if each is seen once; not counted: the text (above), tables and report",
        ],
    )


def _hours(arm: Arm, plan: Plan) -> list[str]:
    if not plan.hours:
        known = ", ".join(DEVICES)
        return _labelled(
            "hours",
            [
                "give --tokens-per-second from a heartbeat line of a training,",
                f"or --gpu NAME ({known}), or --flops TFLOP/s and --memory GiB",
            ],
        )
    measured = plan.hours[0].peak is None
    at = "at the speed given" if measured else f"at {plan.utilisation:.0%} of the peak (assumed; --utilisation)"
    title = f"hours with {plural(plan.devices, 'device')}, {plural(plan.at_once, 'training')} at once, {at}"
    rows = [["", "TFLOP/s", "memory", "training", "all trainings", "measuring", "in all"]]
    rows += [_hours_row(row) for row in plan.hours]
    return [title, *_indented(table(rows))]


def _hours_row(row: Hours) -> list[str]:
    share = "-" if row.share is None else f"{row.share:.0%}" + ("" if row.fits else ", too much")
    return [
        row.device,
        "-" if row.peak is None else f"{row.peak / TERA:,.0f}",
        share,
        _time(row.training),
        _time(row.trainings),
        "-" if row.measuring is None else _time(row.measuring),
        _time(row.trainings + (row.measuring or 0.0)),
    ]


def _labelled(label: str, lines: Iterable[str]) -> list[str]:
    return [f"{label if number == 0 else '':<{LABEL}}{line}" for number, line in enumerate(lines)]


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _time(hours: float) -> str:
    if hours < 0.005:
        return "<0.01"
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.1f}" if hours >= 10 else f"{hours:.2f}"
