"""Which positions of a batch are there: padding changes no result.

A pattern is present if some state of its sample sees it, a state that is coupled to others if it
sees some pattern. What goes by position counts the present ones, wherever the others stand.
"""

from __future__ import annotations

from collections.abc import MutableMapping

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils.weak import WeakTensorKeyDictionary

from attenergy.registry import ArgumentError


def open_to_present(mask: Tensor) -> tuple[Tensor, Tensor]:
    """As `attenergy.energies.masks.open_rows`, but an empty row sees what some other row sees.

    So the opened mask still says which patterns are present. All are if no row sees anything.
    """
    occupied = mask.any(-1, keepdim=True)
    present = mask.any(-2, keepdim=True)
    return mask | (~occupied & (present | ~present.any(-1, keepdim=True))), occupied


def may_count(present: Tensor) -> bool:
    """Whether the graph that is built may depend on the numbers in this tensor.

    Not while it is compiled, exported or traced, nor for different samples under `torch.vmap`.
    """
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
        return False
    while torch._C._functorch.is_functorch_wrapped_tensor(present):
        if torch._C._functorch.is_batchedtensor(present):
            return False
        present = torch._C._functorch.get_unwrapped(present)
    return type(present) is Tensor and present.device.type != "meta"


def refuse_hidden_pairs(mask: Tensor, message: str) -> None:
    """Refuse a mask in which a state that takes part is hidden from another one that does.

    Under `torch.vmap` every sample is looked at. A graph that is compiled or exported has no branch
    to raise from and gets an assertion instead, but for a `torch.vmap` within it. Fake
    tensors, those without numbers and what `torch.jit.trace` sees pass.

    Args:
        mask: boolean (..., L, L), True = visible.
        message: what is said then.

    Raises:
        ValueError: there is one; a graph raises RuntimeError.
    """
    compiling = torch.compiler.is_compiling()
    if not compiling:
        mask = _all_samples(mask)
        if torch._C._get_tracing_state() is not None or isinstance(mask, FakeTensor):
            return
    if mask.device.type == "meta":
        return
    present = mask.any(-1, keepdim=True)
    fine = (mask | ~(present & present.mT)).all()
    if compiling:
        if not torch._C._functorch.is_batchedtensor(fine):  # an assertion has no rule for vmap
            torch._assert_async(fine, message)
    elif not bool(fine):
        raise ArgumentError(message, topic="couples-states")


def _all_samples(tensor: Tensor) -> Tensor:
    """What the transforms of `torch.func` go over, all at once, as further axes in front."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        axis = functorch.maybe_get_bdim(tensor) if functorch.is_batchedtensor(tensor) else None
        tensor = functorch.get_unwrapped(tensor)
        tensor = tensor if axis is None else tensor.movedim(axis, 0)
    return tensor


def all_present(mask: Tensor, axis: int) -> bool:
    """Whether nothing is padded; false where numbers may not be looked at.

    Every step of a relaxation asks this of the same mask, so the answer is stored beside it until
    the mask changes; what numpy writes into memory that both share, PyTorch does not see.

    Args:
        mask: boolean (..., L, S), True = visible.
        axis: -2 if patterns are meant, which some state has to see, -1 for states, which have to
            see some pattern.
    """
    if not may_count(mask):
        return False
    if mask.is_inference():  # has no version by which a change of it would show
        return bool(mask.any(axis).all())
    version, answers = _ANSWERS.get(mask, (-1, {}))
    if version != mask._version:
        answers = {}
        _ANSWERS[mask] = (mask._version, answers)
    if axis not in answers:
        answers[axis] = bool(mask.any(axis).all())
    return answers[axis]


#: What was seen of a mask, as long as the mask lives: its version then, and the answer by axis.
_ANSWERS: MutableMapping[Tensor, tuple[int, dict[int, bool]]] = WeakTensorKeyDictionary()
