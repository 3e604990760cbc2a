"""`suggest`: a trial of anybody's study chooses a layer from the registry's space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from torch import nn

from attenergy.attention.factory import LayerLike, make_layer
from attenergy.energies import Energy, source_of
from attenergy.energies.sources import is_formula
from attenergy.registry import (
    ArgumentTypeError,
    MixerSpec,
    Range,
    RegistryLike,
    Scalar,
    SearchSpaceError,
    StackSpec,
    UnknownName,
    VariantSpec,
    given_registry,
)
from attenergy.registry.stacks import is_stack_name, stack_name
from attenergy.search.planning import ranges


@dataclass(frozen=True)
class Suggestion:
    """What a trial chose for one layer.

    Attributes:
        variant: the name of the energy, the mixer or the groups of heads.
        layer: its entry.
        settings: parameters, choices, options, steps, solver and step size, as far as they are
            searched or fixed and change anything; the entry's defaults hold for the others.
    """

    variant: str
    layer: VariantSpec
    settings: dict[str, Scalar]

    def build(self, embed_dim: int, num_heads: int, **options: Any) -> nn.Module:
        """Make the layer, x (B, L, E) -> (B, L, E); a new one each time.

        Args:
            embed_dim: E.
            num_heads: H.
            **options: whatever else `attenergy.make_layer` takes; goes before what was chosen.

        Raises:
            ValueError: numbers that do not fit, or an unknown option.
        """
        settings = {**self.settings, **options}
        return make_layer(self.layer, embed_dim=embed_dim, num_heads=num_heads, **settings)

    def __str__(self) -> str:
        chosen = (
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in self.settings.items()
        )
        return " ".join((self.variant, *chosen))


def suggest(
    trial: optuna.trial.BaseTrial,
    variants: str | Sequence[LayerLike] | Mapping[str, LayerLike],
    *,
    prefix: str = "",
    registry: RegistryLike | None = None,
    fix: Mapping[str, Scalar] | None = None,
) -> Suggestion:
    """Let a trial of your own study choose a layer: which energy, and all that its entry searches.

        >>> trial = optuna.trial.FixedTrial({"variant": "lse", "lse.beta": 0.5, "lse.steps": 1})
        >>> layer = suggest(trial, ["lse", "softmax"]).build(embed_dim=32, num_heads=4)

    The trial is asked for `variant` and, of the one it chose, for `<variant>.<name>`: parameters
    (`beta`), choices, options, `steps`, `solver` and `step_size`, in the ranges of the registry and
    where they change anything. These are the names that the trials of `attenergy search` have. Any
    sampler will do, and `study.enqueue_trial` as well; `suggest` of `study.best_trial` gives the
    best layer again.

    Args:
        trial: of Optuna; from a study, `optuna.trial.FixedTrial`, or one that is finished.
        variants: names of energies and mixers, or of groups of heads (`lse+rbm`), formulas,
            entries, classes or functions; a mapping gives them names of your own. A single one is
            not asked for.
        prefix: put before all names (`block1.variant`), so that a trial may choose several layers.
        registry: where names are looked up; the built-in one and plug-ins if None.
        fix: values of settings that are not asked for: `steps`, of all variants that have some, or
            `lse.steps`, of one.

    Raises:
        TypeError: `trial` is no trial of Optuna, or a variant names no layer.
        ValueError: no variants, two of one name, an unknown name, or a formula that is wrong.
    """
    if not isinstance(trial, optuna.trial.BaseTrial):
        raise ArgumentTypeError(
            f"trial must be a trial of Optuna, got {type(trial).__name__}", topic="search-space"
        )
    layers = _layers(variants, registry)
    fixed = _fixed(layers, fix or {})
    within = f"{prefix}." if prefix else ""
    variant = next(iter(layers))
    if len(layers) > 1:
        span = Range(choices=tuple(layers))
        variant = str(ranges.suggest(trial, f"{within}variant", span))
    settings = ranges.suggest_settings(trial, f"{within}{variant}", layers[variant], fixed[variant])
    return Suggestion(variant, layers[variant], settings)


def _layers(variants: Any, registry: RegistryLike | None) -> dict[str, VariantSpec]:
    """The entries of all variants, by name."""
    if isinstance(variants, str):
        variants = [variants]
    if isinstance(variants, Mapping):
        named = [(str(name), _entry(layer, registry)) for name, layer in variants.items()]
    elif isinstance(variants, Sequence):
        entries = [(layer, _entry(layer, registry)) for layer in variants]
        named = [(v if isinstance(v, str) else entry.title, entry) for v, entry in entries]
    else:
        raise ArgumentTypeError(
            f"variants must be a list of energies and mixers, or a mapping of names to them, got "
            f"{type(variants).__name__}",
            topic="search-space",
        )
    if not named:
        raise SearchSpaceError("variants must hold at least one energy or mixer, got none")
    layers = dict(named)
    if len(layers) < len(named):
        twice = next(name for name in layers if [n for n, _ in named].count(name) > 1)
        raise SearchSpaceError(
            f"two variants are called {twice!r}; a mapping gives them other names"
        )
    return layers


def _entry(layer: Any, registry: RegistryLike | None) -> VariantSpec:
    if isinstance(layer, str) and (is_stack_name(layer) or not is_formula(layer)):
        layer = given_registry(registry).variant(layer)
    if isinstance(layer, StackSpec) and len(layer.pattern) > 1:
        raise SearchSpaceError(
            f"{stack_name(layer.pattern)} has {len(layer.pattern)} layers, and a suggestion is "
            "one: suggest each with a prefix of its own"
        )
    if isinstance(layer, (MixerSpec, StackSpec)):
        return layer
    if isinstance(layer, Energy):
        raise ArgumentTypeError(
            f"'{layer.spec.title}' is made already, so nothing of it can be searched; give its "
            "entry or its name",
            topic="search-space",
        )
    return source_of(layer, registry=registry, argument="a variant").spec


def _fixed(
    layers: dict[str, VariantSpec], fix: Mapping[str, Scalar]
) -> dict[str, dict[str, Scalar]]:
    """What is fixed of each variant, by name in the layer."""
    own = {variant: list(ranges.layer_defaults(layer)) for variant, layer in layers.items()}
    known = {n for names in own.values() for n in names}
    full = [f"{variant}.{name}" for variant, names in own.items() for name in names]
    for name in fix:
        if name not in known and name not in full:
            raise UnknownName("setting to fix", name, [*sorted(known), *full])
    return {
        variant: {
            name: fix[key]
            for name in names
            for key in (name, f"{variant}.{name}")  # the latter counts if both are given
            if key in fix
        }
        for variant, names in own.items()
    }
