"""Scalar energies E(xi; X, h): formulas and classes behind one contract."""

from attenergy.energies.base import Energy
from attenergy.energies.domains import DOMAINS, Domain
from attenergy.energies.factory import CLASSES, describe, formula_problems, make_energy
from attenergy.energies.formula import FormulaEnergy, formula_tree
from attenergy.energies.graph_hopfield import GraphHopfield, GraphMemory
from attenergy.energies.graphs import TOPOLOGIES, adjacency
from attenergy.energies.language import FormulaError
from attenergy.energies.masks import open_rows

__all__ = [
    "CLASSES",
    "DOMAINS",
    "TOPOLOGIES",
    "Domain",
    "Energy",
    "FormulaEnergy",
    "FormulaError",
    "GraphHopfield",
    "GraphMemory",
    "adjacency",
    "describe",
    "formula_problems",
    "formula_tree",
    "make_energy",
    "open_rows",
]
