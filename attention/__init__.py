"""From an energy to an update to a layer; mixers without an energy; models around them; drop-ins.

`attenergy.attention.graphs`, for PyTorch Geometric, is imported by its own name.
"""

from attenergy.attention.allocator import tune_cpu
from attenergy.attention.answer import Traced
from attenergy.attention.energy_transformer import EnergyTransformerBlock
from attenergy.attention.factory import make_layer
from attenergy.attention.hub import Pretrained
from attenergy.attention.huggingface import energize, load_energized
from attenergy.attention.langevin import Chain, langevin
from attenergy.attention.language_model import Decoder, LanguageModel
from attenergy.attention.layer import EnergyAttention
from attenergy.attention.lookup import EnergyLookup
from attenergy.attention.memory import AssociativeMemory
from attenergy.attention.mixers import HypernetworkAttention, make_mixer
from attenergy.attention.multihead import EnergyMultiheadAttention, replace_attention
from attenergy.attention.pooling import EnergyPooling
from attenergy.attention.relax import Relaxation, relax
from attenergy.attention.saved import load, save
from attenergy.attention.settle import Recall
from attenergy.attention.transformer import Transformer
from attenergy.attention.update import association, backends, gradient, read_values

__all__ = [
    "AssociativeMemory",
    "Chain",
    "Decoder",
    "EnergyAttention",
    "EnergyLookup",
    "EnergyMultiheadAttention",
    "EnergyPooling",
    "EnergyTransformerBlock",
    "HypernetworkAttention",
    "LanguageModel",
    "Pretrained",
    "Recall",
    "Relaxation",
    "Traced",
    "Transformer",
    "association",
    "backends",
    "energize",
    "gradient",
    "langevin",
    "load",
    "load_energized",
    "make_layer",
    "make_mixer",
    "read_values",
    "relax",
    "replace_attention",
    "save",
    "tune_cpu",
]
