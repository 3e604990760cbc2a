"""Associative memories: storing patterns and recalling them, and the noise to expect."""

from attenergy.attention.memory.noise import Noise, flips, gaussian, masked, noise_of
from attenergy.attention.memory.suggested_beta import SuggestedBeta

__all__ = ["Noise", "SuggestedBeta", "flips", "gaussian", "masked", "noise_of"]
