"""Give a Hugging Face model energies, and read it back from where it was saved."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError
from torch import nn

from attenergy.attention.integrations.huggingface.definition import (
    Definition,
    check_place,
    read_definition,
)
from attenergy.attention.integrations.huggingface.heads import ENTRY, ModelHeads
from attenergy.attention.integrations.huggingface.interface import (
    HEADS,
    IMPLEMENTATION,
    SCALE,
    attention_modules,
    head_sizes,
    register,
)
from attenergy.attention.integrations.huggingface.request import (
    asked_scale,
    check_asked,
    check_fits,
)
from attenergy.attention.integrations.huggingface.switch import switch, switch_alone
from attenergy.attention.layers.base import Read
from attenergy.attention.modules.arguments import check_module
from attenergy.attention.saving.validation_text import problems
from attenergy.attention.saving.weights import beside
from attenergy.energies import EnergyLike, EnergySource, source_of, unsaved
from attenergy.energies.graphs.base import OnGraph
from attenergy.registry import (
    ArgumentError,
    ArgumentTypeError,
    GraphError,
    RegistryLike,
    layer_uses,
    name_plugins,
    needed,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Options of `from_pretrained` that say where a model is.
_WHERE = (
    "cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token",
    "trust_remote_code", "code_revision",
)  # fmt: skip

Model = TypeVar("Model", bound="PreTrainedModel")


def energize(
    model: Model,
    energy: EnergyLike = "lse",
    *,
    steps: int | None = None,
    step_size: float | None = None,
    read: Read = "auto",
    registry: RegistryLike | None = None,
    **settings: Any,
) -> Model:
    """Give every attention module of a Hugging Face model an energy, in place.

    The model gets a configuration of its own: others that were made from the same one stay as they
    are. Of a model within another energize the outer one, whose configuration is what is saved.

    The head's query is the state xi, its keys are the stored patterns; after `steps` steps the
    weights are applied to the values, or the state itself is read. The parameters of the energy are
    learned with the model: energize before the optimiser is built. A beta that an entry starts at
    1/sqrt(D) starts at the model's own scale of the scores instead, so that log-sum-exp with one
    step is the model as it was. The definition is in the configuration, and
    `load_energized` reads what `save_pretrained` wrote.

    Args:
        model: any model whose attention goes through the attention interface.
        energy: whatever names one; see `attenergy.make_energy`. Of one that is made, every module
            gets a copy. A model whose energy no file can hold says so in `save_pretrained`.
        steps: number of steps, from 1; the entry's default if None.
        step_size: gamma; the entry's default if None.
        read: `weights`, `state`, or `auto` to follow the entry.
        registry: where the name is looked up, one or a file; built-in and plug-ins if None.
        **settings: initial values of the energy's parameters, choices and options, and what
            `EnergyHeads` takes.

    Returns:
        The model.

    Raises:
        ImportError: transformers is not installed.
        TypeError: the model is no module, or none of transformers.
        ValueError: a model without such attention, unknown name or setting, numbers that do not
            fit, or an energy whose states see each other in a causal model or one with
            cross-attention.

    Example:
        >>> from transformers import GPT2Config, GPT2LMHeadModel
        >>> config = GPT2Config(n_embd=8, n_layer=1, n_head=2)
        >>> model = attenergy.energize(GPT2LMHeadModel(config), "rbm", steps=2)
        >>> model(torch.tensor([[3, 1, 4]])).logits.shape
        torch.Size([1, 3, 50257])
    """
    register()
    check_module("model", model)
    places = attention_modules(model)
    if not places:
        raise ArgumentError(
            f"{type(model).__name__} has no attention that goes through the attention interface "
            "of transformers",
            topic="drop-in",
        )
    if not hasattr(model, "set_attn_implementation"):
        raise ArgumentTypeError(
            f"model must be a model of transformers, got a {type(model).__name__} around one; "
            "energize that one, in place",
            topic="drop-in",
        )
    own = ModelHeads.SETTINGS
    ours = {name: settings.pop(name) for name in own if name in settings}
    source = source_of(energy, settings, registry=registry, others=own, taker=energize)
    options = {"steps": steps, "step_size": step_size, "read": read, **ours}
    made = _heads(places, source, options)
    spec, settings = source.spec, ours | source.settings
    try:
        definition = Definition(
            energy=spec, steps=steps, step_size=step_size, read=read, settings=settings
        )
    except ValidationError as error:
        raise ArgumentError(
            f"a configuration cannot keep {problems(error)}", topic="drop-in"
        ) from None
    if needs := needed(layer_uses(spec, settings)):
        definition = definition.model_copy(update={"plugins": tuple(needs)})
    switch_alone(model, places)
    for name, module in places.items():
        heads, scale = made[name]
        setattr(module, SCALE, scale)
        module.add_module(HEADS, _placed(heads, module, model))
    model.config.attenergy = definition.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for name, module in places.items():
        getattr(module, HEADS).put_into(model.config, _within_base(name, model))
    _let_save(model, unsaved(next(iter(made.values()))[0].energy))
    return model


def _let_save(model: Any, objection: str) -> None:
    """Let a model be saved, or say what is in the way of it when it is to be."""
    vars(model).pop("save_pretrained", None)
    if objection:

        def refuse(*_: Any, **__: Any) -> None:
            raise ArgumentError(objection, topic="drop-in")

        model.save_pretrained = refuse


def load_energized(
    model_class: type[Model],
    path: str | Path | None,
    *,
    plugins: Sequence[str] = (),
    **options: Any,
) -> Any:
    """Load an energized model that `save_pretrained` wrote, with the learned energies.

    A plain `from_pretrained` would read the folder as a model with softmax attention.

    Args:
        model_class: class of the model, or an `AutoModel...` class.
        path: folder or name on the hub, as `from_pretrained` takes it; None with a `config` and a
            `state_dict`.
        plugins: modules that may hold the energy's code, beside the installed plug-ins.
        **options: what `from_pretrained` takes, to the same effect: overrides of the configuration
            (`num_labels=3`), `dtype`, `device_map`, `output_loading_info`, ... A `config` without
            a definition of the energy gets that of the folder.

    Returns:
        The model, in evaluation mode; a pair of it and the information on loading with
        `output_loading_info=True`.

    Raises:
        ImportError: transformers is not installed.
        ValueError: the configuration holds no definition of an energy, or a damaged one, or one
            that needs a plug-in that is not loaded; weights
            of the energies are missing, or there are others; a graph given by `use_graph` is
            damaged; or another `attn_implementation` is asked for.

    Example:
        >>> from transformers import GPT2Config, GPT2LMHeadModel
        >>> config = GPT2Config(n_embd=8, n_layer=1, n_head=2)
        >>> attenergy.energize(GPT2LMHeadModel(config), "lse").save_pretrained("energized")
        >>> type(attenergy.load_energized(GPT2LMHeadModel, "energized")).__name__
        'GPT2LMHeadModel'
    """
    register()
    name_plugins(plugins)
    implementation = options.get("attn_implementation")
    if implementation not in (None, IMPLEMENTATION):
        raise ArgumentError(
            f"attn_implementation must be left out or {IMPLEMENTATION!r}, got "
            f"{implementation!r}: the attention of an energized model is its energy",
            topic="drop-in",
        )
    check_place(path, options)
    config, stored = _configuration(path, options)
    cls = _concrete(model_class, config)
    options.pop("code_revision", None)  # of the configuration; models do not take it

    def build(self: Any, config: Any, *arguments: Any, **more: Any) -> None:
        cls.__init__(self, config, *arguments, **more)
        energize_as_defined(self, getattr(config, ENTRY, None) or stored, path)

    # Weights are matched to names, so the energies are made with the model: by a class for this.
    temporary: Any = type(cls.__name__, (cls,), {"__init__": build, "__module__": cls.__module__})
    model, info = temporary.from_pretrained(path, **{**options, "output_loading_info": True})
    for wrong, keys in (("lacks", "missing_keys"), ("holds more than the", "unexpected_keys")):
        names = sorted(name for name in info[keys] if f".{HEADS}." in f".{name}")
        if names:
            raise ArgumentError(
                f"{path} {wrong} weights of the energies: {', '.join(names)}", topic="drop-in"
            )
    _check_graphs(model, path)
    model.__class__ = cls
    switch(model, attention_modules(model))
    return (model, info) if options.get("output_loading_info") else model


def energize_as_defined(model: Any, stored: Any, path: str | Path | None) -> None:
    """Give a model the energies that a configuration defines, with fresh parameters, in place.

    Args:
        model: of transformers, as it was before it was energized.
        stored: what stands under `attenergy` in a configuration.
        path: where it stands, for errors.

    Raises:
        ValueError: it is missing or damaged, needs a plug-in that is not loaded, or does not fit.
    """
    definition = read_definition(stored, path)
    settings: dict[str, Any] = dict(definition.settings)
    with beside(model):
        energize(
            model, definition.energy, steps=definition.steps, step_size=definition.step_size,
            read=definition.read, **settings,
        )  # fmt: skip
        for name, module in attention_modules(model).items():
            getattr(module, HEADS).make_room(definition.graphs.get(_within_base(name, model), {}))
    for name, module in attention_modules(model).items():
        for option, value in definition.changed.get(_within_base(name, model), {}).items():
            setattr(getattr(module, HEADS), option, value)


def _check_graphs(model: nn.Module, path: str | Path | None) -> None:
    """Look at the numbers of graphs of the user's own, now that they are there."""
    for name, part in model.named_modules():
        if isinstance(part, OnGraph):
            try:
                part.check_graph()
            except GraphError as error:
                raise ArgumentError(f"{path}: {name}: {error}", topic="drop-in") from None


