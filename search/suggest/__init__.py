"""Layers for an Optuna loop of your own: the registry's space without the search."""

from attenergy.search.suggest.suggestion import Suggestion, suggest

__all__ = ["Suggestion", "suggest"]
