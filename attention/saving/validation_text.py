"""What a description that somebody else may have written lacks, as text of a bounded length."""

from __future__ import annotations

from pydantic import ValidationError

from attenergy.registry.errors import clipped

_MOST = 8  # that are named
_WIDTH = 300  # characters of one


def problems(error: ValidationError, *inside: str) -> str:
    """What is wrong, and where: the first few, and how many more.

    Args:
        error: of a description.
        inside: where in the file the description stands.
    """
    details = error.errors(include_url=False, include_input=False, include_context=False)
    named = [
        f"{'.'.join(clipped(str(part)) for part in (*inside, *detail['loc']))}: "
        f"{clipped(detail['msg'], _WIDTH)}"
        for detail in details[:_MOST]
    ]
    more = len(details) - len(named)
    return "; ".join([*named, *([f"and {more} more"] if more else [])])
