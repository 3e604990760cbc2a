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
EARLIER = "earlier"  # hash of the configuration of an earlier study that a trial was given
MATCHED = "matched"  # the variant that had fewer trials than it is to have
RETRIED = "retry_of"  # number of the interrupted trial that a trial repeats
ENQUEUED = "enqueued"  # the parameters that a trial was given
BEYOND = "beyond"  # costs beyond the limits; a trial that has no run was not trained for them
RECORD = "record"  # the run's record as a line of JSON, where the storage is not the folder's own

_PROPOSERS: dict[str, Proposer] = {
    DEFAULT: "default",
    WISH: "enqueued",
    CONTROL: "control",
    MATCHED: "matched",
    EARLIER: "earlier",
}


def proposer(attributes: Mapping[str, Any]) -> Proposer:
    """Who chose the parameters of the trial with these user attributes."""
    return next((who for name, who in _PROPOSERS.items() if name in attributes), "sampler")


def is_untrained(attributes: Mapping[str, Any]) -> bool:
    """Whether these are the user attributes of a trial that was ended for its cost, untrained."""
    return BEYOND in attributes and RUN not in attributes
