"""Give a Hugging Face model energies, and read it back from where it was saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from attenergy.attention.core import Read
from attenergy.attention.heads import EnergyHeads
from attenergy.attention.huggingface.interface import (
    HEADS,
    IMPLEMENTATION,
    attention_modules,
    head_sizes,
    register,
    score_scale,
)
from attenergy.registry import EnergySpec, Registry

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Name of the definition in a model's configuration.
ENTRY = "attenergy"
#: Options of `from_pretrained` that say where a model is.
_WHERE = ("cache_dir", "local_files_only", "revision", "subfolder", "token", "trust_remote_code")

Model = TypeVar("Model", bound="PreTrainedModel")


class Definition(BaseModel):
    """How a model was energized: what stands under `attenergy` in its `config.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(default=1, ge=1, le=1)
    energy: EnergySpec
    steps: int | None = None
    step_size: float | None = None
    read: Read = "auto"
    settings: dict[str, bool | float | int | str] = {}


def energize(
    model: Model,
    energy: str | EnergySpec = "lse",
    *,
    steps: int | None = None,
    step_size: float | None = None,
    read: Read = "auto",
    registry: Registry | None = None,
    **settings: Any,
) -> Model:
    """Give every attention module of a Hugging Face model an energy, in place.

    The head's query is the state xi, its keys are the stored patterns; after `steps` steps the
    weights are applied to the values, or the state itself is read. The parameters of the energy are
    learned with the model: energize before the optimiser is built. A beta that an entry starts at
    1/sqrt(D) starts at the model's own scale of the scores instead, so that log-sum-exp with one
    step is the model as it was. The definition is kept in the configuration, and
    `load_energized` reads what `save_pretrained` wrote.

    Args:
        model: any model whose attention goes through the attention interface.
        energy: name in the registry, or an entry.
        steps: number of steps, from 1; the entry's default if None.
        step_size: gamma; the entry's default if None.
        read: `weights`, `state`, or `auto` to follow the entry.
        registry: where the name is looked up; the built-in one and plug-ins if None.
        **settings: initial values of the energy's parameters, choices and options, and what
            `EnergyHeads` takes.

    Returns:
        The model.

    Raises:
        ImportError: transformers is not installed.
        ValueError: a model without such attention, unknown name or setting, numbers that do not
            fit, or an energy whose states see each other in a causal model or one with
            cross-attention.
    """
    register()
    places = attention_modules(model)
    if not places:
        raise ValueError(
            f"{type(model).__name__} has no attention that goes through the attention interface "
            "of transformers"
        )
    options = {"steps": steps, "step_size": step_size, "read": read, **settings}
    made = _heads(places, energy, registry, options)
    for name, module in places.items():
        like = next(module.parameters())
        module.add_module(HEADS, made[name].to(like.device, like.dtype).train(module.training))
    _switch(model, places)
    spec = next(iter(made.values())).energy.spec
    definition = Definition(
        energy=spec, steps=steps, step_size=step_size, read=read, settings=dict(settings)
    )
    model.config.attenergy = definition.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return model


def load_energized(model_class: type[Model], path: str | Path, **options: Any) -> Model:
    """Load an energized model that `save_pretrained` wrote, with the learned energies.

    A plain `from_pretrained` would read the folder as a model with softmax attention.

    Args:
        model_class: class of the model, or an `AutoModel...` class.
        path: folder or name on the hub, as `from_pretrained` takes it.
        **options: passed to `from_pretrained`.

    Returns:
        The model, in evaluation mode.

    Raises:
        ImportError: transformers is not installed.
        ValueError: the configuration holds no definition of an energy, or a damaged one.
    """
    register()
    from transformers import AutoConfig

    where = {name: options[name] for name in _WHERE if name in options}
    config = options.pop("config", None) or AutoConfig.from_pretrained(path, **where)
    definition = _definition(config, path)
    cls = _concrete(model_class, config)
    settings: dict[str, Any] = dict(definition.settings)

    def build(self: Any, config: Any, *arguments: Any, **more: Any) -> None:
        cls.__init__(self, config, *arguments, **more)
        energize(
            self, definition.energy, steps=definition.steps, step_size=definition.step_size,
            read=definition.read, **settings,
        )  # fmt: skip

    # The energies must be there when the weights are matched to names: so they are made with the
    # model, by a class of the same name that lives for this call only.
    temporary: Any = type(cls.__name__, (cls,), {"__init__": build, "__module__": cls.__module__})
    model = temporary.from_pretrained(path, config=config, **options)
    model.__class__ = cls
    _switch(model, attention_modules(model))
    loaded: Model = model
    return loaded


def _heads(
    places: dict[str, nn.Module],
    energy: str | EnergySpec,
    registry: Registry | None,
    options: dict[str, Any],
) -> dict[str, EnergyHeads]:
    """New heads for every attention module; nothing is changed if one cannot have them."""
    made = {}
    for name, module in places.items():
        dim, num_heads = head_sizes(name, module)
        heads = EnergyHeads(energy, dim, num_heads, registry=registry, **options)
        spec = heads.energy.spec
        _check_fits(heads, name, module)
        beta = spec.parameters.get("beta")
        if beta is not None and beta.init == "1/sqrt(D)" and "beta" not in options:
            own_scale = {**options, "beta": score_scale(module, dim)}
            heads = EnergyHeads(spec, dim, num_heads, **own_scale)
        made[name] = heads
    return made


def _check_fits(heads: EnergyHeads, name: str, module: nn.Module) -> None:
    """Refuse energies of states that see more than each other, or may not see each other."""
    energy, config = heads.energy, getattr(module, "config", None)
    if energy.reads_patterns and not energy.states_interact:
        return
    if energy.states_interact and getattr(module, "is_causal", False):
        raise ValueError(
            f"'{energy.spec.title}' couples states to each other, and '{name}' is causal: later "
            "ones would act on earlier ones"
        )
    if any(getattr(config, key, False) for key in ("is_encoder_decoder", "add_cross_attention")):
        raise ValueError(
            f"'{energy.spec.title}' couples states to each other; it does not fit a model with "
            "attention between two sequences"
        )


def _switch(model: Any, places: dict[str, nn.Module]) -> None:
    """Make the model use the energies; check that every module does."""
    model.set_attn_implementation(IMPLEMENTATION)
    for name, module in places.items():
        used = getattr(getattr(module, "config", None), "_attn_implementation", None)
        if used != IMPLEMENTATION:
            raise ValueError(
                f"'{name}' ({type(module).__name__}) keeps the attention {used!r}: the model does "
                "not let it be set"
            )


def _definition(config: Any, path: str | Path) -> Definition:
    stored = getattr(config, ENTRY, None)
    if stored is None:
        raise ValueError(f"{path}: its configuration holds no '{ENTRY}'; it was not energized")
    try:
        return Definition.model_validate(stored)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, (ENTRY, *e['loc'])))}: {e['msg']}" for e in error.errors()
        )
        raise ValueError(f"{path}: {wrong}") from None


def _concrete(model_class: Any, config: Any) -> Any:
    """The class of the model itself, also for an `AutoModel...` class."""
    mapping = getattr(model_class, "_model_mapping", None)
    if mapping is None:
        return model_class
    found = mapping[type(config)]
    return found[0] if isinstance(found, (list, tuple)) else found
