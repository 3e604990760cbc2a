"""What an entry of `registry.yaml` may say: one pydantic model per kind of entry.

The models hold data only. A formula is kept as text here and understood in
`attenergy.energies.language`, so that reading a registry never imports torch.
"""

# Pydantic copies the defaults of fields.
# ruff: noqa: RUF012

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from attenergy.registry.choices import (
    NO_ENERGY_LOSS,
    Choice,
    EnergyLossSpec,
    EnergyLossText,
    SolverChoice,
)
from attenergy.registry.errors import ArgumentError
from attenergy.registry.printable import printable
from attenergy.registry.tunables import (
    DomainName,
    Entry,
    NumberOrExpression,
    Parameter,
    Range,
    Scalar,
    Tunable,
    TunableNumber,
)

Kind = Literal["energies", "mixers", "stacks", "tasks", "spaces", "bundles"]
Descends = Literal["parallel", "sequential", "none"]
Reading = Literal["weights", "state"]

#: The most steps of a layer's update and of a training; more are a slip.
MOST_UPDATES, MOST_STEPS = 100_000, 10**9


class EnergySpec(Entry):
    """An energy function E(xi; X, h) and everything a layer and a search need to know of it.

    Example:
        >>> spec = EnergySpec(title="Mine", formula="0.5*|xi|^2 - lse(X @ xi)", quadratic=1.0)
        >>> attenergy.make_energy(spec, dim=4)(torch.zeros(1, 4), torch.zeros(1, 4))
        tensor([0.])
    """

    title: str
    formula: str | None = None
    class_: str | None = Field(default=None, alias="class")
    reference: str = ""
    doc: str = ""
    symbols: dict[str, str] = {}
    domain: DomainName = "real"
    parameters: dict[str, Parameter] = {}
    choices: dict[str, Choice] = {}
    options: dict[str, Tunable] = {}
    quadratic: NumberOrExpression | None = None
    descends: Descends | None = None
    solver: SolverChoice = SolverChoice()
    step_size: TunableNumber = TunableNumber(default=1.0)
    steps: TunableNumber = TunableNumber(default=1)
    read: Reading | None = None
    capacity: str = ""
    known_answers: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _formula_or_class(self) -> EnergySpec:
        if (self.formula is None) == (self.class_ is None):
            raise ArgumentError("give exactly one of 'formula' and 'class'")
        if self.formula is None and self.choices:
            raise ArgumentError(
                "'choices' belong to a formula; an entry with a class has 'options'"
            )
        if self.class_ is None and self.options:
            raise ArgumentError("'options' belong to a class; a formula has 'choices'")
        steps = _numbers(self.steps)
        if not all(isinstance(v, int) and 1 <= v <= MOST_UPDATES for v in steps):
            raise ArgumentError(f"'steps' are whole numbers from 1 to {MOST_UPDATES:,}")
        if not all(isinstance(v, (int, float)) and v > 0 for v in _numbers(self.step_size)):
            raise ArgumentError("'step_size' is a number above 0")
        return self


def _numbers(tunable: TunableNumber) -> list[Any]:
    """The default and the ends or choices of the range; a text for what is no number."""
    named: list[Any] = [tunable.default]
    if tunable.search is not None:
        named += tunable.search.choices or (tunable.search.low, tunable.search.high)
    return [str(value) if isinstance(value, bool) else value for value in named]


class MixerSpec(Entry):
    """A layer whose update is written by hand, not derived from an energy.

    Example:
        >>> attenergy.load_registry(plugins=False).mixers["hyla"].class_
        'HypernetworkAttention'
    """

    title: str
    class_: str = Field(alias="class")
    energy: None = None
    reference: str = ""
    doc: str = ""
    options: dict[str, Tunable] = {}


class StackEntry(Entry):
    """A stack as a registry file has it: the layers of a model's blocks, by name.

    `layers` are those of all blocks; a `pattern` is repeated until every block has one. A layer is
    the name of an energy or a mixer, or of several that share the heads: `lse+rbm`, or
    `lse:1+rbm:3` where three of four heads are the second's. `settings` are fixed, each at its
    place (`2.steps`, `2a.beta`; see `attenergy.registry.stacks`).

    Example:
        >>> StackEntry(title="Mine", layers=("lse", "hyla")).layers
        ('lse', 'hyla')
    """

    title: str
    reference: str = ""
    doc: str = ""
    layers: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    pattern: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    settings: dict[str, Scalar] = {}

    @model_validator(mode="after")
    def _one_of_two(self) -> StackEntry:
        if (self.layers is None) == (self.pattern is None):
            raise ArgumentError("give exactly one of 'layers' and 'pattern'", topic="stack")
        return self


class GroupSpec(Entry):
    """Heads of one layer that have the same energy: a name, and their share of the heads."""

    variant: str
    heads: Annotated[int, Field(ge=1)] = 1


class StackSpec(Entry):
    """Layers of several energies or mixers, with their whole definitions.

    `pattern` has the groups of heads of each layer, which are repeated over the blocks of a model;
    `settings` are fixed, each at its place. See `attenergy.registry.stacks`.

    Example:
        >>> stack = attenergy.load_registry(plugins=False).variant("lse/hyla")
        >>> type(stack).__name__, list(stack.entries)
        ('StackSpec', ['lse', 'hyla'])
    """

    title: str
    reference: str = ""
    doc: str = ""
    entries: dict[str, EnergySpec | MixerSpec]
    pattern: Annotated[
        tuple[Annotated[tuple[GroupSpec, ...], Field(min_length=1, max_length=26)], ...],
        Field(min_length=1),
    ]
    repeats: bool = True  # False: the model has exactly as many blocks
    settings: dict[str, Scalar] = {}

    @model_validator(mode="after")
    def _defined(self) -> StackSpec:
        named = {group.variant for layer in self.pattern for group in layer}
        if named != set(self.entries):
            raise ArgumentError(
                "the entries of a stack are those that its pattern names", topic="stack"
            )
        return self


