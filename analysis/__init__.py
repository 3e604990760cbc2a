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
    from attenergy.analysis.memories.capacity import capacity
    from attenergy.analysis.result import Result, Table
    from attenergy.analysis.subject import Subject

_HOMES = {
    "ANALYSES": "catalogue",
    "AnalysisKind": "catalogue",
    "AttentionCall": "calls",
    "Codes": "codes.extraction",
    "EnergyAlongDepth": "depth.result",
    "FixedPoints": "attractors.result",
    "LatentCode": "codes.result",
    "Result": "result",
    "Subject": "subject",
    "Table": "result",
    "attention_calls": "calls",
    "capacity": "memories.capacity",
    "curl": "asymmetry",
    "energy_along_depth": "depth.energy_along_depth",
    "fixed_points": "attractors.fixed_points",
    "head_codes": "codes.extraction",
    "latent_code": "codes.latent_code",
    "latent_code_of_task": "codes.of_task",
}

__all__ = [
    "ANALYSES",
    "AnalysisKind",
    "AttentionCall",
    "Codes",
    "EnergyAlongDepth",
    "FixedPoints",
    "LatentCode",
    "Result",
    "Subject",
    "Table",
    "attention_calls",
    "capacity",
    "curl",
    "energy_along_depth",
    "fixed_points",
    "head_codes",
    "latent_code",
    "latent_code_of_task",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
