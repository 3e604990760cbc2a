"""The Ray cluster as a whole: is it there, does it answer, how many runs has it room for?"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from importlib.util import find_spec
from typing import Any

from attenergy.registry import ArgumentError, AttenergyError
from attenergy.search.engines.base import Resources


class NoRoom(AttenergyError, ValueError):
    """The cluster lacks what a run was to be given."""

    topic = "cluster"


class ClusterLost(ConnectionError):
    """The cluster has gone while runs went on."""


def lost(what: str) -> ClusterLost:
    """The error, and what can be done about it."""
    return ClusterLost(f"{what}; finished runs are kept, and --resume goes on from there")


def connected(resources: Resources) -> Any:
    """The module `ray`, connected to the cluster; ValueError if it is not there."""
    if find_spec("ray") is None:
        raise ArgumentError(
            "the engine ray needs Ray: pip install attenergy[ray]", topic="missing-package"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray
    from ray._private import worker

    worker._worker_logs_enabled = False  # else Ray writes pages to the output stream at every death
    before = signal.getsignal(signal.SIGTERM)
    address = resources.address or os.environ.get("RAY_ADDRESS") or None
    try:
        address = _reachable(address)
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if address == "local" else None,
        )
    except Exception as error:  # a node that does not start raises one without a kind
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if "Authentication" in f"{type(error)} {error.__cause__}":
            reason = "it asks for a token; set RAY_AUTH_MODE=token and give the token of its nodes"
        if address == "local":
            ray.shutdown()  # what of it has started
            text = f"cannot start Ray on this machine: {reason}"
        else:
            text = f"cannot reach a Ray cluster at {address}: {reason}"
        raise ArgumentError(text, topic="cluster") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray has put its own there
    return ray


def _reachable(address: str | None) -> str:
    """Where to connect to; `local` for a new cluster, if none is asked for and none is here."""
    if address not in {None, "auto"}:
        _check_answers(address)
        return str(address)
    from ray._private import services

    find: Any = services.canonicalize_bootstrap_address
    running: str | None = find(address)
    if address is None and (running is None or not answers(running)):
        return "local"  # a cluster that was killed leaves its address behind
    _check_answers(running)
    return str(running)


def answers(address: str) -> bool:
    """Whether somebody listens at `host:port`; True for any other kind of address."""
    try:
        _check_answers(address, timeout=2.0)
    except OSError:
        return False
    return True


def _check_answers(address: str | None, timeout: float = 10.0) -> None:
    # Ray itself asks for minutes before it gives up.
    host, colon, port = (address or "").rpartition(":")
    if colon and "/" not in host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=timeout).close()


def places(resources: Resources, nodes: list[dict[str, float]]) -> int:
    """How many runs can go on at a time on nodes that have so much of everything."""
    wanted = {"CPU": resources.cpus_per_trial, "GPU": resources.gpus_per_trial}
    return sum(
        min(int(node.get(name, 0) / share + 1e-9) for name, share in wanted.items() if share)
        for node in nodes
    )


def check_room(resources: Resources, nodes: list[dict[str, float]]) -> int:
    """The same, but NoRoom if that is none, or less than the resources."""
    room, least = places(resources, nodes), max(1, resources.workers)
    if room < least:
        wanted = {"CPU": resources.cpus_per_trial, "GPU": resources.gpus_per_trial}
        has = ", ".join(f"{sum(node.get(name, 0) for node in nodes):g} {name}s" for name in wanted)
        each = " and ".join(f"{share:g} {name}" for name, share in wanted.items() if share)
        raise NoRoom(
            f"{least} runs at a time with {each} each do not fit the Ray cluster, which has {has} "
            f"on {len(nodes)} nodes: room for {room}"
        )
    return room


def room_message(room: int, size: int) -> str:
    """What to say when the number of runs that there is room for has changed.

    Args:
        room: runs at a time that there is room for.
        size: runs at a time that are wanted.
    """
    if room == 0:
        wait = "waiting for a node (Ctrl-C stops, --resume goes on)"
        return f"the cluster has no room for any run now; {wait}"
    if room < size:
        return f"the cluster has room for {room} of {size} runs at a time now; going on with these"
    return f"the cluster has room for all {size} runs at a time again"
