"""What the fields of a registry file mean, where no comment `#:` beside the field says so.

`attenergy.testing.docs_pages.fields` makes a page of it, and refuses a field without a meaning and
a meaning without a field.
"""

from __future__ import annotations

from attenergy.registry.choices import Choice, EnergyLossSpec, SolverChoice, SolverNames
from attenergy.registry.specs import (
    BundleSpec,
    EnergySpec,
    MixerSpec,
    ModelSpec,
    RegistryFile,
    StackEntry,
    StackQuantities,
    TaskSpec,
    TrainingSpec,
)
from attenergy.registry.tunables import Entry, Parameter, Range, Tunable, TunableNumber

_ABOUT = {
    "title": "what it is, in one line",
    "reference": "where it is from; `arXiv:` and `doi:` numbers become links",
    "doc": "what a user should know of it, in a few sentences",
}
_SEARCH = "the values that a search tries"
_OPTIONS = "settings of the class: keywords of its constructor"
#: What fields mean that have no comment `#:` in their model.
MEANINGS: dict[type[Entry], dict[str, str]] = {
    RegistryFile: {
        "version": "of the format of the file",
        "energies": "energy functions, by name",
        "mixers": "layers that are written by hand, by name",
        "stacks": "layers of several energies or mixers, by name",
        "tasks": "what models are trained on, by name",
        "spaces": "what searches vary in a model and its training: a mapping of quantities to "
        "ranges, by name",
        "bundles": "tasks that are run together, by name",
    },
    EnergySpec: {
        **_ABOUT,
        "formula": "E as a text in [the language of formulas](formulas.md)",
        "class": "the name of a class or a function with E, built-in or registered by "
        "[a plug-in](plugins.md)",
        "symbols": "what further letters in the formula of a class mean; shown, no more",
        "domain": "[where states live](concepts/energy.md#where-states-live)",
        "parameters": "numbers and tensors that the formula or the class reads, by name",
        "choices": "parts of a formula that are filled by one of several; only with `formula`",
        "options": f"{_OPTIONS}; only with `class`",
        "quadratic": "A in E = A/2 xi'xi - v(xi) with a convex v, or an upper bound of A: above 0, "
        "or an expression in `D` and in scalar parameters, or `radial` for kernels of distances. "
        "A step divides the gradient by it, and a step size below 2 then never raises E "
        "([why](concepts/energy.md#how-long-may-a-step-be))",
        "descends": "which steps never raise E: of all states and components at once (`parallel`), "
        "of one site alone (`sequential`), or `none`",
        "solver": "how a layer takes its steps ([solvers](concepts/solvers.md))",
        "step_size": "the factor of every step, beside the gradient divided by A",
        "steps": "the number of steps; a layer that reads by weights takes the last one in reading",
        "read": "what a layer makes its output from: the `weights` over the patterns, or the "
        "`state` itself ([attention](concepts/attention.md#values-and-projections))",
        "capacity": "how many patterns it stores, in words; shown, no more",
        "known_answers": "names of comparisons in `attenergy.testing.known_answers` that hold for "
        "it; the tests of the toolkit make them for its own entries",
    },
    Parameter: {
        "init": "the value it starts from; an expression may use `D`, the width of a head",
        "constraint": "`real`: any number, `positive`: above 0, `unit`: between 0 and 1; training "
        "cannot leave it",
        "learnable": "`no`: a constant, `shared`: learned, one for all heads, `per_head`: learned, "
        "one for each head",
        "shape": "`[]`: a number, `[D]`: a vector of equal components, `[D, D]`: a matrix, which "
        "begins as `init` times the identity",
        "search": f"{_SEARCH} as `init`",
        "doc": "what it is, in a few words",
    },
    Choice: {
        "default": "the name of the option that is taken if nobody says otherwise",
        "options": "formulas of the argument, by name",
        "argument": "the letter that stands in the options for what the choice is called with",
        "search": "whether a search tries all options",
        "doc": "what is chosen, in a few words",
    },
    Tunable: {"default": "the value if nobody says otherwise", "search": _SEARCH},
    TunableNumber: {"default": "the number if nobody says otherwise", "search": _SEARCH},
    SolverChoice: {
        "default": "the solver of a layer if nobody says otherwise; with `fixed_point` a layer "
        "takes up to 100 steps unless it is given `steps`",
        "search": "the solvers that a search tries",
    },
    SolverNames: {"choices": "their names, none twice, with the default among them"},
    Range: {
        "low": "the lower end of an interval; the range is one of whole numbers if both ends are "
        "written so",
        "high": "the upper end; it belongs to the range",
        "log": "whether the search goes by the logarithm; then `low` is above 0, without `step`",
        "step": "the distance of neighbouring values, counted from `low`",
        "choices": "the values one by one, none twice, in place of an interval",
    },
    MixerSpec: {
        **_ABOUT,
        "class": "the name of a class of mixers, built-in or registered by [a plug-in](plugins.md)",
        "energy": "leave it out: a mixer has no energy",
        "options": _OPTIONS,
    },
    StackEntry: {
        **_ABOUT,
        "layers": "the layers of all blocks, first to last; the model has as many blocks",
        "pattern": "layers that are repeated over the blocks of a model",
        "settings": "fixed settings, each at its place: `2.steps`, `2a.beta`",
    },
    TaskSpec: {
        **_ABOUT,
        "class": "the name of a class of tasks, built-in or registered by [a plug-in](plugins.md)",
        "options": _OPTIONS,
        "model": "the model that is trained on it",
        "training": "how that is trained",
        "space": "the [space](#spaces) of a search on the task, unless `--space` names another",
        "seconds": "typical time of one run on one core",
    },
    ModelSpec: {
        "layers": "number of blocks",
        "width": "width of the embedding",
        "heads": "number of heads of a layer",
        "head_dim": "width of a head",
        "mlp": "hidden width of the feed-forward parts; 0: the blocks have none",
        "positions": "how layers know the order: a bias on the scores (`relative`), turned queries "
        "and keys (`rotary`), vectors added to the inputs (`absolute`), or not at all",
        "causal": "whether a position sees only itself and those before it",
        "conv": "kernel of a causal short convolution before every layer; 0: none",
        "readout": "outputs at every `position`, or all from the last position's vector "
        "(`bottleneck`)",
    },
    TrainingSpec: {
        "steps": "updates of the optimiser; 0: the model is used as it is built",
        "batch_size": "instances in an update",
        "learning_rate": "the highest rate of AdamW",
        "muon_learning_rate": "the highest rate of Muon, where the optimiser is `muon`",
        "warmup": "updates in which the rate rises from 0",
        "tail": "share of the steps in which the rate falls, where the schedule is `constant_tail`",
        "weight_decay": "of the optimiser",
        "dropout": "share of the attention weights that are dropped in training",
        "evaluate_every": "updates from one evaluation on the validation split to the next",
        "valid_instances": "instances of the validation split that are scored each time",
        "test_instances": "instances of each test split that are scored at the end",
    },
    EnergyLossSpec: {
        "kind": "`minimise`: the mean energy of the states that are read, `contrast`: the energy "
        "on the sample's own patterns against that on those of another sample",
        "weight": "its factor in the loss; 0 is `none`",
    },
    StackQuantities: {},
    BundleSpec: {
        "title": _ABOUT["title"],
        "doc": _ABOUT["doc"],
        "tasks": "names of tasks",
        "seeds": "runs of each variant on each task, unless `--seeds` says otherwise",
    },
}
_LEFT = "none: it is not searched"
#: What holds where a field whose default is None is left out.
ABSENT: dict[type[Entry], dict[str, str]] = {
    EnergySpec: {
        "formula": "none: then `class` is required",
        "class": "none: then `formula` is required",
        "quadratic": "none: a step divides the gradient by nothing",
        "descends": "by the entry: `parallel` if `quadratic` is given or the domain needs none, "
        "else `none`",
        "read": "by the energy: `weights` if it has weights over patterns, else `state`",
    },
    Parameter: {"search": _LEFT},
    Tunable: {"search": _LEFT},
    TunableNumber: {"search": _LEFT},
    SolverChoice: {"search": _LEFT},
    Range: {
        "low": "none: then `choices` is required",
        "high": "none: then `choices` is required",
        "step": "none: every number of the interval, or every whole one",
        "choices": "none: then `low` and `high` are required",
    },
    MixerSpec: {"energy": "none"},
    StackEntry: {
        "layers": "none: then `pattern` is required",
        "pattern": "none: then `layers` is required",
    },
    TaskSpec: {"seconds": "none: nothing is known of it"},
    ModelSpec: {"head_dim": "by the sizes: `width / heads`"},
}
