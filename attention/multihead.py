"""Earlier address of `attenergy.attention.integrations.multihead`."""

from attenergy.attention.integrations.multihead import EnergyMultiheadAttention
from attenergy.attention.integrations.replace import replace_attention

__all__ = ["EnergyMultiheadAttention", "replace_attention"]
