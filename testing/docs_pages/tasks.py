"""The page of `docs/` on tasks, made from the registry."""

from __future__ import annotations

from attenergy.registry import Registry
from attenergy.tasks import Task, make_task, needs_data
from attenergy.testing.docs_pages.markdown import table

_HEAD = """\
# The tasks

Made from the registry by `make docs`; a test compares. An instance depends on the seed, the split
and its index alone, and train, valid and iid share none. Most tasks generate themselves; those of
your own data are in [own_data.md](own_data.md). A name leads to a page of its own, with a sample;
[the gallery](gallery.md) shows all.
`attenergy tasks show NAME` gives ceilings, model and training, `attenergy tasks sample NAME` one
instance, `attenergy compare --task NAME --sweep OPTION` goes through the values of a sweep.

*Scored* is the metric and, after the colon, the split that stands for the task in a comparison of
several. *Chance* is that metric's value for guessing. *Seconds* are a typical run of softmax
on one core, measured or extrapolated from timed steps.
"""

#: Splits that outputs call by another name: `iid` stands beside `ood`.
_SHOWN = {"test": "iid"}


def tasks_page(registry: Registry) -> str:
    """Write the page: bundles, then one row for every task."""
    bundles = [
        [f"`{name}`", spec.title, ", ".join(f"[`{task}`](tasks/{task}.md)" for task in spec.tasks)]
        for name, spec in registry.bundles.items()
    ]
    header = ["task", "what", "reads", "answers", "scored", "chance", "sweeps", "seconds", "source"]
    own = [name for name, spec in registry.tasks.items() if needs_data(spec)]
    rows = [_row(name, registry) for name in registry.tasks if name not in own]
    parts = [
        _HEAD,
        "## Bundles\n",
        table(["bundle", "what it is for", "tasks"], bundles),
        "\n## Tasks\n",
        table(header, rows),
        "\n## Tasks of your own data\n",
        table(["task", "what"], [[f"[`{n}`](tasks/{n}.md)", registry.tasks[n].title] for n in own]),
    ]
    return "\n".join(parts) + "\n"


def _row(name: str, registry: Registry) -> list[str]:
    spec, task = registry.tasks[name], make_task(name, registry=registry)
    return [
        f"[`{name}`](tasks/{name}.md)",
        spec.title,
        _reads(task),
        _answers(task),
        f"{task.metric}: {_SHOWN.get(task.headline, task.headline)}",
        f"{task.chance[task.metric]:.3g}",
        ", ".join(spec.sweeps),
        "" if spec.seconds is None else f"{spec.seconds:,.0f}",
        spec.reference,
    ]


def _answers(task: Task) -> str:
    noun = "class" if task.outputs.kind == "class" else "number"
    more = "" if task.outputs.size == 1 else ("es" if noun == "class" else "s")
    return f"{task.outputs.size} {noun}{more}"


def _reads(task: Task) -> str:
    inputs = task.inputs
    what = {
        "vector": f"vectors of {inputs.size}",
        "token": f"tokens below {inputs.size}",
        "memory": f"patterns of {inputs.size}",
    }[inputs.kind]
    each = f" x {inputs.channels}" if inputs.channels > 1 else ""
    return f"{inputs.length} {what}{each}"
