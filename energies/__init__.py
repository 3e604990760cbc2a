"""Scalar energies E(xi; X, h): formulas and classes behind one contract."""

from attenergy.energies.base import Energy
from attenergy.energies.density.expectation_maximization import Fit, fit
from attenergy.energies.density.mixture import Mixture, mixture
from attenergy.energies.density.partition import log_likelihood, log_partition, sample
from attenergy.energies.density.rbm import RestrictedBoltzmann
from attenergy.energies.density.score_readout import score_readout
from attenergy.energies.describe import describe
from attenergy.energies.domains import DOMAINS, Domain, domain_of, guarantee_of, register_domain
from attenergy.energies.factory import CLASSES, register_energy, unsaved
from attenergy.energies.formula import FormulaEnergy, formula_tree
from attenergy.energies.graphs.graph_hopfield import GraphHopfield, GraphMemory
from attenergy.energies.graphs.topologies import TOPOLOGIES, adjacency
from attenergy.energies.language import FormulaError, Function, register_function
from attenergy.energies.masks import open_rows
from attenergy.energies.sources import EnergyLike, EnergySource, make_energy, source_of
from attenergy.energies.validation import formula_problems

__all__ = [
    "CLASSES",
    "DOMAINS",
    "TOPOLOGIES",
    "Domain",
    "Energy",
    "EnergyLike",
    "EnergySource",
    "Fit",
    "FormulaEnergy",
    "FormulaError",
    "Function",
    "GraphHopfield",
    "GraphMemory",
    "Mixture",
    "RestrictedBoltzmann",
    "adjacency",
    "describe",
    "domain_of",
    "fit",
    "formula_problems",
    "formula_tree",
    "guarantee_of",
    "log_likelihood",
    "log_partition",
    "make_energy",
    "mixture",
    "open_rows",
    "register_domain",
    "register_energy",
    "register_function",
    "sample",
    "score_readout",
    "source_of",
    "unsaved",
]
