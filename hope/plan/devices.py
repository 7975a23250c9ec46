"""Devices with figures from their datasheets, and the share of the peak that a training is assumed to reach."""

from dataclasses import dataclass

from hope.errors import UserError, nearest

UTILISATION = 0.4
"""Assumed share of the peak (ours): llm.c reached 41% with 124M parameters on eight H100."""
ROOM = 0.9
"""Share of a device's memory that a training may fill; CUDA itself and fragmentation take the rest."""
TERA = 1e12
GIB = 2**30


@dataclass(frozen=True)
class Device:
    """A kind of device.

    Attributes:
        name: its name for ``--gpu``.
        bfloat16: peak of dense matrix products in TFLOP/s; None if unknown.
        float32: the same in float32 without TF32.
        memory: bytes; None if unknown.
        source: the source of the figures.
    """

    name: str
    bfloat16: float | None
    float32: float | None
    memory: float | None
    source: str

    def peak(self, precision: str) -> float | None:
        """Return the peak in FLOP/s at a precision."""
        rate = self.bfloat16 if precision == "bfloat16" else self.float32
        return None if rate is None else rate * TERA


DEVICES = {
    device.name: device
    for device in (
        Device("A100-40", 312.0, 19.5, 40e9, "NVIDIA A100 datasheet"),
        Device("A100-80", 312.0, 19.5, 80e9, "NVIDIA A100 datasheet"),
        Device("L40S", 362.0, 91.6, 48e9, "NVIDIA L40S datasheet"),
        Device("RTX4090", 165.2, 82.6, 24e9, "NVIDIA Ada architecture whitepaper, with float32 accumulation"),
        Device("H100", 989.0, 67.0, 80e9, "NVIDIA H100 datasheet, SXM; dense, half of the sparse figure"),
        Device("H200", 989.0, 67.0, 141e9, "NVIDIA H200 datasheet, SXM; dense, half of the sparse figure"),
        Device("B200", 2250.0, 75.0, 180e9, "NVIDIA DGX B200 datasheet, an eighth; dense, half of the sparse figure"),
    )
}
"""By name. A datasheet's GB counts as 10^9 bytes, which is on the safe side."""


def find_device(name: str) -> Device:
    """Return the device ``name``, in upper or lower case.

    Raises:
        UserError: there is no such device.
    """
    for known, device in DEVICES.items():
        if known.lower() == name.lower().replace(" ", "-"):
            return device
    raise UserError(
        f"--gpu: '{name}' is not known{nearest(name.upper(), DEVICES)}; known are {', '.join(DEVICES)}, "
        "or give --flops and --memory"
    )
