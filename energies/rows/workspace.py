"""Memory that blocks are computed in, one after the other.

A block takes about a megabyte for each of its tensors. Allocated anew they would come from the
system and go back to it every time, and the pages then cost several times what is computed in them.
"""

from __future__ import annotations

import math
import threading

import torch
from torch import Tensor

#: Numbers that a thread holds for one name at most; what is larger is allocated anew.
MOST = 2**20

_Key = tuple[str, torch.dtype, torch.device]


class _Held(threading.local):
    """The tensors of one thread."""

    def __init__(self) -> None:
        self.tensors: dict[_Key, Tensor] = {}


_HELD = _Held()


def workspace(name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """A tensor with unknown numbers, in memory that the thread gives again at the next call.

    Args:
        name: two tensors that are in use together have different names.
        shape: of the tensor.
        like: gives type and device.
    """
    held = _HELD.tensors
    size, key = math.prod(shape), (name, like.dtype, like.device)
    if size > MOST:
        return torch.empty(shape, dtype=like.dtype, device=like.device)
    flat = held.get(key)
    if flat is None or len(flat) < size:
        with torch.inference_mode(False):
            flat = torch.empty(size, dtype=like.dtype, device=like.device)
        held[key] = flat
    return flat[:size].view(shape)
