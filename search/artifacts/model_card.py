"""The model card of an export: what it is, how good it is, how it was made, how to load it."""

from __future__ import annotations

import json

from attenergy.registry import EnergySpec, MixerSpec, OwnModel, StackSpec
from attenergy.registry.printable import markdown, markdown_code, markdown_json, printable
from attenergy.registry.stacks import stack_text
from attenergy.search.results import formats
from attenergy.search.results.leaderboard import Leaderboard
from attenergy.search.results.ranking import Row, column_of
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.tasks import Task


def model_card(
    record: RunRecord, task: Task, name: str, board: Leaderboard | None = None, note: str = ""
) -> str:
    """The card as Markdown.

    Args:
        record: the run whose weights are exported.
        task: its task, for chance and ceilings.
        name: of the export's folder, for the lines that load it.
        board: its study's leaderboard, for the means over seeds.
        note: anything to be said about the weights.
    """
    config = record.config
    rows = board.rows if board is not None else ()
    row = next((row for row in rows if record.key in row.keys), None)
    parts = [
        f"# {markdown(config.variant)} trained on {markdown(config.task)}",
        markdown(
            f"{config.layer.title}{_source(config.layer.reference)} as the attention of "
            f"{_model(config.own_model)}, trained by attenergy on the task: "
            f"{config.task_spec.title}{_source(config.task_spec.reference)}."
        ),
        f"```python\n{_loading(name, config)}\n```",
        *_formulas(config),
        "## Results",
        formats.markdown_table(*_results(record, task, row)),
        _seeds(row),
        *([note] if note else []),
        "## How it was made",
        "\n".join(f"- {fact}" for fact in _facts(record)),
        "The whole configuration:",
        markdown_json(_configuration(record)),
        "Licence: attenergy, which loads this folder, is under Apache-2.0. The training data were "
        "generated, not collected. These weights belong to whoever trained them.",
    ]
    return "\n\n".join(parts) + "\n"


def _source(reference: str) -> str:
    return f" ({reference})" if reference else ""


def _model(own: OwnModel | None) -> str:
    return "a transformer" if own is None else f"the model that {own.build} builds"


def _loading(name: str, config: RunConfig) -> str:
    shown = _text(name)
    if config.own_model is not None:
        module = _text(config.own_model.build.partition(":")[0])
        return (
            "import attenergy\n"
            "# the module that builds the model has to be on Python's path\n"
            f'model = attenergy.load({shown}, part="model", plugins=[{module}])\n'
            f"layer = attenergy.load({shown}, plugins=[{module}])  # its first attention layer"
        )
    width = config.model.width
    return (
        "import attenergy\n"
        f"layer = attenergy.load({shown})  # the attention of the first block, (B, L, {width}) -> "
        f"(B, L, {width})\n"
        f'model = attenergy.load({shown}, part="model")  # the whole transformer'
    )


def _text(name: str) -> str:
    """A text as Python writes it, in a code block of Markdown."""
    return json.dumps(name).replace("`", "\\u0060").replace("<", "\\u003c")


def _formulas(config: RunConfig) -> list[str]:
    """What every energy of the model is; of a stack, each by its name."""
    if not isinstance(config.layer, StackSpec):
        return _formula(config.layer)
    lines = [
        "The layers of its blocks, from the first: "
        + markdown(stack_text(config.layer, None if config.own_model else config.model.layers))
    ]
    for name, layer in config.layer.entries.items():
        lines += [f"{markdown(name)}: {markdown(layer.title)}{markdown(_source(layer.reference))}"]
        lines += _formula(layer)
    return lines


def _formula(layer: EnergySpec | MixerSpec) -> list[str]:
    if not isinstance(layer, EnergySpec):
        return ["It is a mixer: its update is written by hand, and no energy is claimed."]
    from attenergy.energies import describe

    try:
        latex = printable(str(describe(layer)["latex"]), lines=False).replace("<", "\\lt ")
    except ValueError:  # its class belongs to a plug-in that is not installed here
        latex = ""
    shown = (
        f"$$E(\\xi; X) = {latex}$$"
        if latex
        else f"Energy: class {markdown_code(str(layer.class_))}"
    )
    return [shown, *([markdown_code(layer.formula)] if layer.formula else [])]


def _results(record: RunRecord, task: Task, row: Row | None) -> tuple[list[str], list[list[str]]]:
    several = row is not None and len(row.seeds) > 1
    header = ["split", f"{task.metric}, this run"]
    header += ["mean over seeds"] if several else []
    rows = []
    for split, values in record.metrics.items():
        if split not in task.splits or task.metric not in values:
            continue
        ceiling = task.ceiling(split)
        column = column_of(task, split)
        mean = [formats.score(row.scores.get(column or ""))] if row is not None and several else []
        best = (
            formats.NOTHING if ceiling is None else formats.estimate(ceiling.value, ceiling.error)
        )
        chance = formats.number(task.chance.get(task.metric))
        rows.append([formats.split(split), f"{values[task.metric]:.4f}", *mean, chance, best])
    return [*header, "chance", "ceiling"], rows


def _seeds(row: Row | None) -> str:
    if row is None or len(row.seeds) < 2:
        return "One run of one seed: repeat it over seeds before comparing it with anything."
    seeds = ", ".join(map(str, row.seeds))
    return (
        f"Mean and half of the 95 % interval over the seeds {seeds}; the run exported here is the "
        "one of them with the best validation score."
    )


def _facts(record: RunRecord) -> list[str]:
    config, training, model = record.config, record.config.training, record.config.model
    budget = f"{training.steps} steps"
    if config.pause is not None:
        budget = f"{config.pause} of {budget}, where it paused,"
    if config.seconds is not None:
        budget = f"{config.seconds:g} seconds"
    versions = [f"{name} {formats.version(text)}" for name, text in record.versions.items()]
    size = (
        f"{formats.counted(model.layers, 'block')} of width {model.width}, "
        f"{formats.counted(model.heads, 'head')}, "
    )
    return [
        *(f"model: {markdown_code(text)}" for text in formats.models([config])),
        f"settings of the layer: {markdown_code(formats.settings(dict(config.settings)))}",
        f"size: {size if config.own_model is None else ''}"
        f"{formats.count(record.cost.get('parameters'))} parameters, "
        f"{formats.count(record.cost.get('forward_flops'))} FLOPs for one instance",
        f"training: {budget} of {training.batch_size} instances, learning rate "
        f"{training.learning_rate:g}, seed {config.seed}",
        f"run: {markdown_code(record.key)}",
        markdown(f"versions: {', '.join(versions)}"),
    ]


def _configuration(record: RunRecord) -> str:
    config = record.config
    shown = {
        "variant": config.variant,
        "settings": config.settings,
        "task": config.task,
        "task_options": config.task_spec.options,
        "model": config.model.model_dump(mode="json"),
        **({} if config.own_model is None else {"own_model": config.own_model.model_dump()}),
        "training": config.training.model_dump(mode="json"),
        "seed": config.seed,
        "split_seed": config.split_seed,
    }
    return json.dumps(shown, indent=2)
