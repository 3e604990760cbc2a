"""The parts of a page that show how an entry is used: code that the tests of the pages run."""

from __future__ import annotations

from attenergy.energies import Energy
from attenergy.testing.docs_pages.entries.facts import Facts
from attenergy.testing.docs_pages.markdown import fence

#: The tests run these commands with few steps, trials and seeds, see tests/docs/small.py.
_SMALL = "run: small slow"


def own_name(name: str) -> str:
    """What a copy of an entry is called."""
    return f"my_{name}"


def energy_code(name: str, energy: Energy) -> str:
    """An energy by itself, and a layer of it."""
    start = "torch.randn(4, 8)"
    states = start if not energy.domain.constrained else f"energy.domain.from_real({start})"
    lines = ["import torch", "", "import attenergy", ""]
    lines += [f'energy = attenergy.make_energy("{name}", dim=8)', f"xi = {states}"]
    if energy.reads_patterns:
        lines += ["X = torch.randn(6, 8)", f"value = energy(xi, X)  # {_shape(energy)}"]
    else:
        lines += [f"value = energy(xi, xi)  # {_shape(energy)}; it reads the states alone"]
    patterns = "X" if energy.reads_patterns else "xi"
    lines += [f"rested = attenergy.relax(energy, xi, {patterns}, steps=3).state  # (4, 8)", ""]
    lines += [f'layer = attenergy.EnergyAttention(embed_dim=32, num_heads=4, energy="{name}")']
    lines += ["y = layer(torch.randn(2, 9, 32))  # (2, 9, 32)"]
    return fence("\n".join(lines), "python")


def _shape(energy: Energy) -> str:
    return "one number for all states" if energy.states_interact else "(4,), a number for a state"


def mixer_code(name: str, needs_length: bool) -> str:
    """A mixer as a layer."""
    length = ", length=16" if needs_length else ""
    return fence(
        "import torch\n\nimport attenergy\n\n"
        f'layer = attenergy.make_mixer("{name}", embed_dim=32, num_heads=4{length})\n'
        "y = layer(torch.randn(2, 9, 32))  # (2, 9, 32)",
        "python",
    )


def copied(facts: Facts, kind: str, name: str) -> str:
    """The entry as a file of one's own, and a search with it."""
    own = own_name(name)
    file = f"{own}.yaml"
    entry = fence(
        f"version: 1\n{kind}:\n  {own}:\n{facts.entries[kind][name]}", "yaml", f"file: {file}"
    )
    return (
        "The entry, to copy and change:\n\n"
        f"{entry}\n{_loaded(kind, own, file)}\n"
        f"{_commands(kind, own, file)}"
    )


def _loaded(kind: str, own: str, file: str) -> str:
    code = f'registry = attenergy.load_registry("{file}")\n'
    if kind == "energies":
        code += f'energy = attenergy.make_energy("{own}", dim=8, registry=registry)'
    else:
        code += f'spec = registry.mixers["{own}"]'
    return fence(code, "python")


def _commands(kind: str, own: str, file: str) -> str:
    lines = [f"attenergy energies check {file}:{own}"] if kind == "energies" else []
    lines += [
        f"attenergy search --task raven-small --registry {file} --energies softmax,{own} "
        "--trials 20"
    ]
    return fence("\n".join(lines), "sh", _SMALL)


def task_code(name: str) -> str:
    """A task in Python."""
    return fence(
        "import attenergy\n\n"
        f'task = attenergy.make_task("{name}")\n'
        'batch = task.batch("train", 0, 2)\n'
        "print(batch.inputs.shape, batch.targets.shape)",
        "python",
    )


def task_commands(name: str, sweep: str | None) -> str:
    """A task on the command line."""
    lines = [
        f"attenergy tasks show {name}",
        f"attenergy tasks sample {name}",
        f"attenergy compare --task {name} --variants softmax,linear,hyla,lse --seeds 5",
        f"attenergy search --task {name} --trials 50",
    ]
    if sweep:
        lines.append(
            f"attenergy compare --task {name} --variants softmax,lse --seeds 5 --sweep {sweep}"
        )
    return fence("\n".join(lines), "sh", _SMALL)
