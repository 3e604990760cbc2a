"""Earlier address of `attenergy.attention.integrations.multihead`."""

from attenergy.attention.integrations.multihead import EnergyMultiheadAttention, replace_attention

__all__ = ["EnergyMultiheadAttention", "replace_attention"]
