"""From a registry entry to a layer, whether it has an energy or not, and to those of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from torch import nn

from attenergy.attention.layers.energy_attention import EnergyAttention
from attenergy.attention.layers.head_groups import HeadGroups
from attenergy.attention.mixers import CLASSES, make_mixer
from attenergy.attention.modules.arguments import check_size
from attenergy.attention.modules.projections import head_width
from attenergy.attention.saving.format import AnyLayer, GroupsArguments, LayerArguments
from attenergy.energies import EnergyLike
from attenergy.energies.factory import class_of
from attenergy.energies.settings.keywords import known_arguments
from attenergy.energies.sources import is_formula
from attenergy.registry import (
    ArgumentError,
    EnergySpec,
    MixerSpec,
    RegistryLike,
    StackSpec,
    VariantSpec,
    given_registry,
)
from attenergy.registry.stacks import (
    is_stack_name,
    layers_of,
    settings_by_part,
    shared_heads,
    stack_name,
)

#: Whatever names a layer, or the layers of a stack.
LayerLike: TypeAlias = EnergyLike | MixerSpec | StackSpec
MakeLayer = Callable[..., nn.Module]


def make_layer(
    layer: LayerLike,
    *,
    embed_dim: int,
    num_heads: int,
    registry: RegistryLike | None = None,
    head_dim: int | None = None,
    dropout: float = 0.0,
    **settings: Any,
) -> nn.Module:
    """Build an energy's layer, a mixer or groups of heads; all take x (B, L, E) and return that.

    Args:
        layer: name or entry of a mixer, or whatever names an energy (`attenergy.make_energy`).
            `lse+rbm` are two groups of heads, and `lse:1+rbm:3` too, of which the second has three
            quarters of the heads.
        embed_dim: E.
        num_heads: H.
        registry: where the name is looked up: a registry, or a file added to the built-in one and
            plug-ins, which are taken if None.
        head_dim: width of a head; E / H if None.
        dropout: probability of dropping a weight in training.
        **settings: for an energy its parameters, choices and options, and everything else that
            `EnergyAttention` understands; for a mixer its options. Of groups of heads those of one
            stand at its place (`**{"a.beta": 2.0}` is of the first), the others are for all.

    Raises:
        ValueError: unknown name or setting, numbers that do not fit, or a stack of several layers.

    Example:
        >>> layer = attenergy.make_layer("lse+rbm", embed_dim=32, num_heads=4)
        >>> layer(torch.randn(2, 10, 32)).shape
        torch.Size([2, 10, 32])
    """
    layer = _entry_of(layer, registry)
    sizes: dict[str, Any] = {"head_dim": head_dim, "dropout": dropout}
    with known_arguments(make_layer):
        if isinstance(layer, StackSpec):
            return _head_groups(layer, embed_dim, num_heads, sizes, settings)
        if isinstance(layer, MixerSpec):
            return make_mixer(layer, embed_dim=embed_dim, num_heads=num_heads, **sizes, **settings)
        return EnergyAttention(embed_dim, num_heads, layer, registry=registry, **sizes, **settings)


def _entry_of(layer: LayerLike, registry: RegistryLike | None) -> LayerLike:
    """The entry of a name; anything else as it is."""
    if isinstance(layer, str) and (is_stack_name(layer) or not is_formula(layer)):
        return given_registry(registry).variant(layer)
    return layer


def _head_groups(
    stack: StackSpec,
    embed_dim: int,
    num_heads: int,
    sizes: dict[str, Any],
    settings: dict[str, Any],
) -> nn.Module:
    if len(stack.pattern) > 1:
        raise ArgumentError(
            f"the stack {stack_name(stack.pattern)} has {len(stack.pattern)} layers, and one is to "
            "be made: give it to a model (Transformer(layers=...)), or name one of its layers",
            topic="stack",
        )
    if sizes["head_dim"] is None:
        sizes = {**sizes, "head_dim": head_width(embed_dim, num_heads)}
    (groups,) = layers_of(stack)
    own = settings_by_part(stack, {name: v for name, v in settings.items() if "." in name})
    common = {name: value for name, value in settings.items() if "." not in name}
    layers = [
        make_layer(
            group.spec, embed_dim=embed_dim, num_heads=heads, **sizes, **common,
            **own[group.place],
        )
        for group, heads in zip(groups, shared_heads(groups, num_heads), strict=True)
    ]  # fmt: skip
    return layers[0] if len(layers) == 1 else HeadGroups(layers)


def describe_layers(
    layer: VariantSpec,
    settings: dict[str, Any] | None = None,
    *,
    embed_dim: int,
    num_heads: int,
    name: str = "",
    head_dim: int | None = None,
    dropout: float = 0.0,
) -> tuple[AnyLayer, ...]:
    """What the layers of a stack are made from, in the order of its blocks; else of the one layer.

    Args:
        layer: entry of an energy, a mixer or a stack.
        settings: by name; of a stack each at its place (`2a.beta`).
        embed_dim: E.
        num_heads: H.
        name: what an entry is called; its title if empty.
        head_dim: width of a head; E / H if None.
        dropout: probability of dropping a weight in training.

    Raises:
        ValueError: unknown place of a setting, or heads that cannot be shared.
    """
    sizes: dict[str, Any] = {"embed_dim": embed_dim, "head_dim": head_dim, "dropout": dropout}
    if not isinstance(layer, StackSpec):
        return (
            LayerArguments(
                name=name or layer.title, spec=layer, num_heads=num_heads,
                settings=settings or {}, **sizes,
            ),
        )  # fmt: skip
    own, made = settings_by_part(layer, settings or {}), list[AnyLayer]()
    for parts in layers_of(layer):
        if len(parts) > 1 and head_dim is None:
            sizes["head_dim"] = head_width(embed_dim, num_heads)
        groups = tuple(
            LayerArguments(
                name=part.variant, spec=part.spec, num_heads=heads, settings=own[part.place],
                **sizes,
            )
            for part, heads in zip(parts, shared_heads(parts, num_heads), strict=True)
        )  # fmt: skip
        made.append(groups[0] if len(groups) == 1 else GroupsArguments(groups=groups))
        sizes["head_dim"] = head_dim
    return tuple(made)


def layer_of_model(arguments: AnyLayer, length: int, **extra: bool) -> nn.Module:
    """Build a layer for a model, which may ask for rotary positions.

    A mixer whose queries and keys cannot be turned is made without; the model then falls back to
    absolute positions.

    Args:
        arguments: of a layer that `make_layer` makes.
        length: of the model's sequences; some layers have parameters for every position.
        **extra: further settings (`rotary`).
    """
    if isinstance(arguments, GroupsArguments):
        return HeadGroups([layer_of_model(group, length, **extra) for group in arguments.groups])
    return make_layer(
        arguments.spec, embed_dim=arguments.embed_dim, num_heads=arguments.num_heads,
        head_dim=arguments.head_dim, dropout=arguments.dropout,
        **for_model(arguments, length, extra),
    )  # fmt: skip


def for_model(arguments: LayerArguments, length: int, extra: dict[str, bool]) -> dict[str, Any]:
    """The settings of a layer in a model; see `layer_of_model`."""
    settings: dict[str, Any] = {**arguments.settings, **extra}
    spec = arguments.spec
    if isinstance(spec, MixerSpec) or class_of(spec).fixed_length:
        settings.setdefault("length", length)
    if isinstance(spec, MixerSpec) and not CLASSES.lookup(spec.class_).takes_rotary:
        settings.pop("rotary", None)
    return settings


_make_layer = make_layer  # also where an argument has its name


def layer_makers(
    layers: int | str | Sequence[LayerLike],
    make_layer: MakeLayer | Sequence[MakeLayer] | None,
    *,
    embed_dim: int,
    num_heads: int,
    length: int,
    registry: RegistryLike | None = None,
) -> list[MakeLayer]:
    """For each block of a model what makes its layer; `rotary=True` may be given to it.

    Args:
        layers: number of blocks; or a name or entry for each of them, or the name of a stack
            (`lse/hyla`), whose layers they are.
        make_layer: for a number of blocks, what makes the layer of any of them, or one for each.
        embed_dim: E.
        num_heads: H.
        length: of the model's sequences.
        registry: where names are looked up: a registry, or a file added to the built-in one and
            plug-ins, which are taken if None.

    Raises:
        ValueError: unknown name, no layer, or both names and `make_layer`.
    """
    if isinstance(layers, (str, list, tuple)):
        if make_layer is not None or not layers:
            raise ArgumentError(
                "layers must name a layer for every block, without make_layer, got "
                f"{layers!r:.80}{'' if make_layer is None else ' and make_layer'}"
            )
        known = given_registry(registry)
        makers: list[MakeLayer] = []
        for layer in [layers] if isinstance(layers, str) else layers:
            entry = _entry_of(layer, known)
            sizes: dict[str, Any] = {"embed_dim": embed_dim, "num_heads": num_heads}
            if isinstance(entry, (EnergySpec, MixerSpec, StackSpec)):
                name = layer if isinstance(layer, str) else ""
                described = describe_layers(
                    entry, name=name, embed_dim=embed_dim, num_heads=num_heads
                )
                makers += [partial(layer_of_model, one, length) for one in described]
            else:
                if isinstance(entry, type) and getattr(entry, "fixed_length", False):
                    sizes["length"] = length
                makers.append(partial(_make_layer, entry, registry=known, **sizes))
        return makers
    count = check_size("layers", layers)
    if callable(make_layer):
        return [make_layer] * count
    if make_layer is None or len(make_layer) != count:
        got = "none" if make_layer is None else f"{len(make_layer)}"
        raise ArgumentError(
            f"{count} blocks need make_layer, or one for each, got {got}; their layers may also be "
            "named, layers=['lse', 'hyla']"
        )
    return list(make_layer)
