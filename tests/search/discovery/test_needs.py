"""What a discovery says of plug-ins and entries that others may not have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from attenergy.energies.language import FUNCTIONS
from attenergy.registry import ArgumentError, EnergySpec, Registry, load_registry
from attenergy.registry.plugins import Plugin
from attenergy.search.budgets.clock import TimeBudget
from attenergy.search.discovery.command_line import command, going_on
from attenergy.search.discovery.plan import DiscoverPlan
from attenergy.search.discovery.results.discovery import read_discovery
from attenergy.search.discovery.run import run_discovery
from attenergy.search.runs.events import Listener
from attenergy.search.runs.plugin_needs import ATTRIBUTE, PLUGINS, MissingPlugin, read_needs
from attenergy.search.storage.database import latest, open_storage
from tests.search.discovery.conftest import DiscoverPlanMaker, Forget

#: What is said of a plug-in in whichever place it is missing.
MISSING = r"the plug-in rootfun is needed \(formula function 'root'\) and not loaded here: .*root"
OLD = r"its trial 0 cannot be read \(unknown function 'root'\). If a plug-in registers that, name"


@pytest.fixture
def rooted(built_in: Registry) -> Registry:
    """A registry with an energy and a task that are not built in."""
    energy = EnergySpec.model_validate(
        {"title": "Rooted", "formula": "0.5*|xi|^2 - sum_n(root(X @ xi))", "quadratic": 1.0}
    )
    tasks = {**built_in.tasks, "cleaning": built_in.tasks["latch"]}
    return replace(built_in, energies={**built_in.energies, "rooted": energy}, tasks=tasks)


@pytest.mark.long
@pytest.mark.usefixtures("instant", "no_page")
def test_formulas_with_a_function_of_a_plug_in_say_so_wherever_they_are_opened(
    rooted: Registry, make_discovery: DiscoverPlanMaker, rootfun: Forget
) -> None:
    plan = make_discovery(
        candidates=1, seed_energies=("rooted",), held_out=("cleaning",), workers=1
    )
    folder = Path(plan.folder)
    discovery = run_discovery(plan, rooted, Listener())
    (need,) = read_needs(folder)
    assert (need.module, need.provides) == ("rootfun", {"formula function": ("root",)})
    assert discovery.command.startswith("attenergy --plugin rootfun discover ")
    assert discovery.command.endswith(" --registry registry.yaml")
    own = load_registry(folder / "registry.yaml", plugins=False)
    assert own.energies["rooted"] == rooted.energies["rooted"]
    assert own.tasks["cleaning"] == rooted.tasks["cleaning"]
    rootfun()
    with pytest.raises(MissingPlugin, match=MISSING):
        read_discovery(folder)
    again = plan.model_copy(update={"candidates": 2})
    with pytest.raises(MissingPlugin, match=MISSING):
        run_discovery(again, rooted, Listener(), resume=True)
    (folder / PLUGINS).unlink()  # another machine has the storage alone
    other = again.model_copy(update={"seed_energies": ("lse",)})
    with pytest.raises(MissingPlugin, match=f"study 'tiny': {MISSING}"):
        run_discovery(other, rooted, Listener(), resume=True)
    with open_storage(plan) as storage:  # of a discovery from before needs were written down
        study, _ = latest(storage, plan)
        assert study is not None
        study.set_user_attr(ATTRIBUTE, [])
        study.set_user_attr("identity", {**study.user_attrs["identity"], "seed_energies": ["lse"]})
    with pytest.raises(MissingPlugin, match=f"study 'tiny' cannot be resumed: {OLD}"):
        run_discovery(other, rooted, Listener(), resume=True)


@pytest.mark.long
@pytest.mark.usefixtures("instant", "no_page")
def test_a_function_that_no_formula_calls_is_needed_to_go_on_alone(
    built_in: Registry, make_discovery: DiscoverPlanMaker, rootfun: Forget
) -> None:
    plan = make_discovery(candidates=1, seed_energies=("lse",), control=0.0)
    discovery = run_discovery(plan, built_in, Listener())
    assert not any("root" in one.formula for one in discovery.population)
    assert "--plugin rootfun" in discovery.command
    assert not (Path(plan.folder) / "registry.yaml").exists()
    rootfun()
    assert read_discovery(Path(plan.folder)) == discovery
    with pytest.raises(MissingPlugin, match=MISSING):
        run_discovery(plan, built_in, Listener(), resume=True)


@pytest.mark.usefixtures("rootfun")
def test_workers_are_not_started_for_a_function_of_the_main_script(
    built_in: Registry, make_discovery: DiscoverPlanMaker
) -> None:
    FUNCTIONS.owners["root"] = Plugin("__main__", "__main__")
    plan = make_discovery(workers=2)
    with pytest.raises(ArgumentError, match="main script registers formula function 'root', and"):
        run_discovery(plan, built_in, Listener())
    assert not Path(plan.folder).exists()
    for changes in ({"workers": 0}, {"without": ("root",)}):  # these end for the time alone
        other = DiscoverPlan.model_validate({**plan.model_dump(), **changes})
        with pytest.raises(ArgumentError, match="too small"):
            run_discovery(other, built_in, Listener(), time_budget=TimeBudget(0.001, "1ms"))


def test_a_command_goes_on_from_what_lies_in_the_folder(
    make_discovery: DiscoverPlanMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = make_discovery(without=("lse", "$(x)"))
    for home in ("runs", "my studies"):
        folder = Path(home, "tiny")
        folder.mkdir(parents=True)
        (folder / "discover.json").write_text(plan.model_dump_json())
    same = command(plan)
    assert "--without 'lse,$(x)'" in same
    assert going_on(Path("runs/tiny")) == f"{same} --study tiny --resume"
    folder = Path("my studies/tiny")
    (folder / "registry.yaml").touch()
    (folder / PLUGINS).write_text(
        '[{"name": "a", "version": "1", "module": "a.b"}, '
        '{"name": "b", "version": "", "module": "__main__"}, '
        '{"name": "c", "version": "", "module": "c; rm"}]'
    )
    assert going_on(folder) == (
        same.replace("attenergy", "attenergy --plugin a.b")
        + " --registry 'my studies/tiny/registry.yaml' --study tiny --folder 'my studies' --resume"
    )
    (folder / "discover.json").write_text("{")
    with pytest.raises(ArgumentError, match=r"discover\.json: cannot be read as a plan: "):
        going_on(folder)
