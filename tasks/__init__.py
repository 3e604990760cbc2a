"""Self-generated tasks: generators, splits, losses, metrics, chance levels and exact ceilings."""

from __future__ import annotations

from typing import Any

from attenergy.registry import Catalogue, RegistryLike, TaskSpec, given_registry
from attenergy.tasks.core.base import IGNORE, Task, check_known
from attenergy.tasks.core.batches import Batch, Estimate, Inputs, Outputs
from attenergy.tasks.core.latents import HasLatents, Latents
from attenergy.tasks.core.options import options_of
from attenergy.tasks.core.token_task import TokenInstance, TokenTask
from attenergy.tasks.data.base import DataTask
from attenergy.tasks.data.datasets import from_datasets
from attenergy.tasks.data.files import is_builtin
from attenergy.tasks.data.graphs import Graphs, Nodes
from attenergy.tasks.data.images import Images
from attenergy.tasks.data.sequences import NextStep, Sequences
from attenergy.tasks.data.table import Table
from attenergy.tasks.formal.arithmetic import BracketedArithmetic
from attenergy.tasks.formal.base import Word
from attenergy.tasks.formal.dyck import Dyck
from attenergy.tasks.formal.groups import GroupWords
from attenergy.tasks.formal.listops import Expression, ListOps
from attenergy.tasks.formal.regular_languages import FormalLanguage
from attenergy.tasks.formal.string_transduction import StringTransduction
from attenergy.tasks.fuzzy.fuzzy_logic import FuzzyInstance, FuzzyLogic
from attenergy.tasks.graphs.base import GraphInstance, GraphTask
from attenergy.tasks.graphs.block_model import BlockModel
from attenergy.tasks.graphs.ground_state import GroundState
from attenergy.tasks.in_context.digits import FewShotDigits
from attenergy.tasks.in_context.episodes import EpisodeInstance, Episodes
from attenergy.tasks.in_context.gaussian_classes import FewShotGaussians
from attenergy.tasks.in_context.regression import InContextRegression, RegressionInstance
from attenergy.tasks.in_context.strokes import FewShotStrokes
from attenergy.tasks.multiple_instance import BagInstance, MultipleInstance
from attenergy.tasks.raven.instance import RavenInstance
from attenergy.tasks.raven.posterior import Posterior
from attenergy.tasks.raven.task import Raven
from attenergy.tasks.recall.copying import Copying
from attenergy.tasks.recall.denoising import Denoising, DenoisingInstance
from attenergy.tasks.recall.induction import AssociativeRecall, InductionHeads
from attenergy.tasks.recall.latch import Latch
from attenergy.tasks.recall.mad_fuzzy import FuzzyRecall
from attenergy.tasks.recall.mad_memorisation import Compression, Memorisation
from attenergy.tasks.recall.mad_recall import InContextRecall
from attenergy.tasks.recall.mqar import MQAR, MixedMQAR
from attenergy.tasks.recall.mqar_variants import CompositionalRecall, ForgettingRecall
from attenergy.tasks.recall.noisy_retrieval import NoisyRetrieval, RetrievalInstance
from attenergy.tasks.recall.stacked_recall import RecallInstance, StackedRecall
from attenergy.tasks.series.oscillators import Oscillators, SeriesInstance
from attenergy.tasks.series.waves import Waves
from attenergy.tasks.text import Text, TextWindow

__all__ = [
    "CLASSES",
    "IGNORE",
    "MQAR",
    "AssociativeRecall",
    "BagInstance",
    "Batch",
    "BlockModel",
    "BracketedArithmetic",
    "CompositionalRecall",
    "Compression",
    "Copying",
    "DataTask",
    "Denoising",
    "DenoisingInstance",
    "Dyck",
    "EpisodeInstance",
    "Episodes",
    "Estimate",
    "Expression",
    "FewShotDigits",
    "FewShotGaussians",
    "FewShotStrokes",
    "ForgettingRecall",
    "FormalLanguage",
    "FuzzyInstance",
    "FuzzyLogic",
    "FuzzyRecall",
    "GraphInstance",
    "GraphTask",
    "Graphs",
    "GroundState",
    "GroupWords",
    "HasLatents",
    "Images",
    "InContextRecall",
    "InContextRegression",
    "InductionHeads",
    "Inputs",
    "Latch",
    "Latents",
    "ListOps",
    "Memorisation",
    "MixedMQAR",
    "MultipleInstance",
    "NextStep",
    "Nodes",
    "NoisyRetrieval",
    "Oscillators",
    "Outputs",
    "Posterior",
    "Raven",
    "RavenInstance",
    "RecallInstance",
    "RegressionInstance",
    "RetrievalInstance",
    "Sequences",
    "SeriesInstance",
    "StackedRecall",
    "StringTransduction",
    "Table",
    "Task",
    "Text",
    "TextWindow",
    "TokenInstance",
    "TokenTask",
    "Waves",
    "Word",
    "from_datasets",
    "make_task",
    "needs_data",
    "reads_files",
    "register_task",
    "with_content",
    "without_files",
]

