"""What a trained attention layer does: landscapes, fixed points, codes, redundancy, paths.

Names are loaded when first used, so that a page can be drawn without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attenergy.analysis.asymmetry import curl
    from attenergy.analysis.attractors.fixed_points import fixed_points
    from attenergy.analysis.attractors.result import FixedPoints
    from attenergy.analysis.calls import AttentionCall, attention_calls
    from attenergy.analysis.catalogue import ANALYSES, AnalysisKind
    from attenergy.analysis.codes.extraction import Codes, head_codes
    from attenergy.analysis.codes.latent_code import latent_code
    from attenergy.analysis.codes.of_task import latent_code_of_task
    from attenergy.analysis.codes.result import LatentCode
    from attenergy.analysis.depth.energy_along_depth import energy_along_depth
    from attenergy.analysis.depth.result import EnergyAlongDepth
    from attenergy.analysis.diagnosis.diagnose import diagnose
    from attenergy.analysis.diagnosis.diagnosis import Diagnosis
    from attenergy.analysis.dropping.result import Redundancy
    from attenergy.analysis.dropping.search import redundancy
    from attenergy.analysis.dropping.smaller import drop_layers
    from attenergy.analysis.landscapes.animation import save_retrieval
    from attenergy.analysis.landscapes.heads import head_landscape
    from attenergy.analysis.landscapes.landscape import Landscape, landscape
    from attenergy.analysis.landscapes.patterns import planted_patterns
    from attenergy.analysis.landscapes.spin_levels import SpinLevels, spin_levels
    from attenergy.analysis.landscapes.sweep import MinimaSweep, sweep_minima
    from attenergy.analysis.landscapes.weight_curves import WeightCurves, weight_curves
    from attenergy.analysis.memories.capacity import capacity
    from attenergy.analysis.memories.capacity_result import Capacity
    from attenergy.analysis.paths.attention_paths import attention_paths
    from attenergy.analysis.paths.pruning import prune_heads
    from attenergy.analysis.paths.result import AttentionPaths
    from attenergy.analysis.result import Result, Table
    from attenergy.analysis.subject import Subject

_HOMES = {
    "ANALYSES": "catalogue",
    "AnalysisKind": "catalogue",
    "AttentionCall": "calls",
    "AttentionPaths": "paths.result",
    "Capacity": "memories.capacity_result",
    "Codes": "codes.extraction",
    "Diagnosis": "diagnosis.diagnosis",
    "EnergyAlongDepth": "depth.result",
    "FixedPoints": "attractors.result",
    "Landscape": "landscapes.landscape",
    "LatentCode": "codes.result",
    "MinimaSweep": "landscapes.sweep",
    "Redundancy": "dropping.result",
    "Result": "result",
    "SpinLevels": "landscapes.spin_levels",
    "Subject": "subject",
    "Table": "result",
    "WeightCurves": "landscapes.weight_curves",
    "attention_calls": "calls",
    "attention_paths": "paths.attention_paths",
    "capacity": "memories.capacity",
    "curl": "asymmetry",
    "diagnose": "diagnosis.diagnose",
    "drop_layers": "dropping.smaller",
    "energy_along_depth": "depth.energy_along_depth",
    "fixed_points": "attractors.fixed_points",
    "head_codes": "codes.extraction",
    "head_landscape": "landscapes.heads",
    "landscape": "landscapes.landscape",
    "latent_code": "codes.latent_code",
    "latent_code_of_task": "codes.of_task",
    "planted_patterns": "landscapes.patterns",
    "prune_heads": "paths.pruning",
    "redundancy": "dropping.search",
    "save_retrieval": "landscapes.animation",
    "spin_levels": "landscapes.spin_levels",
    "sweep_minima": "landscapes.sweep",
    "weight_curves": "landscapes.weight_curves",
}

__all__ = [
    "ANALYSES",
    "AnalysisKind",
    "AttentionCall",
    "AttentionPaths",
    "Capacity",
    "Codes",
    "Diagnosis",
    "EnergyAlongDepth",
    "FixedPoints",
    "Landscape",
    "LatentCode",
    "MinimaSweep",
    "Redundancy",
    "Result",
    "SpinLevels",
    "Subject",
    "Table",
    "WeightCurves",
    "attention_calls",
    "attention_paths",
    "capacity",
    "curl",
    "diagnose",
    "drop_layers",
    "energy_along_depth",
    "fixed_points",
    "head_codes",
    "head_landscape",
    "landscape",
    "latent_code",
    "latent_code_of_task",
    "planted_patterns",
    "prune_heads",
    "redundancy",
    "save_retrieval",
    "spin_levels",
    "sweep_minima",
    "weight_curves",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
