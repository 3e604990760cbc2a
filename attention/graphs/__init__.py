"""Energies on the graphs of PyTorch Geometric; importing this package imports torch_geometric."""

from attenergy.attention.graphs.aggregation import EnergyAggregation
from attenergy.attention.graphs.conv import EnergyConv
from attenergy.attention.graphs.models import EnergyGNN, energize_gps

__all__ = ["EnergyAggregation", "EnergyConv", "EnergyGNN", "energize_gps"]