def _heads(
    places: dict[str, nn.Module],
    source: EnergySource,
    options: dict[str, Any],
) -> dict[str, tuple[ModelHeads, float]]:
    """New heads for every attention module, and the scale of its scores; nothing is changed."""
    made = {}
    for name, module in places.items():
        dim, num_heads = head_sizes(name, module)
        energy: Any = source.spec if source.made is None else copy.deepcopy(source.made)
        settings: dict[str, Any] = dict(source.settings) if source.made is None else {}
        heads = ModelHeads(energy, dim, num_heads, **options, **settings)
        check_asked(name, module, heads.energy)
        check_fits(heads.energy, name, module)
        scale = asked_scale(name, module, dim)
        beta = source.spec.parameters.get("beta")
        free = source.made is None and "beta" not in settings
        if beta is not None and beta.init == "1/sqrt(D)" and free:
            heads = ModelHeads(energy, dim, num_heads, **options, **settings, beta=scale)
        made[name] = (heads, scale)
    return made


def _placed(heads: ModelHeads, module: nn.Module, model: Any) -> ModelHeads:
    """The heads on the device, in the type and in the mode of a module."""
    own = (p for part in (module, model) for p in part.parameters() if p.is_floating_point())
    like = next(own)  # whole numbers are the compressed weights of a quantised model
    return heads.to(like.device, like.dtype).train(module.training)


