"""`save_pretrained` and `from_pretrained`, as users of model hubs know them, for local folders.

A folder holds `config.json` (the whole definition, registry entry included), `model.safetensors`
and a short `README.md`; nothing is sent anywhere. See `attenergy.attention.saving.format`.

This module knows no layer: every class that derives from `Pretrained` describes itself.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, cast

from torch import nn

from attenergy.attention.saving.format import (
    AnyLayer,
    GroupsArguments,
    Kind,
    LayerArguments,
    ModelArguments,
    save,
)
from attenergy.attention.saving.rebuilding import check_rebuilt
from attenergy.attention.saving.weights import SavedError
from attenergy.energies import Energy, unsaved
from attenergy.energies.settings.numbers import plain
from attenergy.registry import ArgumentError, EnergySpec, MixerSpec, Registry
from attenergy.registry.printable import markdown, markdown_code

_PLAIN = (bool, int, float, str, EnergySpec)
#: Arguments that name an energy, whose entry is saved whatever they were.
_ENERGIES = ("energy", "attention", "memory")
#: What need not be remembered: an entry is saved whole, and None says that nothing was given.
_ELSEWHERE = (Registry, type(None))
#: What each kind of layer is, and takes and gives, for a card.
_KINDS: dict[Kind, tuple[str, str]] = {
    "attention": ("an attention layer", "(B, L, {width}) -> (B, L, {width})"),
    "lookup": ("a lookup of learned patterns", "(B, L, {width}) -> (B, L, {width})"),
    "pooling": ("a pooling layer", "(B, L, {width}) -> (B, Q, {width})"),
    "block": ("an energy transformer block", "(B, L, {width}) -> (B, L, {width})"),
    "multihead": ("in place of nn.MultiheadAttention", "query, key, value -> (result, weights)"),
    "conv": ("a layer on graphs", "nodes (N, in), edges (2, n) -> (N, {width})"),
    "gnn": ("a network on graphs", "nodes (N, in), edges (2, n) -> (N, out)"),
    "aggregation": ("a pooling of sets", "elements (n, {width}), sets (n,) -> (N, {width})"),
}


class Pretrained:
    """A base of modules that are saved with what they were made of.

    Goes before `nn.Module` in the bases of a class. Plain arguments of the constructor are
    remembered as they were given; a registry entry is saved whole. What is set later is remembered
    where the class says so (`attenergy.attention.modules.arguments.option`). A class of its own
    kind overrides `description`.

    Example:
        >>> layer = attenergy.EnergyAttention(16, 2)
        >>> isinstance(layer, Pretrained)
        True
        >>> _ = layer.save_pretrained("layer")
        >>> type(attenergy.EnergyAttention.from_pretrained("layer")).__name__
        'EnergyAttention'
    """

    #: What an instance is of a saved folder: the whole `model`, or one `layer`.
    saved_part: ClassVar[Literal["layer", "model"]] = "layer"
    #: `load` and `build` of `attenergy.attention.loading`, which knows every class and sets them.
    read_folder: ClassVar[Callable[..., nn.Module]]
    build: ClassVar[Callable[..., nn.Module]]

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
        values = {n: plain(v) for n, v in given.items()}
        self.__dict__["given"] = {n: v for n, v in values.items() if isinstance(v, _PLAIN)}
        self.__dict__["not_plain"] = [
            n for n, v in values.items() if not isinstance(v, (*_PLAIN, *_ELSEWHERE))
        ]
        return self

    def changed(self, name: str) -> None:
        """Remember an argument by what the attribute of its name is now."""
        self.given[name] = getattr(self, name)

    def description(self) -> AnyLayer | ModelArguments:
        """What `attenergy.attention.loading.build` makes a module like this one from.

        Raises:
            ValueError: see `save_pretrained`.
        """
        raise ArgumentError(
            f"a layer of class {type(self).__name__} cannot be described: it is neither a layer of "
            "an energy nor a mixer, and has no `description` of its own",
            topic="saved-model",
        )

    def layer_arguments(
        self,
        spec: EnergySpec | MixerSpec,
        settings: dict[str, Any],
        *,
        named_by: str = "energy",
        kind: Kind = "attention",
        memory: EnergySpec | None = None,
    ) -> LayerArguments:
        """A description of a layer.

        Args:
            spec: the entry of its energy, or of the mixer.
            settings: its arguments by name, sizes included.
            named_by: the argument that names the entry.
            kind: which class it is.
            memory: the entry of a block's second energy.

        Raises:
            ValueError: it holds something that a folder cannot hold.
        """
        self.check_describable()
        settings = dict(settings)
        named = settings.pop(named_by, None)
        sizes = {
            key: settings.pop(key)
            for key in ("embed_dim", "num_heads", "head_dim", "dropout")
            if key in settings
        }
        name = named if isinstance(named, str) else spec.title
        return LayerArguments(
            name=name, spec=spec, settings=settings, kind=kind, memory=memory, **sizes
        )

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
                arguments, or layers that differ; or parametrisations, pruning masks and the like,
                which a new module would not have.
        """
        arguments = self.description()
        text = _card(arguments, Path(folder).name) if card is None else card
        model = cast(nn.Module, self)
        check_rebuilt(model, lambda: Pretrained.build(arguments))
        return save(folder, model=model, arguments=arguments, card=text, force=force)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Read what `save_pretrained`, `save` or `attenergy export` wrote.

        The module computes exactly what was saved and is in training mode, like a new one. A layer
        may also come from the folder of a model; then it is the first block's.

        Raises:
            SavedError: the folder is missing or damaged, or holds something else.
        """
        module: Any = cls.read_folder(folder, part=cls.saved_part)
        if not isinstance(module, cls):  # a layer of a model may be of any class
            raise SavedError(f"{folder}: holds a {type(module).__name__}, not a {cls.__name__}")
        return module

    def check_describable(self) -> None:
        """Refuse what a folder cannot hold.

        Raises:
            ValueError: an argument that is not plain.
        """
        declared: set[str] = set()  # arguments that are saved with an entry
        for part in cast(nn.Module, self).modules():
            if isinstance(part, Energy):
                declared |= {*_ENERGIES, *part.known_settings(part.spec)}
                if text := unsaved(part):
                    raise ArgumentError(text, topic="saved-model")
        if rest := [name for name in self.not_plain if name not in declared]:
            raise ArgumentError(
                f"a {type(self).__name__} cannot be described that was made with "
                f"{', '.join(rest)} of a kind other than number, text or registry entry",
                topic="saved-model",
            )


def describe(module: nn.Module) -> AnyLayer | ModelArguments:
    """What `build` of `attenergy.attention.loading` makes a module like this one from.

    Raises:
        ValueError: see `Pretrained.save_pretrained`.
    """
    if not isinstance(module, Pretrained):
        raise ArgumentError(
            f"a layer of class {type(module).__name__} does not keep its arguments, so it cannot "
            "be described; derive its class from attenergy.attention.saving.pretrained.Pretrained",
            topic="saved-model",
        )
    return module.description()


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


def _card(arguments: AnyLayer | ModelArguments, name: str) -> str:
    """A short text that says what is in the folder and how to read it."""
    alone = not isinstance(arguments, ModelArguments)
    layer = arguments.layer if isinstance(arguments, ModelArguments) else arguments
    kind = layer.kind if isinstance(layer, LayerArguments) else "attention"
    what, shapes = _KINDS[kind]
    facts = list(_layer_facts(arguments))
    facts += [f"heads: {layer.num_heads}"]
    place = json.dumps(name).replace("`", "\\u0060")
    loading = [f"layer = attenergy.load({place})  # {shapes.format(width=layer.embed_dim)}"]
    title = layer.name
    if isinstance(arguments, ModelArguments):
        title = stacked_name(arguments)
        facts += [f"blocks: {arguments.layers}", f"positions: {arguments.positions}"]
        loading += [f'model = attenergy.load({place}, part="model")']
    return "\n".join(
        [
            *["---", "library_name: attenergy", "tags: [energy-based-attention]", "---", ""],
            f"# {markdown(title)}, {what if alone else 'a transformer'}",
            *["", "```python", "import attenergy", "", *loading, "```", ""],
            *[f"- {fact}" for fact in facts],
            "",
        ]
    )


def stacked_name(arguments: ModelArguments) -> str:
    """The names of the layers of all blocks; of one where all are alike."""
    return "/".join(layer.name for layer in arguments.blocks or (arguments.layer,))


def _layer_facts(arguments: AnyLayer | ModelArguments) -> Iterator[str]:
    """What there is to say of every layer of its own."""
    if isinstance(arguments, ModelArguments):
        for number, block in enumerate(arguments.blocks or (), start=1):
            yield f"block {number}: {markdown(block.name)}"
        for number, parts in enumerate(arguments.without or (), start=1):
            if parts:
                yield f"block {number}: without {' and '.join(parts)}"
        every = arguments.blocks or (arguments.layer,)
        for index, block in enumerate(every):
            if block not in every[:index]:
                yield from _layer_facts(block)
        return
    if isinstance(arguments, GroupsArguments):
        for group in arguments.groups:
            yield f"group of {group.num_heads} heads: {markdown(group.name)}"
            yield from _layer_facts(group)
        return
    yield markdown(f"layer: {arguments.spec.title}")
    if arguments.spec.reference:
        yield markdown(f"reference: {arguments.spec.reference}")
    if formula := getattr(arguments.spec, "formula", None):
        yield f"energy: {markdown_code(formula)}"
    if arguments.settings:
        yield f"settings: {markdown_code(str(arguments.settings))}"
