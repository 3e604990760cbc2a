"""The search space, read from the registry: adding an entry makes it searchable."""

from __future__ import annotations

from functools import partial
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from pydantic import ValidationError

from attenergy.registry import (
    ArgumentError,
    ModelSpec,
    Range,
    Registry,
    Scalar,
    SearchSpaceError,
    TrainingSpec,
    UnknownName,
    VariantSpec,
    as_written,
)
from attenergy.registry.choices import NO_ENERGY_LOSS
from attenergy.registry.stacks import check_fits, entries_of
from attenergy.search.planning import blocks, ranges
from attenergy.search.planning.blocks import ENERGY_LOSS, MUON_RATE, may_be_muon
from attenergy.search.planning.cost_limits import CostLimits
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.runs.config import RunConfig
from attenergy.search.training.known_cost import KnownCosts
from attenergy.search.training.own_model import fields_in_use, own_model, try_model
from attenergy.search.training.schedule import SCHEDULES

_MODEL = tuple(ModelSpec.model_fields)


class Space:
    """What a search may vary, by the names that the study's trials carry.

    `variant` is the energy or mixer; `<variant>.<name>` are its parameters, choices and options
    that have a range, its `steps`, its `solver` and its `step_size`, each where it changes anything
    (`ranges.matters`); the rest comes from the task's space or the plan's (`heads`,
    `learning_rate`, ...: fields of the task's `model` or `training`). The task's own values are
    always in the space, and so is the baseline. In a space of stacks, `blocks` says whether all
    blocks have one variant or each its own (`OwnBlocks`).

    `task` is the plan's task with the plan's options.

    Args:
        registry: where the variants, the task and its space are found.
        plan: the search; its `fix` takes names out of the space and gives them a value.

    Raises:
        ValueError: for an unknown name, a fixed value that is not allowed, a solver that does not
            go with its energy, heads that do not divide the width, or a warm-up longer than the
            training.
    """

    def __init__(self, registry: Registry, plan: SearchPlan) -> None:
        self._plan = plan
        self.task = blocks.task_of_plan(registry, plan)
        self._space = plan.space or self.task.space
        self._own = own_model(plan.model, plan.model_options)
        self._layers = blocks.chosen_layers(registry, plan)
        self._fix = {
            n: ranges.by_present_name(n, value) for n, value in plan.fix.items() if n != "variant"
        }
        shared = blocks.task_ranges(registry, self.task, self._space)
        term = self._fix.get(ENERGY_LOSS, self.task.training.energy_loss)
        terms = None if ENERGY_LOSS in self._fix else shared.get(ENERGY_LOSS)
        #: Variants that cannot be trained as the plan says, and why, where nobody has named them.
        self.left_out, self._without_term = blocks.variants_apart(
            self._layers, terms or Range(choices=(term,)), self._named
        )
        self._layers = {n: v for n, v in self._layers.items() if n not in self.left_out}
        self._fields = self._fields_in_use()
        for variant, layer in self._layers.items():
            ranges.check_solvers(variant, layer, self._head_width)
        self.choices: dict[str, Range] = {"variant": Range(choices=tuple(self._layers))}
        for variant, layer in self._layers.items():
            spans = ranges.layer_ranges(layer)
            self.choices |= {f"{variant}.{name}": span for name, span in spans.items()}
        self.choices |= {n: s for n, s in shared.items() if n in self._fields or n not in _MODEL}
        if not may_be_muon(self._fix, self.choices, self.task.training):
            self.choices.pop(MUON_RATE, None)
        own = blocks.BLOCKS in self.choices and self._fix.get(blocks.BLOCKS) != blocks.ALIKE
        self._own_blocks = self._blocks_of_their_own() if own else None
        self.choices |= self._own_blocks.ranges() if self._own_blocks else {}
        self._check()
        self.cost_limits = CostLimits(plan.cost_limits)
        self._known_costs = KnownCosts()
        #: The plan's enqueued parameters, completed by the variant where they name its settings.
        self.wishes = tuple(blocks.checked(wish, self.distributions()) for wish in plan.enqueue)

    def _fields_in_use(self) -> frozenset[str]:
        """Fields of the run's model that decide anything; every variant is tried in a user's model.

        A variant that the model or the task cannot take is left out, if nobody has named it.
        """
        fields: frozenset[str] = frozenset()
        causal = {n: v for n, v in self._fix.items() if n == "causal" and isinstance(v, bool)}
        for name in self.variants:
            try:
                fields |= fields_in_use(self._config(name, {}, causal))
            except ArgumentError as error:
                if name in self._named:
                    raise
                self.left_out[name] = str(error)
        self._layers = {n: v for n, v in self._layers.items() if n not in self.left_out}
        return fields

    @property
    def _named(self) -> set[Any]:
        return {*self._plan.variants, self._plan.baseline, self._plan.fix.get("variant")}

    def suggest(self, trial: optuna.trial.BaseTrial) -> RunConfig:
        """Ask the trial for a value of everything that is open, and put the run together."""
        if self._own_blocks is not None and self._value(trial, blocks.BLOCKS) == blocks.OWN:
            varied = "layers" in self.choices or "layers" in self._fix
            count = self._value(trial, "layers") if varied else self.task.model.layers
            named, stack, own = self._own_blocks.suggest(
                int(count), partial(self._value, trial), self._pinned
            )
            return self._config(named, own, self._shared(trial, named, stack), stack)
        variant = str(self._value(trial, "variant"))
        layer = self._layers[variant]
        settings = ranges.suggest_settings(trial, variant, layer, self._pinned(variant))
        return self._config(variant, settings, self._shared(trial, variant, layer))

    def _shared(
        self, trial: optuna.trial.BaseTrial, variant: str, layer: VariantSpec
    ) -> dict[str, Scalar]:
        """Values for the model and the training, some of them only where they act."""
        names = dict.fromkeys((*self._fix, *self.choices))
        shared = {n: self._value(trial, n) for n in names if n == "optimizer"}
        optimizer = shared.get("optimizer", self.task.training.optimizer)
        if self._without_term.intersection({variant, *entries_of(variant, layer)}):
            shared[ENERGY_LOSS] = NO_ENERGY_LOSS
        for name in (n for n in names if n in {*_MODEL, *blocks.TRAINING} and n not in shared):
            if name != MUON_RATE or optimizer == "muon":
                shared[name] = self._value(trial, name)
        return shared

    def baseline(self) -> dict[str, Any]:
        """Return the parameters of the first trial: the baseline with defaults."""
        return self.defaults(self._plan.baseline)

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants, the baseline first, then in the order of the registry."""
        return tuple(dict.fromkeys((self._plan.baseline, *self._layers)))

    def reference(self) -> RunConfig:
        """Return the baseline with its and the task's defaults, but for what is fixed."""
        return self._with_defaults(self._plan.baseline)

    def each(self) -> list[RunConfig]:
        """Return every variant, with defaults but for what is fixed."""
        return [self._with_defaults(name) for name in self._layers]

    def cost_before(self, config: RunConfig) -> dict[str, float]:
        """The limited costs of a run that are known before it is trained; see `KnownCosts.of`."""
        return self._known_costs.of(config, self.cost_limits.before)

    def pinned(self) -> list[RunConfig]:
        """Return every variant that has a fixed setting, with defaults but for what is fixed."""
        return [self._with_defaults(name) for name in self._layers if self._pinned(name)]

    def _with_defaults(self, name: str) -> RunConfig:
        shared = {n: value for n, value in self._fix.items() if "." not in n}
        return self._config(name, self._pinned(name), shared)

    def defaults(self, name: str) -> dict[str, Any]:
        """Return the parameters of a trial of a variant as its entry and the task describe it.

        A default that lies outside its range is left to the sampler.
        """
        defaults = ranges.layer_defaults(self._layers[name], self._head_width)
        values = {f"{name}.{setting}": value for setting, value in defaults.items()}
        values |= {"variant": name, blocks.BLOCKS: blocks.ALIKE, **blocks.task_defaults(self.task)}
        if self._own_blocks is not None and self._fix.get(blocks.BLOCKS) == blocks.OWN:
            values |= self._own_blocks.alike(name, defaults)
        forms = self.distributions()
        return {n: values[n] for n in forms if n in values and ranges.offers(forms[n], values[n])}

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the open quantities as Optuna's distributions."""
        gone = {*self._fix, *(["variant"] if self._fix.get(blocks.BLOCKS) == blocks.OWN else [])}
        open_ = {name: span for name, span in self.choices.items() if name not in gone}
        return {name: ranges.distribution(span) for name, span in open_.items()}

    def definitions(self) -> dict[str, str]:
        """Return a hash of what each variant computes (its ranges do not count)."""
        return {name: ranges.definition(layer) for name, layer in self._layers.items()}

    def takes(self, config: RunConfig) -> bool:
        """Whether the variant of a run, or those of its blocks, are in the space."""
        own = self._own_blocks
        single = config.variant in self._layers
        return single or (own is not None and own.takes(config.layer))

    def defines(self, config: RunConfig) -> bool:
        """Whether the energies and mixers of a run compute here what they did there."""
        return blocks.same_entries(self._layers, config.variant, config.layer)

    @property
    def _head_width(self) -> int:
        """Of the task's own model."""
        model = self.task.model
        return model.head_dim or model.width // model.heads

    def _pinned(self, variant: str) -> dict[str, Any]:
        """The fixed settings of a variant, by their names in the layer."""
        own = {n: v for n, v in self._fix.items() if n.startswith(f"{variant}.")}
        return {name.removeprefix(f"{variant}."): value for name, value in own.items()}

    def _value(self, trial: optuna.trial.BaseTrial, name: str) -> Scalar:
        if name in self._fix:
            return self._fix[name]
        return ranges.suggest(trial, name, self.choices[name])

    def _config(
        self,
        variant: str,
        settings: dict[str, Any],
        shared: dict[str, Any],
        stack: VariantSpec | None = None,
    ) -> RunConfig:
        plan, task = self._plan, self.task
        model = {n: value for n, value in shared.items() if n in _MODEL}
        training = {n: value for n, value in shared.items() if n in blocks.TRAINING}
        config = RunConfig(
            variant=variant,
            layer=stack or self._layers[variant],
            settings=settings,
            task=plan.task,
            task_spec=task,
            model=ModelSpec.model_validate({**task.model.model_dump(), **model}),
            own_model=self._own,
            training=TrainingSpec.model_validate({**task.training.model_dump(), **training}),
            seed=plan.seed,
            split_seed=plan.split_seed,
        )
        return config.with_steps(plan.train_steps)

    def _check(self) -> None:
        allowed = self._fixable()
        for name, value in self._fix.items():
            if name not in allowed:
                raise UnknownName("quantity to fix", name, allowed, self._not_of_own(name))
            span = allowed[name]
            if span is None or span.holds(value):
                continue
            words = any(isinstance(choice, (bool, str)) for choice in span.choices or ())
            if words or isinstance(value, bool):
                shown = as_written(value) if isinstance(value, bool) else repr(value)
                raise SearchSpaceError(
                    f"cannot fix {name} to {shown}; known: {ranges.range_text(span)}"
                )
        shared = {n: value for n, value in self._fix.items() if "." not in n}
        if MUON_RATE in shared and not may_be_muon(self._fix, self.choices, self.task.training):
            raise SearchSpaceError(
                f"{MUON_RATE} is of the optimizer muon; fix optimizer=muon as well"
            )
        try:
            config = self._config(self._plan.baseline, {}, shared)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            raise SearchSpaceError(
                f"cannot fix {name} to {first['input']!r}: {first['msg']}"
            ) from None
        if config.model.head_dim is None and {"width", "heads"} <= self._fields:
            self._check_heads(config.model)
        for layer in self._layers.values() if self._own is None else ():  # those were tried
            for layers in self._whole_numbers("layers", config.model.layers):
                for heads in self._whole_numbers("heads", config.model.heads):
                    check_fits(layer, layers, heads)
        training = config.training
        if training.steps:  # 0: the model is used as it is built
            SCHEDULES[training.schedule](
                0, peak=1.0, warmup=training.warmup, total=training.steps, tail=training.tail
            )

    def _not_of_own(self, name: str) -> str:
        """Why a field of our transformer is no quantity here."""
        if self._own is None or name not in _MODEL:
            return ""
        return f"nothing in {self._own.build} depends on it; let it take an argument {name!r}"

    def _fixable(self) -> dict[str, Range | None]:
        model = (name for name in _MODEL if name in self._fields)
        names: dict[str, Range | None] = dict.fromkeys(("variant", *model, *blocks.TRAINING))
        for variant, layer in self._layers.items():
            names |= {f"{variant}.{name}": None for name in ranges.layer_defaults(layer)}
            names |= {f"{variant}.{n}": span for n, span in ranges.layer_options(layer).items()}
        return names | self.choices | self._fixable_solvers()

    def _fixable_solvers(self) -> dict[str, Range | None]:
        """For every variant whose solver is fixed all that it could be, offered or not."""
        names: dict[str, Range | None] = {}
        for variant, layer in self._layers.items():
            own = [name for name in self._fix if name.startswith(f"{variant}.")]
            if not any(name.endswith(".solver") for name in own):
                continue
            fitting = ranges.fitting_solvers(layer, self._head_width)
            each = {f"{variant}.{name}": solvers for name, solvers in fitting.items()}
            names |= {n: Range(choices=solvers) for n, solvers in each.items() if n in own}
        return names

    def _check_heads(self, model: ModelSpec) -> None:
        for width in self._whole_numbers("width", model.width):
            for heads in self._whole_numbers("heads", model.heads):
                if width % heads:
                    raise SearchSpaceError(
                        f"{heads} heads do not divide width {width} (task {self._plan.task!r}, "
                        f"space {self._space!r}); choose other values or fix one of them"
                    )

    def _blocks_of_their_own(self) -> blocks.OwnBlocks:
        counts = self._whole_numbers("layers", int(self._fix.get("layers", self.task.model.layers)))
        own = blocks.OwnBlocks(self._layers, counts)
        for count in counts if self._own is not None else ():
            name, stack = own.example(count)  # a user's model may have another number of layers
            try_model(self._config(name, {}, {"layers": count}, stack))
        return own

    def _whole_numbers(self, name: str, value: int) -> list[int]:
        return blocks.whole_numbers(None if name in self._fix else self.choices.get(name), value)
