"""Plug-ins of the driver in the processes that train."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from attenergy.registry import ArgumentError, MixerSpec, PluginNeed
from attenergy.registry.plugins import _STATE, named_plugins
from attenergy.search.engines.worker import use_plugins
from attenergy.search.runs.config import RunConfig
from attenergy.search.runs.plugin_needs import (
    PLUGINS,
    check_needs,
    check_reaches_workers,
    modules_of,
    read_needs,
    upgrades,
    write_needs,
)
from attenergy.search.training.train import train


@pytest.fixture(autouse=True)
def no_plugins() -> Iterator[None]:
    with warnings.catch_warnings():
        yield
    for state in (_STATE.failures, _STATE.named):
        state.clear()


def test_a_run_says_that_a_plugin_of_the_driver_is_not_there(
    make_config: Callable[..., RunConfig],
) -> None:
    layer = MixerSpec.model_validate({"title": "Far", "class": "FarAway"})
    use_plugins(("far_away",))
    assert named_plugins() == ("far_away",)
    names = {plugin.name for plugin in _STATE.failures}
    assert "far_away" not in names  # it is imported when something is missing
    record = train(make_config().model_copy(update={"layer": layer}))
    assert record.status == "failed"
    assert "no mixer class 'FarAway' (plug-in 'far_away' is left out: there is no" in record.reason


def test_an_upgrade_between_two_sessions_is_reported(tmp_path: Path) -> None:
    need = PluginNeed(name="kit", version="1.5", module="kit", provides={"task class": ("Own",)})
    newer = need.model_copy(update={"version": "2.0"})
    assert upgrades(tmp_path, [need]) == []
    write_needs(tmp_path, [need])
    assert upgrades(tmp_path, [need]) == []
    assert upgrades(tmp_path, [newer]) == [
        "the plug-in kit was 1.5 and is 2.0 now: runs from before may not be comparable"
    ]
    write_needs(tmp_path, [newer])
    assert read_needs(tmp_path) == [newer]
    more = newer.model_copy(update={"provides": {"task class": ("More",), "domain": ("d",)}})
    write_needs(tmp_path, [more])  # of another part of the study: what was needed still is
    (both,) = read_needs(tmp_path)
    assert both.provides == {"task class": ("Own", "More"), "domain": ("d",)}
    (tmp_path / PLUGINS).write_text("[3]")
    with pytest.raises(ArgumentError, match="cannot be read as a list of plug-ins: 0: "):
        check_needs(tmp_path)


def test_what_the_main_script_registers_is_not_sent_to_workers() -> None:
    need = PluginNeed(
        name="__main__", version="", module="__main__", provides={"mixer class": ("Own",)}
    )
    with pytest.raises(ArgumentError, match="main script registers mixer class 'Own', and worker"):
        check_reaches_workers([need])
    check_reaches_workers([need.model_copy(update={"module": "my_package"})])


def test_a_command_names_modules_and_nothing_else() -> None:
    modules = ("kit", "__main__", "a.b:C", "kit", "x; rm", "--debug", "")
    needs = [PluginNeed(name=module, version="", module=module) for module in modules]
    assert modules_of(needs) == ["kit", "a.b:C"]