def _within_base(name: str, model: Any) -> str:
    """The name of a module in the base model, which models for tasks have one of."""
    return name.removeprefix(f"{getattr(model, 'base_model_prefix', '')}.")


def _configuration(path: str | Path | None, options: dict[str, Any]) -> tuple[Any, Any]:
    """The configuration that decides on the class, and what the folder says of the energy."""
    from transformers import AutoConfig, PreTrainedConfig

    where = {name: options[name] for name in _WHERE if name in options}
    given = options.get("config")
    own = given if path is None else AutoConfig.from_pretrained(path, **where)
    config: Any = own if given is None else given
    if not isinstance(config, PreTrainedConfig):
        config = AutoConfig.from_pretrained(config, **where)
    stored = options.get(ENTRY) or getattr(config, ENTRY, None) or getattr(own, ENTRY, None)
    read_definition(stored, path)  # refused before anything is built
    return config, stored


def _concrete(model_class: Any, config: Any) -> Any:
    """The class of the model itself, also for an `AutoModel...` class."""
    mapping = getattr(model_class, "_model_mapping", None)
    if mapping is None:
        return model_class
    fitting = mapping[type(config)]
    if not isinstance(fitting, (list, tuple)):
        return fitting
    named = [cls for cls in fitting if cls.__name__ in (config.architectures or ())]
    return (named or list(fitting))[0]
