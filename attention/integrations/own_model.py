"""A user's own model around the layers of a run: what its function is given, and what is checked.

`B` batch, `L` positions, `E` model width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from attenergy.attention.integrations.model_builders import MODELS
from attenergy.attention.integrations.multihead import EnergyMultiheadAttention
from attenergy.attention.integrations.replace import exchange, of_two_sequences, without_nested
from attenergy.attention.layers.base import EnergyLayer
from attenergy.attention.layers.head_groups import HeadGroups
from attenergy.attention.mixers.base import Mixer
from attenergy.attention.saving.format import AnyLayer, LayerArguments
from attenergy.attention.saving.own_model import OwnModelArguments
from attenergy.energies.factory import class_of
from attenergy.registry import ArgumentError, EnergySpec, OwnModelError, StackSpec
from attenergy.registry.stacks import blocks_of

#: Describes the layers of an entry with settings and sizes, and makes one of them for sequences of
#: a length: `describe_layers` and `layer_of_model` of `attenergy.attention.factory`.
Describe = Callable[..., tuple[AnyLayer, ...]]
Build = Callable[..., nn.Module]
#: The mixer that a plain model has already, as its own `nn.MultiheadAttention`.
_SOFTMAX = ("HypernetworkAttention", {"normalize": "softmax", "value_network": "linear"})


class LayerMaker:
    """`make_layer` of a user's function: every call gives a new layer of the run.

    The layer takes x (B, L, E) and returns (B, L, E); `mask` and `is_causal` are arguments of its
    call. With a stack the k-th call gives the layer of block k.

    Args:
        arguments: of the model.
        describe: describes the layers.
        build: makes one.

    Attributes:
        layers: what was made, in order.
        defaults: of `embed_dim` and `num_heads`, those that a call left to the run.
    """

    def __init__(self, arguments: OwnModelArguments, describe: Describe, build: Build) -> None:
        self._arguments, self._describe, self._build = arguments, describe, build
        self.layers: list[nn.Module] = []
        self.defaults: set[str] = set()

    def __call__(
        self,
        embed_dim: int | None = None,
        num_heads: int | None = None,
        *,
        head_dim: int | None = None,
        length: int | None = None,
        **options: Any,
    ) -> nn.Module:
        """Make the next layer.

        Args:
            embed_dim: E; the run's width if None.
            num_heads: H; the run's heads if None.
            head_dim: width of a head; the run's if None, which is E / H if it has none.
            length: the largest number of positions, for layers with parameters for each; that of
                the task's inputs if None.
            **options: anything else that the layer understands (`rotary=True`), but not what the
                run decides.

        Raises:
            ArgumentError: an option is the run's to decide.
            ValueError: sizes or options that do not fit.
        """
        about, model = self._arguments, self._arguments.model
        for name in options:
            if name in {"dropout", *about.settings}:
                raise OwnModelError(f"make_layer: {name!r} is what the run decides; leave it out")
        self.defaults |= {"embed_dim"} if embed_dim is None else set()
        self.defaults |= {"num_heads"} if num_heads is None else set()
        layers = _layers(
            about,
            self._describe,
            model.width if embed_dim is None else embed_dim,
            model.heads if num_heads is None else num_heads,
            model.head_dim if head_dim is None else head_dim,
        )
        length = about.task.inputs.length if length is None else length
        made = self._build(layers[len(self.layers) % len(layers)], length, **options)
        self.layers.append(made)
        return made


def build_own_model(
    arguments: OwnModelArguments, describe: Describe, build: Build
) -> tuple[nn.Module, set[str]]:
    """Build a user's model, and name the arguments of `make_layer` that it left to the run.

    Args:
        arguments: the description.
        describe: describes the layers.
        build: makes one.

    Raises:
        UnknownName: its function is not there.
        ArgumentError: it does not use what it is given, has no attention to replace, or another
            number of layers than a stack.
        Exception: whatever the function raises.
    """
    builder = MODELS.lookup(arguments.own.build)
    maker = LayerMaker(arguments, describe, build)
    model = builder(maker, arguments.task, arguments.model, arguments.own)
    if builder.replaces:
        _replace(model, arguments, describe)
        return model, set()
    inside = set(map(id, model.modules()))
    name = arguments.own.build
    if not maker.layers:
        raise OwnModelError(f"{name} never calls make_layer: every variant would be the same model")
    for number, layer in enumerate(maker.layers):
        if id(layer) not in inside:
            raise OwnModelError(
                f"{name}: the layer of call {number + 1} of make_layer is no part of the model; "
                "make it an attribute of a module, or put it into an nn.ModuleList"
            )
    _check_stack(arguments, len(maker.layers))
    return model, maker.defaults


def _layers(
    arguments: OwnModelArguments, describe: Describe, width: int, heads: int, head_dim: int | None
) -> tuple[AnyLayer, ...]:
    """The layers of a run in turn: one, or those of a stack."""
    return describe(
        arguments.layer,
        dict(arguments.settings),
        name=arguments.name,
        embed_dim=width,
        num_heads=heads,
        head_dim=head_dim,
        dropout=arguments.dropout,
    )


def _check_stack(arguments: OwnModelArguments, count: int) -> None:
    """See that a model has as many layers as a stack needs."""
    if isinstance(arguments.layer, StackSpec):
        try:
            blocks_of(arguments.layer, count)
        except ArgumentError as error:
            name, layers = arguments.own.build, "layer" if count == 1 else "layers"
            hint = "; a function with the argument 'layers' is given that number"
            raise OwnModelError(f"{name} has {count} attention {layers}: {error}{hint}") from error


def attention_of(model: nn.Module) -> dict[str, nn.Module]:
    """The attention layers inside a model, by their names."""
    kinds = (EnergyLayer, HeadGroups, Mixer, nn.MultiheadAttention)
    layers: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        within = any(not outer or name.startswith(f"{outer}.") for outer in layers)
        if isinstance(module, kinds) and not within:
            layers[name] = module
    return layers


def _replace(model: nn.Module, arguments: OwnModelArguments, describe: Describe) -> None:
    """Give the plain attention of a model what the run's blocks say."""
    parts = {n: m for n, m in model.named_modules() if isinstance(m, nn.MultiheadAttention)}
    name = arguments.own.build
    if not parts:
        raise OwnModelError(
            f"{name} takes no make_layer, and there is no nn.MultiheadAttention to replace inside "
            f"the {type(model).__name__} that it returns: let it take make_layer, and call that "
            "where the model has attention"
        )
    _check_stack(arguments, len(parts))
    for number, (place, part) in enumerate(parts.items()):
        layers = _layers(arguments, describe, part.embed_dim, part.num_heads, part.head_dim)
        layer = layers[number % len(layers)]
        if isinstance(layer, LayerArguments) and isinstance(layer.spec, EnergySpec):
            settings = dict(layer.settings)
            if class_of(layer.spec).fixed_length:
                settings.setdefault("length", arguments.task.inputs.length)
            exchange({place: part}, layer.spec, settings)
        elif not isinstance(layer, LayerArguments) or not _is_softmax(layer):
            what = "mixer" if isinstance(layer, LayerArguments) else "groups of heads"
            raise OwnModelError(
                f"{name} takes no make_layer: the attention of the model that it returns can "
                f"become that of an energy, or stay softmax, but not the {what} {layer.name}, "
                "which needs build(make_layer, task)"
            )
    if any(isinstance(part, EnergyMultiheadAttention) for part in parts.values()):
        of_two_sequences(model)
        without_nested(model)


def _is_softmax(layer: LayerArguments) -> bool:
    options = {name: option.default for name, option in layer.spec.options.items()}
    return (layer.spec.class_, {**options, **layer.settings}) == _SOFTMAX
