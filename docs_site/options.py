"""Code within a line: an option stays whole, and a command may be broken where a name may not."""

from __future__ import annotations

import re
from typing import Any

_CODE = re.compile(r"(<pre\b.*?</pre>)|<code>([^<]+)</code>", re.DOTALL)
_OPTION = re.compile(r"(?<![\w-])--?[a-z][\w-]*")
#: Characters of a name at most; code with a space that is longer is a command.
_NAME = 40


def _code(match: re.Match[str]) -> str:
    if match[1]:
        return match[1]
    text = match[2]
    drawn = _OPTION.sub(lambda option: f'<span class="whole">{option[0]}</span>', text)
    command = ' class="command"' if len(text) > _NAME and " " in text else ""
    return f"<code{command}>{drawn}</code>"


def on_page_content(html: str, **_: Any) -> str:
    """Keep lines from ending between the hyphens of `--steps`; blocks stay as they are."""
    return _CODE.sub(_code, html)
