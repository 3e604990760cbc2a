"""From an energy to an update to a layer; mixers without an energy; models around them; drop-ins.

`attenergy.attention.graphs`, for PyTorch Geometric, is imported by its own name.
"""

from attenergy.attention.factory import make_layer
from attenergy.attention.gradients.allocator import tune_cpu
from attenergy.attention.gradients.backends import backends
from attenergy.attention.gradients.gradient import (
    association,
    attention_weights,
    gradient,
    read_values,
)
from attenergy.attention.integrations.huggingface import energize, load_energized
from attenergy.attention.integrations.multihead import EnergyMultiheadAttention
from attenergy.attention.integrations.replace import replace_attention
from attenergy.attention.layers.energy_attention import EnergyAttention
from attenergy.attention.layers.energy_transformer_block import EnergyTransformerBlock
from attenergy.attention.layers.head_groups import HeadGroups
from attenergy.attention.layers.lookup import EnergyLookup
from attenergy.attention.layers.outputs import LayerTrace, Traced
from attenergy.attention.layers.pooling import EnergyPooling
from attenergy.attention.loading import load
from attenergy.attention.memory.associative_memory import AssociativeMemory
from attenergy.attention.memory.recall import Recall
from attenergy.attention.mixers import HypernetworkAttention, make_mixer
from attenergy.attention.models.language_model import Decoder, LanguageModel
from attenergy.attention.models.trace import ModelTrace, TracedLayer, trace
from attenergy.attention.models.transformer import Transformer
from attenergy.attention.sampling.contrastive import Contrast, contrastive_divergence
from attenergy.attention.saving.format import save
from attenergy.attention.saving.pretrained import Pretrained
from attenergy.attention.solvers.base import Solver
from attenergy.attention.solvers.catalogue import SOLVERS, register_solver
from attenergy.attention.solvers.langevin import Chain, langevin
from attenergy.attention.solvers.relax import Relaxation, relax

__all__ = [
    "SOLVERS",
    "AssociativeMemory",
    "Chain",
    "Contrast",
    "Decoder",
    "EnergyAttention",
    "EnergyLookup",
    "EnergyMultiheadAttention",
    "EnergyPooling",
    "EnergyTransformerBlock",
    "HeadGroups",
    "HypernetworkAttention",
    "LanguageModel",
    "LayerTrace",
    "ModelTrace",
    "Pretrained",
    "Recall",
    "Relaxation",
    "Solver",
    "Traced",
    "TracedLayer",
    "Transformer",
    "association",
    "attention_weights",
    "backends",
    "contrastive_divergence",
    "energize",
    "gradient",
    "langevin",
    "load",
    "load_energized",
    "make_layer",
    "make_mixer",
    "read_values",
    "register_solver",
    "relax",
    "replace_attention",
    "save",
    "trace",
    "tune_cpu",
]
