"""Scalar energies E(xi; X, h): formulas and classes behind one contract."""

from attenergy.energies.base import Energy
from attenergy.energies.domains import DOMAINS, Domain
from attenergy.energies.factory import (
    CLASSES,
    check_entry,
    describe,
    formula_problems,
    make_energy,
)
from attenergy.energies.fit import Fit, fit
from attenergy.energies.formula import FormulaEnergy, formula_tree
from attenergy.energies.graph_hopfield import GraphHopfield, GraphMemory
from attenergy.energies.graphs import TOPOLOGIES, adjacency
from attenergy.energies.language import FormulaError
from attenergy.energies.masks import open_rows
from attenergy.energies.mixture import Mixture, mixture
from attenergy.energies.partition import log_likelihood, log_partition, sample
from attenergy.energies.readout import score_readout
from attenergy.energies.restricted import RestrictedBoltzmann

__all__ = [
    "CLASSES",
    "DOMAINS",
    "TOPOLOGIES",
    "Domain",
    "Energy",
    "Fit",
    "FormulaEnergy",
    "FormulaError",
    "GraphHopfield",
    "GraphMemory",
    "Mixture",
    "RestrictedBoltzmann",
    "adjacency",
    "check_entry",
    "describe",
    "fit",
    "formula_problems",
    "formula_tree",
    "log_likelihood",
    "log_partition",
    "make_energy",
    "mixture",
    "open_rows",
    "sample",
    "score_readout",
]
