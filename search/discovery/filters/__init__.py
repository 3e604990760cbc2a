"""Filters in milliseconds, before anything is trained, and fingerprints of what an energy does."""

from attenergy.search.discovery.filters.fingerprint import (
    Fingerprint,
    fingerprint_of,
    is_known,
    same_key,
)
from attenergy.search.discovery.filters.nearest import Nearest, known_fingerprints, nearest_known
from attenergy.search.discovery.filters.screen import FILTERS, Filter, Screening, screen

__all__ = [
    "FILTERS",
    "Filter",
    "Fingerprint",
    "Nearest",
    "Screening",
    "fingerprint_of",
    "is_known",
    "known_fingerprints",
    "nearest_known",
    "same_key",
    "screen",
]
