"""Earlier address of `attenergy.attention.integrations.heads`."""

from attenergy.attention.integrations.heads import EnergyHeads, split_mask

__all__ = ["EnergyHeads", "split_mask"]
