"""A default device on which no number is found."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

#: Functions that make a tensor on the default device unless they are told another one.
MAKERS = {
    *(torch.empty, torch.zeros, torch.ones, torch.full, torch.arange, torch.linspace, torch.eye),
    *(torch.tensor, torch.as_tensor, torch.rand, torch.randn, torch.randint, torch.randperm),
    *(torch.tril_indices, torch.triu_indices, torch.normal),
}


class NothingByDefault(TorchFunctionMode):
    """What is made without a device is made on `meta`, where it meets no number of the CPU.

    So code that forgets the device of its inputs fails on a machine without a GPU, with real
    numbers in all else. A tensor of one number without an axis meets tensors of any device, and
    what a generator of the CPU draws stays there: it has to be moved.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        # `as_tensor` of a tensor leaves it where it is.
        free = func in {torch.tensor, torch.as_tensor} and isinstance(args[0], (Tensor, float, int))
        drawn = given.get("generator") is not None
        if func in MAKERS and given.get("device") is None and not free and not drawn:
            given["device"] = "meta"
        return func(*args, **given)


@pytest.fixture
def on_default_device() -> type[NothingByDefault]:
    """`with on_default_device():` nothing may be made there."""
    return NothingByDefault
