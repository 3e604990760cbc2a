"""Earlier address of `attenergy.attention.integrations.huggingface`."""

from attenergy.attention.integrations.huggingface import (
    Definition,
    attention_modules,
    energize,
    energy_attention,
    load_energized,
    register,
)

__all__ = [
    "Definition",
    "attention_modules",
    "energize",
    "energy_attention",
    "load_energized",
    "register",
]