class TaskSpec(Entry):
    """A task: its generator's class and options, the model and the training that suit it.

    Example:
        >>> attenergy.load_registry(plugins=False).tasks["latch"].class_
        'Latch'
    """

    title: str
    class_: str = Field(alias="class")
    reference: str = ""
    doc: str = ""
    options: dict[str, Scalar] = {}
    model: ModelSpec
    training: TrainingSpec
    space: str = "default"
    seconds: float | None = None  # typical time of one run on one core
    #: Values of an option, from easy to hard: difficulty and length sweeps.
    sweeps: dict[str, Annotated[tuple[Scalar, ...], Field(min_length=2)]] = {}


class ModelSpec(Entry):
    """The transformer into which a layer is plugged for a task.

    Example:
        >>> ModelSpec(layers=1, width=32, heads=4).width
        32
    """

    layers: Annotated[int, Field(ge=1)] = 2
    width: Annotated[int, Field(ge=1)] = 64
    heads: Annotated[int, Field(ge=1)] = 8
    head_dim: Annotated[int, Field(ge=1)] | None = None  # width / heads if absent
    mlp: Annotated[int, Field(ge=0)] = 128  # 0: no feed-forward part
    positions: Literal["relative", "rotary", "absolute", "none"] = "relative"
    causal: bool = False
    conv: Annotated[int, Field(ge=0)] = 0  # kernel of a short convolution before the layer; 0: none
    readout: Literal["position", "bottleneck"] = "position"


class OwnModel(Entry):
    """A model that a user's function builds around the layers of a run, instead of a transformer.

    `build` names the function as `module:function`, `source` is a digest of the file that holds it,
    and `options` are arguments that the user gives it.

    Example:
        >>> OwnModel(build="my_model:build", source="0" * 64).build
        'my_model:build'
    """

    build: Annotated[str, Field(max_length=200)]
    source: Annotated[str, Field(max_length=64)] = ""
    options: dict[str, Scalar] = {}

    @property
    def shown(self) -> str:
        """The function, its options and the digest of its file, in a line."""
        options = "".join(f", {name}={value}" for name, value in self.options.items())
        text = f"{self.build}{options}, sha256 {self.source or 'unknown'}"
        return printable(text, lines=False)


class TrainingSpec(Entry):
    """How a model is trained on a task, and how it is evaluated.

    Example:
        >>> TrainingSpec(steps=100, batch_size=32).steps
        100
    """

    steps: Annotated[int, Field(ge=0, le=MOST_STEPS)]  # 0: the model is used as it is built
    batch_size: Annotated[int, Field(ge=1)] = 128
    #: `adamw` for everything, or `muon` for the matrices of the blocks and AdamW for the rest.
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    muon_learning_rate: Annotated[float, Field(gt=0)] = 0.02  # where the optimiser is muon
    warmup: Annotated[int, Field(ge=0)] = 100
    #: `cosine`, or `constant_tail`: constant after the warm-up until only `tail`, a share of the
    #: steps, is left, in which it falls; such a run can go on from the beginning of its tail.
    schedule: Literal["cosine", "constant_tail"] = "cosine"
    tail: Annotated[float, Field(gt=0, lt=1)] = 0.2
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0  # on attention weights
    #: Of the products of matrices in training; weights and evaluation stay in float32.
    precision: Literal["float32", "bfloat16"] = "float32"
    evaluate_every: Annotated[int, Field(ge=1)] = 200
    #: Share of the training before which no run is given up; a curve that is still at chance is
    #: spared for half of what then remains.
    prune_after: Annotated[float, Field(ge=0, le=1)] = 0.5
    valid_instances: Annotated[int, Field(ge=1)] = 1024
    test_instances: Annotated[int, Field(ge=1)] = 4096
    #: `none`, or a term of the loss on the layers' own energies: `minimise:0.01`, `contrast:0.1`,
    #: or the same as `{kind: minimise, weight: 0.01}`.
    energy_loss: EnergyLossText = NO_ENERGY_LOSS

    @property
    def energy_term(self) -> EnergyLossSpec | None:
        """What `energy_loss` says; None without one."""
        if self.energy_loss == NO_ENERGY_LOSS:
            return None
        kind, weight = self.energy_loss.split(":")
        return EnergyLossSpec.model_validate({"kind": kind, "weight": weight})


class StackQuantities(Entry):
    """What a space may vary besides a model and a training: the variants of blocks."""

    #: Whether all blocks of a model have one variant, or each its own.
    blocks: Literal["alike", "own"] = "alike"


class BundleSpec(Entry):
    """Tasks that are run together, and over how many seeds if nobody says otherwise.

    Example:
        >>> attenergy.load_registry(plugins=False).bundle("smoke").tasks[:2]
        ('retrieval', 'mil')
    """

    title: str
    doc: str = ""
    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    seeds: Annotated[int, Field(ge=1)] = 5


class RegistryFile(Entry):
    """A whole registry file.

    Example:
        >>> RegistryFile(version=1).energies
        {}
    """

    version: Literal[1]
    energies: dict[str, EnergySpec] = {}
    mixers: dict[str, MixerSpec] = {}
    stacks: dict[str, StackEntry] = {}
    tasks: dict[str, TaskSpec] = {}
    spaces: dict[str, dict[str, Range]] = {}
    bundles: dict[str, BundleSpec] = {}


TaskSpec.model_rebuild()
