"""Energies inside Hugging Face models, through the attention interface of `transformers`.

`energize` gives every attention module of a model an energy with its own parameters. Projections,
positions, caches and masks stay the model's. `transformers` is imported when first used.
"""

from attenergy.attention.integrations.huggingface.definition import Definition
from attenergy.attention.integrations.huggingface.energized import (
    energize,
    load_energized,
)
from attenergy.attention.integrations.huggingface.interface import (
    attention_modules,
    energy_attention,
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
