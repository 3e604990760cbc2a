"""The executor that a plan asks for; only what it needs is imported."""

from __future__ import annotations

from pathlib import Path

from attenergy.search.engines.base import Executor, Resources


def make_executor(resources: Resources, folder: Path) -> Executor:
    """Make the executor that a plan asks for.

    Args:
        resources: the engine and its size.
        folder: the study's folder, where weights are saved.

    Raises:
        ValueError: the cluster lacks what every run is to be given, or Ray is not installed.
    """
    if resources.engine == "ray":
        from attenergy.search.engines.ray.executor import RayExecutor

        return RayExecutor(resources, folder)
    checkpoints = resources.checkpoints(folder)
    if resources.workers == 0:
        from attenergy.search.engines.in_process import InProcess

        return InProcess(folder, resources.limits, checkpoints)
    from attenergy.search.engines.process_pool import ProcessPool

    return ProcessPool(resources.workers, folder, resources.limits, checkpoints)
