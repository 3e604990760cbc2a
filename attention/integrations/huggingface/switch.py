"""Make a Hugging Face model, and no other that shares its configuration, use the energies."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from attenergy.attention.integrations.huggingface.interface import IMPLEMENTATION
from attenergy.registry import ArgumentError


def switch_alone(model: Any, places: dict[str, nn.Module]) -> None:
    """Give a model a configuration of its own, and switch it; on errors all is as it was.

    Models that were made from one configuration share it, and it says how they attend.

    Args:
        model: of transformers.
        places: its attention modules by name.

    Raises:
        ValueError: a module does not do as the configuration says.
    """
    before = _separate(model)
    try:
        switch(model, places)
    except Exception:
        for held, name, config in before:
            held[name] = config
        raise


def switch(model: Any, places: dict[str, nn.Module]) -> None:
    """Make all models of a configuration use the energies; arguments and errors as above."""
    model.set_attn_implementation(IMPLEMENTATION)
    for name, module in places.items():
        used = getattr(getattr(module, "config", None), "_attn_implementation", None)
        if used != IMPLEMENTATION:
            raise ArgumentError(
                f"'{name}' ({type(module).__name__}) keeps the attention {used!r}: the model does "
                "not let it be set",
                topic="drop-in",
            )


def _separate(model: nn.Module) -> list[tuple[dict[str, Any], str, Any]]:
    """Put copies of all configurations in their places; return what stood there.

    What was one object is one copy, also where one configuration is a part of another one.
    """
    from transformers import PreTrainedConfig

    before = [
        (vars(module), name, value)
        for module in model.modules()
        for name, value in vars(module).items()
        if isinstance(value, PreTrainedConfig)
    ]
    copies: dict[int, Any] = {}
    for held, name, config in before:
        held[name] = copy.deepcopy(config, copies)
    return before
