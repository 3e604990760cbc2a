"""Fixtures shared by all rooms."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from attenergy.registry import load_registry

# The same examples on every machine, and none that fails because the machine is busy.
settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")

#: One entry of each kind: with softmax weights, differentiated by autograd alone, with states that
#: act on each other, on a graph of nodes, with sparse weights, and a mixer.
KINDS = ("lse", "elliptical", "energy_transformer", "spherical_spins", "sparsemax", "softmax")

#: Where a file that has to be on the disk is there at once; free bytes that the suite wants of it.
IN_MEMORY, ROOM = Path("/dev/shm"), 4 << 30


def pytest_configure(config: pytest.Config) -> None:
    """Choose where temporary folders are; hear signals that `nohup` and `&` ignore.

    Records and databases wait for the disk at every run, of which the tests have thousands.
    """
    config.addinivalue_line(
        "markers",
        "by_kind(*names): of the entries in the parameter `name`, the fast run takes these alone "
        "(one of each kind if none is named); the others are slow",
    )
    if os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free > ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))
    for name, handler in (
        ("SIGINT", signal.default_int_handler),
        ("SIGTERM", signal.SIG_DFL),
        ("SIGHUP", signal.SIG_DFL),
    ):
        number = getattr(signal, name, None)  # there is no SIGHUP on Windows
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect the tests without looking for garbage, and never look at them for it afterwards.

    They and what they import are a million objects, at which every full collection would look.
    What tests leave behind is looked for less often than Python does by itself.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)


@pytest.hookimpl(tryfirst=True)  # before cases are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long tests, so that none of them is left for one process at the end."""
    for item in items:
        mark = item.get_closest_marker("by_kind")
        if mark is not None and item.callspec.params["name"] not in (mark.args or KINDS):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(pytest.mark.skip("needs an NVIDIA GPU"))
    if find_spec("sklearn") is None:
        tasks = load_registry(plugins=False).tasks.items()
        absent = {n for n, t in tasks if str(t.options.get("path")).startswith("sklearn:")}
        for item in items:
            if getattr(item, "callspec", None) and item.callspec.params.get("name") in absent:
                item.add_marker(pytest.mark.skip("needs scikit-learn, of the extra `data`"))


@pytest.fixture
def work() -> Callable[[int], AbstractContextManager[None]]:
    """`with work(n)` fails if its block calls more than n Python functions.

    That is a measure of what something costs that neither a processor nor its load changes.
    """

    @contextmanager
    def limited(most: int) -> Iterator[None]:
        calls = 0

        def count(_frame: object, event: str, _argument: object) -> None:
            nonlocal calls
            calls += event == "call"

        sys.setprofile(count)
        try:
            yield
        finally:
            sys.setprofile(None)
        assert calls <= most, f"{calls:,} calls; at most {most:,} were expected"

    return limited


Write = Callable[[str, str], None]


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """`own_module(name, code)` puts a module on Python's path; it is not known after the test."""
    from attenergy.attention.integrations.model_builders import MODELS
    from attenergy.registry.plugins import _STATE

    place = tmp_path / "on_path"
    place.mkdir()
    monkeypatch.syspath_prepend(str(place))

    def forget() -> None:
        MODELS.clear()
        MODELS.owners.clear()
        for state in (_STATE.files, _STATE.failures, _STATE.named):
            state.clear()

    before: dict[str, Any] = {}  # modules of these names, if there are any

    def write(name: str, code: str) -> None:
        module = sys.modules.pop(name, None)
        before.setdefault(name, module)  # what is written again was the test's own
        (place / f"{name}.py").write_text(code)
        forget()

    yield write
    forget()
    for name, module in before.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module


Golden = Callable[[str], dict[str, np.ndarray]]


#: Threads of PyTorch: one, unless the environment asks for more (`make test-processors` does).
THREADS = int(os.environ.get("OMP_NUM_THREADS") or "1")


@pytest.fixture(autouse=True)
def _plugins_as_they_were() -> Iterator[None]:
    """What a test names or registers is unknown to the next one, in any order of the tests."""
    from attenergy.registry import CATALOGUES
    from attenergy.registry.plugins import _STATE

    states: tuple[dict[Any, Any], ...] = (_STATE.named, _STATE.failures)
    before = [dict(state) for state in states]
    owners = {name: set(table.owners) for name, table in CATALOGUES.items()}
    yield
    for state, entries in zip(states, before, strict=True):
        state.clear()
        state.update(entries)
    for kind, table in CATALOGUES.items():
        for name in set(table.owners) - owners.get(kind, set()):
            table.pop(name, None)
            table.owners.pop(name, None)


@pytest.fixture(autouse=True)
def _fixed_threads_and_seed() -> None:
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def golden() -> Golden:
    """Reader of the reference arrays: `golden("sraven_rules")` is a dict of numpy arrays."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "golden"
    folder = Path(os.environ.get("ATTENERGY_GOLDEN", beside))

    def read(name: str) -> dict[str, np.ndarray]:
        path = folder / f"{name}.npz"
        if not path.is_file():
            pytest.skip(f"reference arrays {path.name} are absent (set ATTENERGY_GOLDEN)")
        with np.load(path, allow_pickle=False) as data:
            return {key: data[key] for key in data.files}

    return read


@pytest.fixture(scope="session")
def named() -> Callable[[object], AbstractContextManager[None]]:
    """`with named(case):` in a test that goes over many small cases: one that fails is named."""

    @contextmanager
    def naming(case: object) -> Iterator[None]:
        try:
            yield
        except (Exception, pytest.fail.Exception) as error:
            error.add_note(f"in the case {case}")
            raise

    return naming
