"""Registry of energies, mixers, tasks and search spaces: YAML to validated specs."""

from attenergy.registry.errors import Problem, RegistryError, UnknownName, nearest
from attenergy.registry.loader import Registry, load_registry
from attenergy.registry.sources import plugin_modules
from attenergy.registry.specs import (
    Choice,
    Domain,
    EnergySpec,
    Entry,
    Kind,
    MixerSpec,
    ModelSpec,
    Number,
    NumberOrExpression,
    Parameter,
    Place,
    Range,
    Reading,
    RegistryFile,
    Scalar,
    TaskSpec,
    TrainingSpec,
    Tunable,
)

__all__ = [
    "Choice",
    "Domain",
    "EnergySpec",
    "Entry",
    "Kind",
    "MixerSpec",
    "ModelSpec",
    "Number",
    "NumberOrExpression",
    "Parameter",
    "Place",
    "Problem",
    "Range",
    "Reading",
    "Registry",
    "RegistryError",
    "RegistryFile",
    "Scalar",
    "TaskSpec",
    "TrainingSpec",
    "Tunable",
    "UnknownName",
    "load_registry",
    "nearest",
    "plugin_modules",
]
