"""What a decoder computes at every token, with backward passes of their own on a CPU.

Autograd derives a norm's or a gate's gradient one elementary operation at a time, and on a CPU each of
them is a pass over memory. And in float32 PyTorch multiplies matrices with MKL, which on processors that
are not Intel's leaves half of their vector width unused; oneDNN, which PyTorch brings along too and takes
for bfloat16 anyway, does not. On every other device, and where a graph is compiled, these are PyTorch's own.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

FEW_ROWS = 64
"""Products of fewer rows go to MKL, whose calls cost less."""

_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def product(left: Tensor, right: Tensor) -> Tensor:
    """Return ``left @ right.T`` ``[rows, columns]`` of ``[rows, inner]`` and ``[columns, inner]``; no gradient."""
    if not _with_onednn(left) or left.shape[0] < FEW_ROWS or not left.numel():
        return F.linear(left, right)
    if torch.compiler.is_compiling():
        return _opaque_product(left, right)
    return torch.ops.mkldnn._linear_pointwise.default(left, right, None, "none", [], "")


@torch.library.custom_op("hope::product", mutates_args=())
def _opaque_product(left: Tensor, right: Tensor) -> Tensor:
    """Do the same within a compiled graph, which would take MKL."""
    return torch.ops.mkldnn._linear_pointwise.default(left, right, None, "none", [], "")


@_opaque_product.register_fake
def _(left: Tensor, right: Tensor) -> Tensor:
    return left.new_empty(len(left), len(right))


def _with_onednn(tensor: Tensor) -> bool:
    return _ONEDNN and tensor.device.type == "cpu" and tensor.dtype == torch.float32


def weight_gradient(gradient: Tensor, inputs: Tensor) -> Tensor:
    """Return ``gradient.T @ inputs`` ``[out, in]`` of ``[rows, out]`` and ``[rows, in]``.

    oneDNN copies its first factor where that is transposed, so that is made the narrower of the two.
    """
    if gradient.shape[1] <= inputs.shape[1] or gradient.device.type != "cpu":
        return product(gradient.t(), inputs.t())
    return product(inputs.t(), gradient.t()).t()


class Projection(nn.Linear):
    """A projection without bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Make a projection of ``inputs`` to ``outputs`` features."""
        super().__init__(inputs, outputs, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``inputs @ weight.T``, ``[..., outputs]``."""
        return linear(inputs, self.weight)


def linear(inputs: Tensor, weight: Tensor) -> Tensor:
    """Return ``inputs @ weight.T`` ``[..., out]`` of ``[..., in]`` and ``[out, in]``."""
    if _with_onednn(inputs):
        return _Projection.apply(inputs, weight)
    return F.linear(inputs, weight)


class _Projection(Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor) -> Tensor:
        rows = inputs.flatten(0, -2)
        ctx.save_for_backward(rows, weight)
        return product(rows, weight).view(*inputs.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        rows, weight = ctx.saved_tensors
        flat = gradient.flatten(0, -2)
        of_inputs = product(flat, weight.t()).view(*gradient.shape[:-1], weight.shape[1])
        return of_inputs, weight_gradient(flat, rows).contiguous()


def own_gradients(tensor: Tensor) -> bool:
    """Return whether the passes below serve: on a CPU, outside of a compiled graph, which fuses better."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


class RMSNorm(nn.RMSNorm):
    """Division by the root of the mean square (Zhang and Sennrich 2019, arXiv 1910.07467), and a gain."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the normalised ``inputs`` ``[..., width]``."""
        if own_gradients(inputs) and inputs.dtype != torch.bfloat16:
            return _RMSNorm.apply(inputs, self.weight, self.eps)
        return super().forward(inputs)


class _RMSNorm(Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        rows = inputs.reshape(-1, inputs.shape[-1])
        norm = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
        inverse = norm.square_().div_(rows.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(rows, weight, inverse)
        return torch.mul(rows, inverse).mul_(weight).view_as(inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        rows, weight, inverse = ctx.saved_tensors
        flat, normalised = gradient.reshape(rows.shape), rows * inverse
        products = flat * normalised
        along = products.mv(weight).div_(normalised.shape[-1])[:, None]
        across = (flat * weight).addcmul_(normalised, along, value=-1).mul_(inverse)
        return across.view(gradient.shape), products.sum(0), None


def swiglu(both: Tensor) -> Tensor:
    """Return ``silu(gate) * up`` ``[..., width]`` of gate and up side by side, ``[..., 2 width]``.

    Source: Shazeer 2020, arXiv 2002.05202, section 2.
    """
    if own_gradients(both):
        return _SwiGLU.apply(both)
    gate, up = both.chunk(2, dim=-1)
    return F.silu(gate) * up


class _SwiGLU(Function):
    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        gate, up = both.chunk(2, dim=-1)
        opened = F.silu(gate)
        ctx.save_for_backward(both, opened)
        return opened * up

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        both, opened = ctx.saved_tensors
        gate, up = both.chunk(2, dim=-1)
        result = torch.empty_like(both)
        of_gate, of_up = result.chunk(2, dim=-1)
        torch.mul(gradient, opened, out=of_up)
        torch.ops.aten.silu_backward.grad_input(gradient * up, gate, grad_input=of_gate)
        return result
