"""The plan of a study: all estimates in one place."""

from dataclasses import asdict, dataclass
from typing import Any

from hope.catalogue import FAMILIES
from hope.config import Arm
from hope.errors import UserError
from hope.plan.activations import Kind, Pass
from hope.plan.compute import forward, measuring_flops, training_flops
from hope.plan.devices import DEVICES, GIB, ROOM, UTILISATION, Device, find_device
from hope.plan.disk import Disk, disk_space
from hope.plan.memory import Memory, fullest, training_memory
from hope.plan.preparation import Preparation, preparation
from hope.plan.sizes import Parameters, count_parameters, vocabulary_of

ZERO_STAGES = (0, 1, 2, 3)


@dataclass(frozen=True)
class PlanOptions:
    """The user's description of the machine; None for what is not given.

    Attributes:
        devices: number of devices.
        gpu: name of a known device.
        flops: peak of another device in TFLOP/s, at the training's precision.
        memory: memory of that device in GiB.
        utilisation: share of the peak that a training reaches.
        cpu: whether it trains on CPUs, at any precision.
        tokens_per_second: measured speed of one training.
        vocabulary: number of token ids, including special ones.
    """

    devices: int | None = None
    gpu: str | None = None
    flops: float | None = None
    memory: float | None = None
    utilisation: float | None = None
    cpu: bool = False
    tokens_per_second: float | None = None
    vocabulary: int | None = None


@dataclass(frozen=True)
class Hours:
    """Time on one kind of device.

    Attributes:
        device: its name.
        peak: FLOP/s of one device at the training's precision; None if the speed was measured.
        share: share of one device's memory that a training fills; None if its memory is unknown.
        training: hours of one training.
        trainings: hours of all trainings.
        measuring: hours of all measurements on the models; None if unknown.
    """

    device: str
    peak: float | None
    share: float | None
    training: float
    trainings: float
    measuring: float | None

    @property
    def fits(self) -> bool | None:
        """Whether the memory suffices; None if unknown."""
        return None if self.share is None else self.share <= ROOM


