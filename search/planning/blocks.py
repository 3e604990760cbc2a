"""What a space is put together from: variants, of all blocks or of each, ranges, and wishes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from pydantic import ValidationError

from attenergy.registry import (
    Range,
    Registry,
    Scalar,
    SearchSpaceError,
    StackSpec,
    TaskSpec,
    TrainingSpec,
    UnknownName,
    VariantSpec,
)
from attenergy.registry.stacks import entries_of, is_stack_name, layer_name, stack_name
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.ranges import (
    by_present_name,
    definition,
    including,
    layer_ranges,
    matters,
    offers,
)
from attenergy.search.runs.config import RunConfig
from attenergy.search.training.energy_loss import refused_variant
from attenergy.tasks import with_content

#: The quantity of a space that says whether all blocks have one variant or each its own.
BLOCKS, ALIKE, OWN = "blocks", "alike", "own"
#: Quantities that act only beside others: where Muon trains, and where layers have an energy.
MUON_RATE, ENERGY_LOSS = "muon_learning_rate", "energy_loss"
#: What of a training a space may vary.
TRAINING = tuple(name for name in TrainingSpec.model_fields if name != "steps")


class OwnBlocks:
    """The quantities of blocks that have variants of their own.

    `variant.2` is the variant of block 2 and `2.lse.beta` a setting of it, asked for where that
    block has that variant. Blocks of one variant with equal settings are that variant itself.

    Args:
        layers: the variants of the search; those of one layer may be a block's.
        counts: numbers of blocks that a model may have.

    Raises:
        ArgumentError: it never has two.
    """

    def __init__(self, layers: Mapping[str, VariantSpec], counts: Sequence[int]) -> None:
        self.layers = {name: layer for name, layer in layers.items() if _is_layer(name, layer)}
        self.most = max(counts)
        if self.most < 2:
            raise SearchSpaceError(
                "in a space of stacks every block may have a variant of its own, and this task's "
                "model has 1 block: give it more (--fix layers=2)"
            )

    def ranges(self) -> dict[str, Range]:
        """The range of every quantity."""
        spans: dict[str, Range] = {}
        for block in range(1, self.most + 1):
            spans[f"variant.{block}"] = Range(choices=tuple(self.layers))
            for variant, layer in self.layers.items():
                own = layer_ranges(layer).items()
                spans |= {f"{block}.{variant}.{name}": span for name, span in own}
        return spans

    def takes(self, layer: VariantSpec) -> bool:
        """Whether a run's layers may be those of blocks here."""
        if not isinstance(layer, StackSpec) or layer.settings:
            return False
        return all(layer_name(groups) in self.layers for groups in layer.pattern)

    def example(self, count: int) -> tuple[str, VariantSpec]:
        """So many blocks, each with the first variant and its defaults, as layers and by name."""
        stack = _joined(list(self.layers.items())[:1] * count)
        return stack_name(stack.pattern), stack

    def alike(self, variant: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """The quantities of blocks that all have one variant, with its default settings."""
        blocks = range(1, self.most + 1)
        values: dict[str, Any] = {f"variant.{block}": variant for block in blocks}
        for block in blocks:
            values |= {f"{block}.{variant}.{name}": value for name, value in defaults.items()}
        return values

    def suggest(
        self,
        count: int,
        value: Callable[[str], Scalar],
        pinned: Callable[[str], dict[str, Scalar]],
    ) -> tuple[str, VariantSpec, dict[str, Scalar]]:
        """The name of a stack, its layers, and their settings, each at its place.

        Args:
            count: number of blocks.
            value: gives that of a quantity.
            pinned: gives the settings of a variant that are the same wherever it stands.
        """
        chosen: list[tuple[str, dict[str, Scalar]]] = []
        for block in range(1, count + 1):
            variant = str(value(f"variant.{block}"))
            layer, own = self.layers[variant], dict(pinned(variant))
            for name in layer_ranges(layer):
                if name not in own and matters(layer, name, own):
                    own[name] = value(f"{block}.{variant}.{name}")
            chosen.append((variant, own))
        variant, own = chosen[0]
        if all(other == chosen[0] for other in chosen):
            return variant, self.layers[variant], own
        stack = _joined([(name, self.layers[name]) for name, _ in chosen])
        settings = {
            _placed(block, name): setting
            for block, (_, own) in enumerate(chosen, start=1)
            for name, setting in own.items()
        }
        return stack_name(stack.pattern), stack, settings


def parameters_of_blocks(config: RunConfig) -> dict[str, Any]:
    """The quantities of a run by their names in a space of stacks."""
    layer = config.layer
    if not isinstance(layer, StackSpec) or len(layer.pattern) != config.model.layers:
        return {BLOCKS: ALIKE}
    if len(layer.pattern) < 2 or layer.settings:
        return {BLOCKS: ALIKE}
    names = [layer_name(groups) for groups in layer.pattern]
    values: dict[str, Any] = {BLOCKS: OWN}
    values |= {f"variant.{block}": name for block, name in enumerate(names, start=1)}
    for block, name in enumerate(names, start=1):
        for placed, value in config.settings.items():
            for short in (placed.removeprefix(f"{block}."), placed.removeprefix(f"{block}")):
                if _placed(block, short) == placed:
                    values[f"{block}.{name}.{short}"] = value
    return values


def same_entries(layers: Mapping[str, VariantSpec], variant: str, layer: VariantSpec) -> bool:
    """Whether the energies and mixers of a variant are those of the same names in `layers`."""
    each = (entries_of(name, other) for name, other in layers.items())
    known = {name: definition(entry) for entries in each for name, entry in entries.items()}
    used = entries_of(variant, layer).items()
    return all(known.get(name) == definition(entry) for name, entry in used)


def _is_layer(name: str, layer: VariantSpec) -> bool:
    if not isinstance(layer, StackSpec):
        return True
    return len(layer.pattern) == 1 and is_stack_name(name)


def _placed(block: int, name: str) -> str:
    """A setting's name in a stack: `2.beta` of beta, `2a.beta` of a.beta."""
    return f"{block}{name}" if "." in name else f"{block}.{name}"


def _joined(layers: list[tuple[str, VariantSpec]]) -> StackSpec:
    """A stack of layers, each an energy, a mixer, or groups of heads."""
    pattern: list[Any] = []
    entries: dict[str, Any] = {}
    for name, layer in layers:
        if isinstance(layer, StackSpec):
            pattern += layer.pattern
            entries |= layer.entries
        else:
            pattern.append(({"variant": name},))
            entries[name] = layer
    names = ", ".join(name for name, _ in layers)
    return StackSpec(title=f"Layers: {names}", entries=entries, pattern=tuple(pattern))


def checked(wish: Mapping[str, Scalar], forms: Mapping[str, BaseDistribution]) -> dict[str, Scalar]:
    """The parameters of one enqueued trial; what they leave open is left to the sampler.

    Settings of a layer (`lse.beta`) name their variant, so `variant` may be left out.

    Args:
        wish: names and values as in a trial.
        forms: the open quantities of the space.

    Raises:
        UnknownName: the space has no such quantity, or it is fixed.
        ValueError: a value that is not offered, settings of several variants, or nothing at all.
    """
    if not wish:
        raise SearchSpaceError("an enqueued trial names no quantity")
    wish = {name: by_present_name(name, value) for name, value in wish.items()}
    for name, value in wish.items():
        if name not in forms:
            raise UnknownName("open quantity to enqueue", name, forms)
        if not offers(forms[name], value):
            allowed = _allowed(forms[name])
            raise SearchSpaceError(f"cannot enqueue {name} = {value!r}; the space offers {allowed}")
    owners = {name.split(".")[0] for name in wish if "." in name and not _of_a_block(name)}
    if BLOCKS in forms and any(map(_of_a_block, wish)):
        if owners or "variant" in wish:
            raise SearchSpaceError(
                "an enqueued trial has one variant or one for each block, got both"
            )
        return {**wish, BLOCKS: OWN}
    owners |= {str(wish["variant"])} if "variant" in wish else set()
    if len(owners) > 1:
        raise SearchSpaceError(
            f"an enqueued trial has one variant, got {' and '.join(sorted(owners))}"
        )
    complete: dict[str, Scalar] = dict(wish)
    if owners and "variant" in forms:
        complete["variant"] = owners.pop()
        if BLOCKS in forms:
            complete[BLOCKS] = ALIKE
    return complete


def _of_a_block(name: str) -> bool:
    return name.startswith("variant.") or name[0].isdigit()


def _allowed(form: BaseDistribution) -> str:
    if isinstance(form, CategoricalDistribution):
        return ", ".join(map(str, form.choices))
    return f"{getattr(form, 'low', '')} to {getattr(form, 'high', '')}"


def whole_numbers(span: Range | None, value: int) -> list[int]:
    """All numbers of a range of integers; the value alone without a range."""
    if span is None:
        return [value]
    if span.choices is not None:
        return [int(choice) for choice in span.choices]
    assert span.low is not None
    assert span.high is not None
    return list(range(int(span.low), int(span.high) + 1, int(span.step or 1)))


def may_be_muon(
    fix: Mapping[str, Scalar], choices: Mapping[str, Range], training: TrainingSpec
) -> bool:
    """Whether Muon trains, or may be chosen to."""
    span, given = choices.get("optimizer"), fix.get("optimizer")
    if given is None and span is not None and span.choices is not None:
        return "muon" in span.choices
    return (given or training.optimizer) == "muon"


def variants_apart(
    layers: Mapping[str, VariantSpec],
    span: Range,
    named: Collection[Any],
) -> tuple[dict[str, str], frozenset[str]]:
    """Variants that are left out, with the reasons, and those that are trained without a term.

    Where `energy_loss` has one value for all, variants that cannot have it are left out; where it
    is chosen, they have `none`.

    Args:
        layers: of the search.
        span: what `energy_loss` may be.
        named: variants that somebody asked for.

    Raises:
        ArgumentError: one of them would be left out.
    """
    refused: dict[str, str] = {}
    for value in span.choices or ():
        try:
            term = TrainingSpec.model_validate({"steps": 1, ENERGY_LOSS: value}).energy_term
        except ValidationError:  # said where all of a training is read
            continue
        for name, layer in layers.items():
            if term is not None and (reason := refused_variant(name, layer, term)):
                refused.setdefault(name, reason)
    if len(span.choices or ()) > 1:
        return {}, frozenset(refused)
    for name in filter(named.__contains__, refused):
        raise SearchSpaceError(f"{name}: {refused[name]}")
    return refused, frozenset()


def task_of_plan(registry: Registry, plan: SearchPlan) -> TaskSpec:
    """The plan's task with the plan's options."""
    task = registry.task(plan.task)
    task = task.model_copy(update={"options": {**task.options, **plan.task_options}})
    return with_content(task, plan.split_seed)


def chosen_layers(registry: Registry, plan: SearchPlan) -> dict[str, VariantSpec]:
    """In the order of the registry; then stacks, which take part where they are named."""
    everything = [*registry.energies, *registry.mixers]
    pinned = plan.fix.get("variant")
    wanted = [str(pinned)] if pinned is not None else plan.variants or everything
    layers = {name: registry.variant(name) for name in (*wanted, plan.baseline)}
    return {name: layers[name] for name in dict.fromkeys((*everything, *layers)) if name in layers}


def task_defaults(task: TaskSpec) -> dict[str, Any]:
    """The task's own values of what a space may vary."""
    return {**task.model.model_dump(), **task.training.model_dump(include=set(TRAINING))}


def task_ranges(registry: Registry, task: TaskSpec, space: str) -> dict[str, Range]:
    """The ranges of a space, each with the task's own value in it."""
    defaults = {**task_defaults(task), BLOCKS: ALIKE}
    spans = registry.space(space)
    for name in spans:
        if name not in defaults:
            raise UnknownName(f"field of a model or training (space {space!r})", name, defaults)
    return {name: including(span, defaults[name]) for name, span in spans.items()}
