"""Earlier address of `attenergy.search.display.trackers`."""

from attenergy.search.display.trackers import Logged, make_logger

__all__ = ["Logged", "make_logger"]
