"""`save_pretrained` and `from_pretrained`, as users of model hubs know them, for local folders.

A folder holds `config.json` (the whole definition, registry entry included), `model.safetensors`
and a short `README.md`; nothing is sent anywhere. See `attenergy.attention.saving.load`.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
from torch import nn

from attenergy.energies import Energy
from attenergy.energies.graphs.base import OnGraph
from attenergy.registry import ArgumentError, EnergySpec, MixerSpec, Registry
from attenergy.registry.printable import markdown, markdown_code

if TYPE_CHECKING:
    from attenergy.attention.models.transformer import Transformer
    from attenergy.attention.saving.load import Kind, LayerArguments, ModelArguments

_PLAIN = (bool, int, float, str, EnergySpec)
#: What need not be kept: an entry is kept whole, and None says that nothing was given.
_ELSEWHERE = (Registry, type(None))


class Pretrained:
    """A base of modules that are saved with what they were made of.

    Goes before `nn.Module` in the bases of a class. Plain arguments of the constructor are kept as
    they were given; a registry entry is kept whole. What is set later is kept where the class says
    so (`attenergy.attention.modules.arguments.option`).
    """

    given: dict[str, Any]
    not_plain: list[str]
    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Keep the constructor's signature, which `__new__` would hide from `inspect` and help."""
        super().__init_subclass__(**kwargs)
        own = inspect.signature(cls.__init__)
        cls.__signature__ = own.replace(parameters=list(own.parameters.values())[1:])

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Self:
        """Make an instance that remembers the plain arguments among those given."""
        self = super().__new__(cls)
        given = _arguments(cls, args, kwargs)
        plain = {n: _plain(v) for n, v in given.items() if isinstance(_plain(v), _PLAIN)}
        self.__dict__["given"] = plain
        self.__dict__["not_plain"] = [
            n for n, v in given.items() if n not in plain and not isinstance(v, _ELSEWHERE)
        ]
        return self

    def changed(self, name: str) -> None:
        """Remember an argument by what the attribute of its name is now."""
        self.given[name] = getattr(self, name)

    def save_pretrained(
        self, folder: str | Path, *, card: str | None = None, force: bool = False
    ) -> Path:
        """Write the module to a folder, all of it or nothing.

        Args:
            folder: where to write; missing or empty, or an older export if `force` is given.
            card: text of `README.md`; a short one if None.
            force: replace an older export.

        Raises:
            SavedError: the folder must not be overwritten.
            ValueError: the module cannot be described: it holds a layer that does not keep its
                arguments, or layers that differ.
        """
        from attenergy.attention.saving.load import save

        module = cast(nn.Module, self)
        arguments = describe(module)
        text = _card(arguments, Path(folder).name) if card is None else card
        return save(folder, model=module, arguments=arguments, card=text, force=force)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Read what `save_pretrained`, `save` or `attenergy export` wrote.

        The module computes exactly what was saved and is in training mode, like a new one. A layer
        may also come from the folder of a model; then it is the first block's.

        Raises:
            SavedError: the folder is missing or damaged, or holds something else.
        """
        from attenergy.attention.models.transformer import Transformer
        from attenergy.attention.saving.load import SavedError, load

        found: Any = load(folder, part="model" if issubclass(cls, Transformer) else "layer")
        if not isinstance(found, cls):  # a layer of a model may be of any class
            raise SavedError(f"{folder}: holds a {type(found).__name__}, not a {cls.__name__}")
        return found


def describe(module: nn.Module) -> LayerArguments | ModelArguments:
    """What `build()` makes a module like this one from, with fresh weights.

    Raises:
        ValueError: see `Pretrained.save_pretrained`.
    """
    from attenergy.attention.models.transformer import Transformer

    return _model(module) if isinstance(module, Transformer) else _layer(module)


def _model(model: Transformer) -> ModelArguments:
    from attenergy.attention.models.language_model import LanguageModel
    from attenergy.attention.saving.load import ModelArguments

    layers = [_layer(cast(nn.Module, block.mixer)) for block in model.blocks]
    if any(layer != layers[0] for layer in layers):
        raise ArgumentError("only a model whose blocks have equal layers can be described")
    language = isinstance(model, LanguageModel)
    return ModelArguments(layer=layers[0], language=language, **model.options)


def _layer(layer: nn.Module) -> LayerArguments:
    from attenergy.attention.layers.base import EnergyLayer
    from attenergy.attention.saving.load import LayerArguments

    if not isinstance(layer, Pretrained):
        raise ArgumentError(
            f"a layer of class {type(layer).__name__} does not keep its arguments, so it cannot be "
            "described; derive its class from attenergy.attention.saving.pretrained.Pretrained"
        )
    _check_plain(layer)
    module: Any = layer
    settings, kind, memory = dict(layer.given), _kind(layer), None
    if kind == "pooling":
        _check_plain(module.attention)
        settings = {**module.attention.given, "num_queries": len(module.queries)}
    elif kind == "block":
        memory = module.memory.spec
        settings.pop("memory", None)
    elif isinstance(module, EnergyLayer):  # of its energy what it holds now counts
        own = (*type(layer).__signature__.parameters, *module.SETTINGS)
        own += module.PROJECTION_SETTINGS
        settings = {n: v for n, v in settings.items() if n in own} | module.energy.settings
    named = settings.pop("attention" if kind == "block" else "energy", None)
    spec = _spec(layer)
    sizes = {
        key: settings.pop(key)
        for key in ("embed_dim", "num_heads", "head_dim", "dropout")
        if key in settings
    }
    name = named if isinstance(named, str) else spec.title
    return LayerArguments(
        name=name, spec=spec, settings=settings, kind=kind, memory=memory, **sizes
    )


def _check_plain(layer: Pretrained) -> None:
    """Refuse what a folder cannot hold.

    Raises:
        ValueError: an argument that is not plain, or a graph of the user's own.
    """
    module: Any = layer
    for part in module.modules():
        if isinstance(part, OnGraph) and part.constants():
            raise ArgumentError(
                f"'{part.spec.title}' has a graph of your own (`use_graph`), which would not be "
                "saved: take it away with use_graph(None), save, and give it again after loading"
            )
    if layer.not_plain:
        raise ArgumentError(
            f"a {type(layer).__name__} cannot be described that was made with "
            f"{', '.join(layer.not_plain)} of a kind other than number, text or registry entry"
        )


def _kind(layer: nn.Module) -> Kind:
    """Which class `LayerArguments.build` makes."""
    from attenergy.attention.layers.energy_transformer_block import EnergyTransformerBlock
    from attenergy.attention.layers.lookup import EnergyLookup
    from attenergy.attention.layers.pooling import EnergyPooling

    classes: dict[Kind, type] = {
        "lookup": EnergyLookup, "pooling": EnergyPooling, "block": EnergyTransformerBlock
    }  # fmt: skip
    return next((kind for kind, cls in classes.items() if isinstance(layer, cls)), "attention")


def _spec(layer: nn.Module) -> EnergySpec | MixerSpec:
    from attenergy.attention.layers.base import EnergyLayer
    from attenergy.attention.mixers import CLASSES

    energies = (getattr(layer, name, None) for name in ("energy", "attention"))
    energy = next((e for e in energies if isinstance(e, (Energy, EnergyLayer))), None)
    if energy is not None:
        return (energy.energy if isinstance(energy, EnergyLayer) else energy).spec
    for cls in type(layer).__mro__:
        if name := CLASSES.name_of(cls):
            return MixerSpec.model_validate({"title": name, "class": name})
    raise ArgumentError(
        f"a layer of class {type(layer).__name__} cannot be described: it is neither a layer of "
        f"an energy nor a mixer ({', '.join(CLASSES)})"
    )


def _arguments(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    try:
        bound = inspect.signature(cls.__init__).bind_partial(None, *args, **kwargs)  # type: ignore[misc]
    except TypeError:  # the constructor will say so itself
        return {}
    given: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        several = bound.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        given |= value if several else {name: value}
    given.pop("self", None)
    return given


def _plain(value: Any) -> Any:
    """A number of numpy's as one of Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _card(arguments: LayerArguments | ModelArguments, name: str) -> str:
    """A short text that says what is in the folder and how to read it."""
    from attenergy.attention.saving.load import LayerArguments

    alone = isinstance(arguments, LayerArguments)
    layer = arguments if isinstance(arguments, LayerArguments) else arguments.layer
    width = f"(B, L, {layer.embed_dim})"
    facts = [markdown(f"layer: {layer.spec.title}")]
    facts += [markdown(f"reference: {layer.spec.reference}")] if layer.spec.reference else []
    formula = getattr(layer.spec, "formula", None)
    facts += [f"energy: {markdown_code(formula)}"] if formula else []
    facts += [f"settings: {markdown_code(str(layer.settings))}"] if layer.settings else []
    facts += [f"heads: {layer.num_heads}"]
    place = json.dumps(name).replace("`", "\\u0060")
    loading = [f"layer = attenergy.load({place})  # {width} -> {width}"]
    if not isinstance(arguments, LayerArguments):
        facts += [f"blocks: {arguments.layers}", f"positions: {arguments.positions}"]
        loading += [f'model = attenergy.load({place}, part="model")']
    return "\n".join(
        [
            *["---", "library_name: attenergy", "tags: [energy-based-attention]", "---", ""],
            f"# {markdown(layer.name)}, {'an attention layer' if alone else 'a transformer'}",
            *["", "```python", "import attenergy", "", *loading, "```", ""],
            *[f"- {fact}" for fact in facts],
            "",
        ]
    )
