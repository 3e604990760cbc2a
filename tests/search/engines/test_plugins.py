"""Plug-ins of the driver in the processes that train."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import pytest

from attenergy.registry import ArgumentError, MixerSpec, PluginNeed
from attenergy.registry.plugins import _STATE, named_plugins
from attenergy.search.engines.worker import use_plugins
from attenergy.search.runs.config import RunConfig
from attenergy.search.runs.plugin_needs import check_reaches_workers
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


def test_what_the_main_script_registers_is_not_sent_to_workers() -> None:
    need = PluginNeed(
        name="__main__", version="", module="__main__", provides={"mixer class": ("Own",)}
    )
    with pytest.raises(ArgumentError, match="main script registers mixer class 'Own', and worker"):
        check_reaches_workers([need])
    check_reaches_workers([need.model_copy(update={"module": "my_package"})])
