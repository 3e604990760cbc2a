"""The user attributes of trials, and what they say of who chose a trial's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attenergy.search.runs.config import Proposer

RUN = "run"  # key of the trial's run
HASH = "config_hash"
CONFIG = "config"  # the whole run as JSON, of a finalist's trial
REASON = "reason"
DEFAULT = "default_of"  # the variant whose defaults a trial was given
WISH = "wish"  # hash of the enqueued parameters that a trial was given
CONTROL = "control"  # whether a trial was proposed at random, whatever the sampler
MATCHED = "matched"  # the variant that had fewer trials than it is to have
RETRIED = "retry_of"  # number of the interrupted trial that a trial repeats
ENQUEUED = "enqueued"  # the parameters that a trial was given
RECORD = "record"  # the run's record as a line of JSON, where the storage is not the folder's own

_PROPOSERS: dict[str, Proposer] = {
    DEFAULT: "default",
    WISH: "enqueued",
    CONTROL: "control",
    MATCHED: "matched",
}


def proposer(attributes: Mapping[str, Any]) -> Proposer:
    """Who chose the parameters of the trial with these user attributes."""
    return next((who for name, who in _PROPOSERS.items() if name in attributes), "sampler")
