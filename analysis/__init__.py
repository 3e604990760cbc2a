"""What a layer does: whether its update is the gradient of any energy."""

from attenergy.analysis.curl import curl

__all__ = ["curl"]
