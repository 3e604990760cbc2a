"""The run of a variant in a comparison: the task's values, and what the plan changes of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import ValidationError

from attenergy.registry import (
    ArgumentError,
    ModelSpec,
    Registry,
    Scalar,
    SearchSpaceError,
    TrainingSpec,
    UnknownName,
)
from attenergy.registry.stacks import check_fits
from attenergy.search.planning.cost_limits import CostLimits
from attenergy.search.planning.option_names import refused_values
from attenergy.search.planning.plan import UNTUNED, ComparePlan
from attenergy.search.planning.ranges import layer_defaults
from attenergy.search.runs.config import RunConfig
from attenergy.search.training.known_cost import KnownCosts
from attenergy.search.training.own_model import check_buildable, own_model
from attenergy.tasks import Task, with_content

#: What is tuned is chosen with this seed; results come from the seeds after it.
CHOOSING_SEED = 0


def configure(
    plan: ComparePlan, registry: Registry, variant: str, tuned: Mapping[str, Scalar] | None = None
) -> RunConfig:
    """The run of a variant with the choosing seed: the task's values, then `fix`, then `tuned`."""
    layer = registry.variant(variant)
    task = registry.task(plan.task)
    task = task.model_copy(update={"options": {**task.options, **plan.task_options}})
    task = with_content(task, plan.split_seed)
    model, training, settings = task.model.model_dump(), task.training.model_dump(), {}
    own = [f"{v}.{name}" for v in plan.variants for name in layer_defaults(registry.variant(v))]
    built = own_model(plan.model, plan.model_options)
    for name, value in plan.fix.items():
        if name in model:
            model[name] = value
        elif name in training:
            training[name] = value
        elif name not in own:
            raise UnknownName("quantity to fix", name, [*model, *training, *own])
        elif name.startswith(f"{variant}."):
            settings[name.removeprefix(f"{variant}.")] = value
    for name, value in (tuned or {}).items():
        if name not in training:
            known = [each for each in training if each not in UNTUNED]
            raise UnknownName("quantity of the training to tune", name, known)
        training[name] = value
    try:
        shape, schedule = ModelSpec.model_validate(model), TrainingSpec.model_validate(training)
    except ValidationError as error:
        raise ArgumentError(refused_values(error), topic="option-value") from None
    if built is None:  # else its blocks are counted when it is tried
        check_fits(layer, shape.layers, shape.heads)
    config = RunConfig(
        variant=variant,
        layer=layer,
        settings=settings,
        task=plan.task,
        task_spec=task,
        model=shape,
        own_model=built,
        training=schedule,
        seed=CHOOSING_SEED,
        split_seed=plan.split_seed,
    )
    return config.with_steps(plan.steps)


def try_models(plan: ComparePlan, configs: Iterable[RunConfig], task: Task) -> list[str]:
    """See that the models can be built, before anything is trained; what there is to say of them.

    Raises:
        ValueError: one cannot, or `fix` names what no model depends on.
    """
    tried = [t for config in configs if (t := check_buildable(config, task)) is not None]
    if not tried or plan.model is None:
        return []
    fields = frozenset[str]().union(*(each.fields for each in tried))
    for name in plan.fix:
        if name in ModelSpec.model_fields and name not in fields:
            raise SearchSpaceError(
                f"cannot fix {name}: nothing in {plan.model} depends on it; let it take an "
                f"argument {name!r}"
            )
    return list(dict.fromkeys(text for each in tried for text in each.said(plan.model)))


def refuse_beyond(plan: ComparePlan, configs: Iterable[RunConfig]) -> None:
    """Refuse variants that are known to cost more than the plan allows, before they are trained.

    Raises:
        ValueError: some do; all of them are named, with what they cost.
    """
    limits, known = CostLimits(plan.cost_limits), KnownCosts()
    costs = {config.variant: known.of(config, limits.before) for config in configs}
    wrong = {variant: beyond for variant, c in costs.items() if (beyond := limits.beyond(c))}
    if wrong:
        each = "; ".join(f"{variant} ({limits.why(beyond)})" for variant, beyond in wrong.items())
        raise ArgumentError(
            f"beyond the limits of cost: {each}. Leave them out, make them smaller with --fix, or "
            "loosen --limit",
            topic="limit",
        )
