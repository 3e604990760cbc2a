"""The plans of the searches that are struck, and what records and study say after all the kills."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import create_engine, text

from attenergy.search.planning.plan import SearchPlan
from attenergy.search.runs.records import RunStore
from attenergy.search.storage.database import latest, open_storage


def make_plan(arguments: argparse.Namespace, folder: str, address: str | None) -> SearchPlan:
    """Small real runs of a second or so."""
    return SearchPlan(
        study=f"faults-{os.getpid()}",  # a database may hold those of other days
        folder=folder,
        task="stacked-recall",
        task_options={"vocabulary": 16, "pairs": 4},
        variants=("softmax", "lse", "linear"),
        trials=arguments.trials,
        workers=arguments.workers,
        finalists=1,
        seeds=2,
        final_budget="none",
        train_steps=arguments.train_steps,
        pruner="median",
        storage=arguments.storage,
        engine="ray" if address else "local",
        address=address,
        cpus_per_trial=1.0,
        trial_memory="800M",  # type: ignore[arg-type] # a validator reads it
        heartbeat=1,
        fix={"valid_instances": 32, "test_instances": 32, "heads": 1, "evaluate_every": 20},
    )


def several(plan: SearchPlan, drivers: int) -> list[SearchPlan]:
    """The plans of so many drivers; more than one join, each with a folder of its own."""
    if drivers == 1:
        return [plan]
    shared = {
        "storage": plan.storage or f"sqlite:///{Path(plan.folder) / 'shared.db'}",
        "join": True,
        "heartbeat": 2,
    }
    folders = [{"folder": str(Path(plan.folder) / f"driver{n}")} for n in range(drivers)]
    return [plan.model_copy(update={**shared, **folder}) for folder in folders]


def cut_connections(url: str) -> None:
    """Let a PostgreSQL server end every connection to a database but this one."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        )
    engine.dispose()


def account(plans: list[SearchPlan]) -> dict[str, Any]:
    """Count what the records and the study say, and what does not agree."""
    plan = plans[0]
    known = [{record.key for record in RunStore(each.folder).all()} for each in plans]
    lines = (Path(plan.folder) / "records.jsonl").read_text().splitlines()
    keys = Counter(json.loads(line)["key"] for line in lines)
    store = RunStore(plan.folder)
    with open_storage(plan) as storage:
        study, _ = latest(storage, plan)
        assert study is not None
        trials = study.get_trials()
        finals: list[FrozenTrial] = []
        if plan.finalists:
            finals = optuna.load_study(study_name=f"{plan.study}@finals", storage=storage).trials
    by_run = {trial.user_attrs.get("run", ""): trial for trial in trials}
    counted = {run: trial for run, trial in by_run.items() if store.get(run) is not None}
    wrong = [
        run
        for run, trial in counted.items()
        if trial.state == TrialState.COMPLETE
        and [trial.value] != [store.get(run).metrics["valid"]["accuracy"]]  # type: ignore[union-attr]
    ]
    records = store.all()
    shared = {t.user_attrs["run"] for t in (*trials, *finals) if "record" in t.user_attrs}
    return {
        "planned": plan.trials,
        "counted": len(counted),
        "lost": plan.trials - len(counted),
        "not_in_every_folder": len(set.union(*known) - set.intersection(*known)),
        "not_shared": len(set.union(*known) - shared) if plan.join else 0,
        "recorded_twice": sum(count - 1 for count in keys.values()),
        "left_running": sum(not t.state.is_finished() for t in (*trials, *finals)),
        "wrong_values": len(wrong),
        "statuses": Counter(r.status for r in records if r.purpose == "trial"),
        "failures": Counter(_kind(r.reason) for r in records if r.status == "failed"),
        "finalists": sum(r.purpose == "final" for r in records),
        "runs_retried": sum("retried once" in r.reason for r in records),
        "trials_interrupted": sum("retry_of" in t.user_attrs for t in trials),
    }


def _kind(reason: str) -> str:
    return re.sub(r"\d+", "#", reason.split(";", maxsplit=1)[0])


def summed(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """All batches together: numbers and counts are added up."""
    total: dict[str, Any] = {}
    for run in runs:
        for name, value in run.items():
            if isinstance(value, dict) and all(isinstance(n, int) for n in value.values()):
                total[name] = dict(Counter(total.get(name, {})) + Counter(value))
            elif isinstance(value, (int, float)) and name not in _SETTINGS:
                total[name] = round(total.get(name, 0) + value, 1)
    return total


_SETTINGS = ("seed", "drivers", "workers", "ray_nodes")
