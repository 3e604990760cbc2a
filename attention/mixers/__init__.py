"""Layers whose update is written by hand, not derived from an energy."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from attenergy.attention.mixers.aaren import Aaren
from attenergy.attention.mixers.base import CLASSES, Mixer, Sizes
from attenergy.attention.mixers.batch_norm import BatchNormAttention, ScaledBatchNormAttention
from attenergy.attention.mixers.controls import MeanPooling, NoMixing
from attenergy.attention.mixers.hypernetwork import HypernetworkAttention
from attenergy.attention.mixers.kernel import EluAttention, SquaredAttention
from attenergy.attention.mixers.low_rank import LowRankAttention
from attenergy.attention.mixers.performer import Performer
from attenergy.attention.mixers.scaled_heads import ScaledHeadAttention
from attenergy.attention.mixers.token_mixing import TokenMixing
from attenergy.attention.mixers.top_k import TopKAttention
from attenergy.attention.mixers.window import WindowAttention
from attenergy.energies.settings.keywords import check_settings, known_arguments
from attenergy.registry import (
    ArgumentError,
    ArgumentTypeError,
    MixerSpec,
    RegistryLike,
    ShapeError,
    given_registry,
    nearest,
)

__all__ = [
    "CLASSES",
    "Aaren",
    "BatchNormAttention",
    "EluAttention",
    "HypernetworkAttention",
    "LowRankAttention",
    "MeanPooling",
    "Mixer",
    "NoMixing",
    "Performer",
    "ScaledBatchNormAttention",
    "ScaledHeadAttention",
    "SquaredAttention",
    "TokenMixing",
    "TopKAttention",
    "WindowAttention",
    "make_mixer",
    "register_mixer",
]

CLASSES.update(
    {
        cls.__name__: cls
        for cls in (
            HypernetworkAttention,
            Aaren,
            BatchNormAttention,
            ScaledHeadAttention,
            ScaledBatchNormAttention,
            WindowAttention,
            TopKAttention,
            LowRankAttention,
            EluAttention,
            SquaredAttention,
            Performer,
            TokenMixing,
            MeanPooling,
            NoMixing,
        )
    }
)

register_mixer = CLASSES.register

_OWN_ARGUMENTS = ("embed_dim", "num_heads", "length", "head_dim", "value_dim", "dropout")


def make_mixer(
    name_or_spec: str | MixerSpec,
    *,
    embed_dim: int,
    num_heads: int,
    registry: RegistryLike | None = None,
    head_dim: int | None = None,
    value_dim: int | None = None,
    dropout: float = 0.0,
    length: int | None = None,
    **options: Any,
) -> nn.Module:
    """Build the mixer that a registry describes.

    Args:
        name_or_spec: name of an entry under `mixers`, or the entry itself.
        embed_dim: model width E.
        num_heads: number of heads H.
        registry: where a name is looked up; the built-in registry and plug-ins if None.
        head_dim: query/key width of a head; E / H if None.
        value_dim: value width of a head; `head_dim` if None.
        dropout: probability of dropping a weight in training.
        length: greatest length of a sequence, for the mixers that have parameters for every place
            (`needs_length`); the others pay no heed to it.
        **options: options of the mixer's class, instead of what the entry says.

    Returns:
        A layer `x (B, L, E) -> (B, L, E)`; see its class.

    Raises:
        TypeError: `name_or_spec` is neither a name nor an entry.
        ValueError: unknown name, class or option, or no length for a mixer that needs one.

    Example:
        >>> mixer = attenergy.make_mixer("hyla", embed_dim=32, num_heads=4)
        >>> mixer(torch.randn(2, 10, 32)).shape
        torch.Size([2, 10, 32])
    """
    spec: Any = name_or_spec
    if isinstance(spec, str):
        name, registry = spec, given_registry(registry)
        if name not in registry.mixers:
            raise ArgumentError(
                _unknown("mixer", name, list(registry.mixers)), topic="unknown-name"
            )
        spec = registry.mixers[name]
    if not isinstance(spec, MixerSpec):
        raise ArgumentTypeError(
            "name_or_spec must be the name of a mixer in the registry or its entry (a MixerSpec), "
            f"got {type(spec).__name__}"
        )
    cls = CLASSES.lookup(spec.class_)
    with known_arguments(make_mixer):
        check_settings(options, _options(cls), f"the mixer '{spec.title}'")
    options = {key: tunable.default for key, tunable in spec.options.items()} | options
    known = _options(cls)
    for option in options:
        if option not in known:
            raise ArgumentError(
                _unknown(f"option of {spec.class_}", option, known), topic="unknown-name"
            )
    if cls.needs_length:
        if length is None:
            raise ShapeError(
                f"'{spec.title}' has parameters for every place of a sequence: give `length`, the "
                "greatest number of places"
            )
        options["length"] = length
    sizes: Sizes = {"head_dim": head_dim, "value_dim": value_dim, "dropout": dropout}
    return cls(embed_dim, num_heads, **sizes, **options)


def _options(cls: type[Mixer]) -> list[str]:
    parameters = inspect.signature(cls).parameters
    named = [p for p in (*parameters, *Sizes.__annotations__) if p not in _OWN_ARGUMENTS]
    return [p for p in named if p != "sizes"]


def _unknown(what: str, got: str, known: list[str]) -> str:
    return f"unknown {what} {got!r} (known: {', '.join(known)}) {nearest(got, known)}".rstrip()
