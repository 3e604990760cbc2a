"""What does not work, and why: the known limits, told from the errors that they raise.

An error that is not here is given as "unexplained", which the tests refuse: either it is a fault,
or its explanation belongs here.
"""

from __future__ import annotations

import re

UNEXPLAINED = "unexplained: "

#: Pattern in an error's text, and the reason for readers; `\1` stands for the pattern's group.
#: What the layers refuse by themselves comes first, then what PyTorch 2.13 cannot do.
_LIMITS: tuple[tuple[str, str], ...] = (
    (
        r"has no backend 'scores'",
        "no such backend: the energy defines no weights over patterns, so its gradient has no "
        "closed form in them",
    ),
    (
        r"has no backend '(?:sdpa|flex)'",
        "no such backend: the weights over patterns are not a softmax, or there are none",
    ),
    (
        r"has no backend 'chunked'",
        "no such backend: the states act on each other or are their own patterns, so they cannot "
        "be computed some at a time",
    ),
    (
        r"it cannot be causal",
        "the states act on each other, later ones on earlier ones",
    ),
    (
        r"is an energy of the states alone",
        "an energy of the states alone: it takes no context",
    ),
    (
        r"mixes the states with each other; it takes no context",
        "it mixes the states with each other: it takes no context",
    ),
    (
        r"reads no field",
        "it reads no field: give positions with the inputs",
    ),
    (
        r"built for one number of states",
        "in part: batch open, length fixed, as the energy is built for one number of nodes",
    ),
    (
        r"backend 'flex' has derivatives on CUDA only",
        "FlexAttention has derivatives on CUDA only; this table is made on a CPU",
    ),
    (
        r"KeyError: <TransformType\.Vmap",
        "FlexAttention cannot be compiled, as its mask is, inside `vmap`",
    ),
    # `torch.func.grad` needs storage that exported tensors do not have, and its levels do not know
    # the hooks by which checkpointing saves tensors.
    (
        r"Cannot access data pointer of Tensor that doesn't have storage",
        "`torch.export`, and ONNX through it, cannot look into `torch.func.grad`: take `traced` or "
        "`auto`",
    ),
    (
        r"don't yet support saved tensor hooks",
        "checkpointing without re-entry cannot look into `torch.func.grad`: take `traced` or "
        "`auto`",
    ),
    (
        r"No ONNX function found for <OpOverload\(op='([\w.]+)'",
        r"the ONNX exporter has no translation of `\1`",
    ),
)


def reason(raised: str) -> str:
    """Why a cell is not "yes", told from the text of what was raised."""
    for pattern, text in _LIMITS:
        found = re.search(pattern, raised)
        if found is not None:
            return found.expand(text)
    return UNEXPLAINED + raised
