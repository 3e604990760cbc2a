"""What does not work, and why: the known limits, told from the errors that they raise.

An error that is not here is given as "unexplained", which the tests refuse: either it is a fault,
or its explanation belongs here.
"""

from __future__ import annotations

import re

UNEXPLAINED = "unexplained: "

#: Pattern in "ROW MODE ERROR", and the reason for readers; `\1` stands for the pattern's group.
_LIMITS: tuple[tuple[str, str], ...] = (
    # What the layers refuse by themselves.
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
    (r"it cannot be causal", "the states act on each other, later ones on earlier ones"),
    (r"is an energy of the states alone", "an energy of the states alone: it takes no context"),
    (
        r"mixes the states with each other; it takes no context",
        "it mixes the states with each other: it takes no context",
    ),
    (r"reads no field", "it reads no field: give positions with the inputs"),
    (
        r"built for one number of states",
        "in part: batch open, length fixed, as the energy is built for one number of nodes",
    ),
    (
        r"backend 'flex' has derivatives on CUDA only",
        "FlexAttention has derivatives on CUDA only; this table is made on a CPU",
    ),
    # The levels of `torch.func.grad` have no storage to export, and do not know the hooks by which
    # checkpointing saves tensors. (What fails inside differs from energy to energy.)
    (
        r"/eager (?:export|onnx) (?!AssertionError)",
        "`torch.export`, and ONNX through it, cannot look into `torch.func.grad`: take `traced` or "
        "`auto`",
    ),
    (
        r"/eager checkpoint .*don't yet support saved tensor hooks",
        "checkpointing without re-entry cannot look into `torch.func.grad`: take `traced` or "
        "`auto`",
    ),
    (
        r"/traced (?:export|onnx) UserError: Constraints violated",
        "what the energy computes depends on the length, so a trace is for one: take `auto`",
    ),
    # The fused kernel's output is laid out otherwise when the exporter writes it out.
    (
        r"/(?:auto|sdpa) onnx .*Cannot view a tensor",
        "the ONNX exporter cannot read what the fused kernel gives with an additive mask: take "
        "`scores`",
    ),
    (
        r"/flex (?:export|onnx) TypeError: mul expected 2 arguments",
        "the exporter cannot write out FlexAttention with an additive term in its scores",
    ),
    (
        r"/flex vmap .*KeyError: <TransformType\.Vmap",
        "FlexAttention's mask cannot be compiled inside `vmap`",
    ),
    (
        r"^attention_(?:bn_)?sh (?:export|onnx) UserError: Constraints violated",
        "half the length, rounded up, is a number of blocks, which the exporter cannot keep open",
    ),
    (
        r"No ONNX function found for <OpOverload\(op='([\w.]+)'",
        r"the ONNX exporter has no translation of `\1`",
    ),
)


def reason(row: str, mode: str, raised: str) -> str:
    """Why a cell is not "yes", told from its place and the text of what was raised."""
    for pattern, text in _LIMITS:
        match = re.search(pattern, f"{row} {mode} {raised}")
        if match is not None:
            return match.expand(text)
    return UNEXPLAINED + raised
