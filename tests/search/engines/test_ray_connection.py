"""Reaching a Ray cluster, or starting one."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from attenergy.search.engines.base import Resources
from attenergy.search.engines.ray import cluster as ray_cluster
from attenergy.search.engines.ray.executor import RayExecutor


def test_a_cluster_that_wants_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ConnectionError("Failed to connect to Ray cluster")
    error.__cause__ = RuntimeError("ray.exceptions.AuthenticationError: InvalidAuthToken")

    def refuse(**_: Any) -> None:
        raise error

    pytest.importorskip("ray")
    monkeypatch.setattr("ray.init", refuse)
    with socket.create_server(("127.0.0.1", 0)) as there:
        resources = Resources(engine="ray", address=f"127.0.0.1:{there.getsockname()[1]}")
        with pytest.raises(ValueError, match="asks for a token; set RAY_AUTH_MODE=token"):
            ray_cluster.connected(resources)


def test_a_machine_on_which_ray_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy one: Ray's own error has no kind."""
    pytest.importorskip("ray")
    calls: list[str] = []

    def late(**_: Any) -> None:
        raise Exception("The current node timed out during startup.\nThis could happen")

    monkeypatch.setattr("ray.init", late)
    monkeypatch.setattr("ray.shutdown", lambda: calls.append("shutdown"))
    with pytest.raises(ValueError, match=r"^cannot start Ray on this machine: The .*startup\.$"):
        ray_cluster.connected(Resources(engine="ray", address="local"))
    assert calls == ["shutdown"]


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "no-such-host.invalid:6379"])
def test_a_cluster_that_does_not_answer(tmp_path: Path, address: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = address.format(port=port)
    with pytest.raises(ValueError, match=f"cannot reach a Ray cluster at {address}: "):
        RayExecutor(Resources(engine="ray", address=address), tmp_path)


def test_the_address_that_a_killed_cluster_left(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ray itself would try it for minutes.
    services = pytest.importorskip("ray._private.services")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        stale = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr(services, "canonicalize_bootstrap_address", lambda address: stale)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.init", lambda **options: addresses.append(options["address"]))
    addresses: list[str] = []
    ray_cluster.connected(Resources(engine="ray"))
    assert addresses == ["local"]
    with pytest.raises(ValueError, match="cannot reach a Ray cluster at auto: "):
        ray_cluster.connected(Resources(engine="ray", address="auto"))
    with socket.create_server(("127.0.0.1", 0)) as there:
        stale = f"127.0.0.1:{there.getsockname()[1]}"
        ray_cluster.connected(Resources(engine="ray"))
    assert addresses == ["local", stale]
