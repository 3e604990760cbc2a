"""From an energy to an update to a layer; mixers without an energy; the transformer around them."""

from attenergy.attention.factory import make_layer
from attenergy.attention.langevin import Chain, langevin
from attenergy.attention.layer import EnergyAttention
from attenergy.attention.memory import AssociativeMemory
from attenergy.attention.mixers import HypernetworkAttention, make_mixer
from attenergy.attention.relax import Relaxation, relax
from attenergy.attention.saved import load, save
from attenergy.attention.settle import Recall
from attenergy.attention.transformer import Transformer
from attenergy.attention.update import association, backends, gradient, read_values

__all__ = [
    "AssociativeMemory",
    "Chain",
    "EnergyAttention",
    "HypernetworkAttention",
    "Recall",
    "Relaxation",
    "Transformer",
    "association",
    "backends",
    "gradient",
    "langevin",
    "load",
    "make_layer",
    "make_mixer",
    "read_values",
    "relax",
    "save",
]