@dataclass(frozen=True)
class Plan:
    """The estimates for an arm of a study.

    Attributes:
        title: names the study and the arm.
        runs: number of models, by encoding.
        vocabulary: number of token ids.
        parameters: parameters per model, by encoding.
        largest: the encoding whose model has the most parameters.
        steps: optimiser steps per training.
        flops: FLOPs per training: ``model``, ``computed``, and the parts ``attention`` and ``head`` of the model's.
        flops_trainings: computed FLOPs of all trainings.
        flops_measuring: FLOPs of all measurements.
        kind: the device that the memory is for.
        memory: the fullest moment of a training, by ZeRO stage.
        disk: space on disk.
        preparation: what preparing the text takes; None without text.
        devices: number of devices.
        at_once: trainings that run at once.
        utilisation: assumed share of the peak.
        hours: hours by device.
        notes: omissions of the estimates for this arm.
    """

    title: str
    runs: dict[str, int]
    vocabulary: int
    parameters: dict[str, Parameters]
    largest: str
    steps: int
    flops: dict[str, float]
    flops_trainings: float
    flops_measuring: float
    kind: Kind
    memory: dict[int, Memory]
    disk: Disk
    preparation: Preparation | None
    devices: int
    at_once: int
    utilisation: float
    hours: list[Hours]
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values: bytes, FLOPs, hours."""
        content = asdict(self)
        content["parameters"] = {name: asdict(part) | {"total": part.total} for name, part in self.parameters.items()}
        content["memory"] = {str(stage): asdict(part) | {"total": part.total} for stage, part in self.memory.items()}
        content["disk"]["total"] = self.disk.total
        content["hours"] = [asdict(row) | {"fits": row.fits} for row in self.hours]
        return content


def estimate_plan(title: str, arm: Arm, asked: PlanOptions) -> Plan:
    """Return the plan of an arm; ``title`` names it.

    Raises:
        UserError: the device is unknown or the machine does not fit the study, or the vocabulary's size is unknown.
    """
    _check_options(asked)
    training, vocabulary = arm.training, vocabulary_of(arm, asked.vocabulary)
    names = list(dict.fromkeys(name for name, _ in arm.runs()))
    parameters = {name: count_parameters(arm.model, arm.encoding(name), vocabulary, training.length) for name in names}
    largest = max(names, key=lambda name: parameters[name].total)
    devices, at_once = _devices(arm, asked)
    number = 2 if training.precision == "bfloat16" else 4
    kind: Kind = "gpu" if not asked.cpu and (asked.gpu or asked.flops or number == 2) else "cpu"
    one = Pass(
        shape=arm.model,
        vocabulary=vocabulary,
        windows=training.micro_windows,
        length=training.length,
        number=number,
        kind=kind,
        recompute=training.activation_checkpointing,
    )
    memory = {
        stage: fullest(training_memory(training, one, parameters[largest].total, stage, training.world))
        for stage in ZERO_STAGES
    }
    of_model, computed = training_flops(arm, vocabulary)
    parts = forward(arm.model, vocabulary, training.length)
    measuring = sum(measuring_flops(arm, vocabulary, arm.is_rotary(name)) for name, _ in arm.runs())
    work = _Work(computed, measuring, memory[training.zero_stage].total, devices, at_once)
    return Plan(
        title=title,
        runs={name: sum(run == name for run, _ in arm.runs()) for name in names},
        vocabulary=vocabulary,
        parameters=parameters,
        largest=largest,
        steps=training.steps,
        flops={
            "model": of_model,
            "computed": computed,
            "attention": of_model * parts.attention / parts.total,
            "head": of_model * parts.head / parts.total,
        },
        flops_trainings=computed * len(arm.runs()),
        flops_measuring=measuring,
        kind=kind,
        memory=memory,
        disk=disk_space(arm, vocabulary, {name: counts.total for name, counts in parameters.items()}, at_once),
        preparation=preparation(arm),
        devices=devices,
        at_once=at_once,
        utilisation=asked.utilisation or UTILISATION,
        hours=_hours(arm, asked, work),
        notes=_notes(arm, parameters),
    )


@dataclass(frozen=True)
class _Work:
    """The inputs of the hours: FLOPs of a training and of all measurements, bytes of a training, devices."""

    training: float
    measuring: float
    held: float
    devices: int
    at_once: int


def _check_options(asked: PlanOptions) -> None:
    """Check that the options about the machine are consistent."""
    speeds = {"--gpu": asked.gpu, "--flops": asked.flops, "--tokens-per-second": asked.tokens_per_second}
    given = [flag for flag, value in speeds.items() if value is not None]
    if len(given) > 1:
        raise UserError(f"{given[0]} and {given[1]} exclude each other; give one")
    if asked.cpu and asked.gpu:
        raise UserError("--cpu and --gpu exclude each other; give one")
    if asked.memory is not None and (not given or asked.gpu):
        raise UserError("--memory goes with --flops or --tokens-per-second; the memory of known devices is known")
    if asked.utilisation is not None and asked.utilisation > 1:
        raise UserError(f"--utilisation: {asked.utilisation:g} is above 1; it is a share of the peak")


def _devices(arm: Arm, asked: PlanOptions) -> tuple[int, int]:
    """Return the number of devices, and of the trainings that run on them at once."""
    world = arm.training.world
    devices = world if asked.devices is None else asked.devices
    if devices < world:
        raise UserError(
            f"--gpus: a training of this study takes {world} devices (training.processes times training.nodes), but "
            f"{devices} are given; lower training.processes, and micro-batches are accumulated"
        )
    return devices, min(devices // world, len(arm.runs()))


def _kinds(arm: Arm, asked: PlanOptions) -> list[Device]:
    """Return the kinds of device to estimate hours for."""
    if asked.gpu:
        return [find_device(asked.gpu)]
    if asked.flops:
        memory = None if asked.memory is None else asked.memory * GIB
        half = arm.training.precision == "bfloat16"
        return [Device("as given", asked.flops if half else None, None if half else asked.flops, memory, "--flops")]
    return list(DEVICES.values()) if arm.training.precision == "bfloat16" and not asked.cpu else []


def _hours(arm: Arm, asked: PlanOptions, work: _Work) -> list[Hours]:
    training = arm.training
    waves = -(-len(arm.runs()) // work.at_once)
    if asked.tokens_per_second:
        seen = training.steps * training.batch_windows * training.length
        once = seen / asked.tokens_per_second / 3600
        share = None if asked.memory is None else work.held / (asked.memory * GIB)
        return [Hours("speed as given", None, share, once, waves * once, None)]
    reached = asked.utilisation or UTILISATION
    hours = []
    for device in _kinds(arm, asked):
        peak, exact = device.peak(training.precision), device.peak("float32")
        assert peak is not None
        once = work.training / (training.world * peak * reached) / 3600
        # Models are measured in float32, each on one device.
        measuring = None if exact is None else work.measuring / (work.devices * exact * reached) / 3600
        share = None if device.memory is None else work.held / device.memory
        hours.append(Hours(device.name, peak, share, once, waves * once, measuring))
    return hours


def _notes(arm: Arm, parameters: dict[str, Parameters]) -> list[str]:
    """Return the omissions of the estimates."""
    notes = []
    own = [name for name in parameters if arm.encoding(name).family not in FAMILIES]
    if own:
        notes.append(
            f"{', '.join(own)}: parameters of the encoding, and for a bias or logits of its own memory and time beyond "
            "this estimate, which only its class knows"
        )
    slower = [name for name in parameters if name not in own and not _is_counted(arm, name)]
    if slower:
        notes.append(
            f"{', '.join(slower)}: memory and time beyond this estimate, which is for a rotation on the fused kernel"
        )
    return notes


def _is_counted(arm: Arm, name: str) -> bool:
    family = FAMILIES[arm.encoding(name).family]
    return family.kernel == "fused" and not family.own_queries