#: What `class:` of a task in a registry may name.
CLASSES: Catalogue[type[Task]] = Catalogue(
    "task class",
    Task,
    {
        "AssociativeRecall": AssociativeRecall,
        "BlockModel": BlockModel,
        "BracketedArithmetic": BracketedArithmetic,
        "CompositionalRecall": CompositionalRecall,
        "Compression": Compression,
        "Copying": Copying,
        "Denoising": Denoising,
        "Dyck": Dyck,
        "FewShotDigits": FewShotDigits,
        "FewShotGaussians": FewShotGaussians,
        "FewShotStrokes": FewShotStrokes,
        "ForgettingRecall": ForgettingRecall,
        "FormalLanguage": FormalLanguage,
        "FuzzyLogic": FuzzyLogic,
        "FuzzyRecall": FuzzyRecall,
        "Graphs": Graphs,
        "GroundState": GroundState,
        "GroupWords": GroupWords,
        "Images": Images,
        "InContextRecall": InContextRecall,
        "InContextRegression": InContextRegression,
        "InductionHeads": InductionHeads,
        "Latch": Latch,
        "ListOps": ListOps,
        "MQAR": MQAR,
        "Memorisation": Memorisation,
        "MixedMQAR": MixedMQAR,
        "MultipleInstance": MultipleInstance,
        "NextStep": NextStep,
        "Nodes": Nodes,
        "NoisyRetrieval": NoisyRetrieval,
        "Oscillators": Oscillators,
        "Raven": Raven,
        "Sequences": Sequences,
        "StackedRecall": StackedRecall,
        "StringTransduction": StringTransduction,
        "Table": Table,
        "Text": Text,
        "Waves": Waves,
    },
)

register_task = CLASSES.register


def make_task(
    name_or_spec: str | TaskSpec,
    *,
    registry: RegistryLike | None = None,
    seed: int = 0,
    split_seed: int = 0,
    **options: Any,
) -> Task:
    """Build a task from its registry name or its specification.

    Args:
        name_or_spec: a name in `registry`, or a `TaskSpec`, which is then called by its class.
        registry: where to look names up; by default the built-in registry and plug-ins.
        seed: decides the training stream.
        split_seed: decides what is held out and the evaluation sets.
        options: override the entry's own options. Besides those of its class, every task has
            `train_instances`, the size of a training set that is read again and again (0: a stream
            without end).

    Raises:
        ValueError: for an unknown name, class or option (with the nearest one), or an option's
            value out of range.

    Example:
        >>> task = attenergy.make_task("latch", length=6)
        >>> print(task.sample("train", 0))
        inputs:  1 5 4 5 3 4
        targets: . . . . . 1
    """
    if isinstance(name_or_spec, str):
        registry = given_registry(registry)
        name, spec = name_or_spec, registry.task(name_or_spec)
    else:
        name, spec = name_or_spec.class_, name_or_spec
    build = CLASSES.lookup(spec.class_)
    known = options_of(build)
    merged = {**spec.options, **options}
    for key in merged:
        check_known(f"option of {spec.class_}", key, known)
    return build(name=name, seed=seed, split_seed=split_seed, **merged)


def needs_data(spec: TaskSpec) -> bool:
    """Whether a task can be made only when the path of a user's data is given.

    Example:
        >>> registry = attenergy.load_registry(plugins=False)
        >>> needs_data(registry.tasks["table"]), needs_data(registry.tasks["raven"])
        (True, False)
    """
    return issubclass(CLASSES.lookup(spec.class_), DataTask) and not spec.options.get("path")


def with_content(spec: TaskSpec, split_seed: int = 0) -> TaskSpec:
    """The specification as a record has it: for a user's data, with what they are.

    It then says a hash of the data and their shapes, sizes and chance levels, and does not ask for
    more instances of a split than there are. Other tasks are returned as they are.

    Raises:
        ValueError: the data cannot be read or used, or are not those that it speaks of.

    Example:
        >>> registry = attenergy.load_registry(plugins=False)
        >>> with_content(registry.tasks["raven"]) == registry.tasks["raven"]  # it reads no file
        True
    """
    build = CLASSES.lookup(spec.class_)
    if not issubclass(build, DataTask):
        return spec
    options = {**spec.options, "facts": ""}
    task = make_task(spec.model_copy(update={"options": options}), split_seed=split_seed)
    assert isinstance(task, DataTask)
    known = {"content": task.content, "facts": task.facts.text()}
    training = spec.training
    rows = {
        "valid_instances": min(training.valid_instances, task.sizes["valid"]),
        "test_instances": min(training.test_instances, task.sizes["test"]),
    }
    changed = {"options": {**options, **known}, "training": training.model_copy(update=rows)}
    return spec.model_copy(update=changed)


def reads_files(spec: TaskSpec) -> bool:
    """Whether a task reads files of a user's: a text, or data that no package brings.

    Example:
        >>> registry = attenergy.load_registry(plugins=False)
        >>> reads_files(registry.tasks["table"]), reads_files(registry.tasks["raven"])
        (True, False)
    """
    build = CLASSES.lookup(spec.class_)
    if issubclass(build, DataTask):
        return not is_builtin(str(spec.options.get("path")))
    return build is Text


def without_files(spec: TaskSpec) -> TaskSpec:
    """A recorded specification with which the task reads no file that its record names.

    Of a user's data the record knows enough; of a text, Python's library takes its place, which is
    always there.

    Example:
        >>> registry = attenergy.load_registry(plugins=False)
        >>> without_files(registry.tasks["raven"]) == registry.tasks["raven"]  # it reads no file
        True
    """
    build = CLASSES.lookup(spec.class_)
    if not issubclass(build, (DataTask, Text)):
        return spec
    return spec.model_copy(update={"options": build.without_files(spec.options)})
