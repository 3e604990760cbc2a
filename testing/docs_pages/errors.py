"""The pages of `docs/` on errors and laws, made from what `attenergy explain` prints."""

from __future__ import annotations

from attenergy.registry.explained import GROUPS, LAWS
from attenergy.testing.docs_pages.markdown import table

_ERRORS = """\
# Errors, explained

Made by `make docs` from what `attenergy explain NAME` prints; a test compares, and runs every
example.

An error of the toolkit says where it is, what was got, what is allowed and what is nearest. On the
command line it ends with a name, `(attenergy explain formula-type)`: a kind of error, explained
below under that name. In Python every such error is an `attenergy.AttenergyError` (and a
`ValueError`, `TypeError` or `ImportError`), and `error.topic` is the name.

```python
import attenergy

try:
    attenergy.make_energy("0.5*|xi|^2 - lse(X @ xi + xi)", dim=4)
except attenergy.AttenergyError as error:
    print(error.topic)
```

<!-- run: output -->
```text
formula-type
```

| exit code | of `attenergy` |
| --- | --- |
| 0 | done |
| 1 | done, and the answer is no: a law does not hold, no run gave a result; or a mistake inside \
attenergy, whose traceback is shown with what to send in a report |
| 2 | what was typed, or a file, cannot be used: one of the errors below, or a wrong option |
| 130, 143, 129 | interrupted from the keyboard, by SIGTERM, by a terminal that went away; the \
command that goes on is printed |

`attenergy --debug ...` shows the traceback of any error. Laws that an energy breaks are on a
page of their own, [the laws of an energy](laws.md).
"""
_LAWS = """\
# The laws of an energy

Made by `make docs` from what `attenergy explain NAME` prints; a test compares, and shows that every
example breaks its law.

`attenergy energies check FILE[:NAME]|FORMULA|NAME|MODULE:NAME` checks an energy against nine laws,
one alone with `--law 4`, and `attenergy.testing.check_energy` does so in Python. Every built-in
energy obeys them. A law that does not apply to an energy is no failure: `n/a` says why. The advice
that `attenergy analyse MODEL laws` gives on trained models is another thing, with
[twelve rules of its own](analysis/laws.md).

## Why is my energy rejected?

The second column of the table that `energies check` prints has the number; this is the first thing
to try.

"""
_BELOW = """
If nothing in the entry is wrong on purpose, the quickest way to a lawful energy is a formula: the
compiler takes care of laws 1, 2, 5 and 8, and 7 holds by construction. Laws 3 and 4 are about what
the entry declares: declare less. Laws 6 and 9 are about the function itself.

## The laws
"""


def errors_page() -> str:
    """The page on all kinds of errors."""
    parts = [_ERRORS]
    for heading, topics in GROUPS.items():
        rows = [(f"[{topic.name}](#{topic.name})", topic.title) for topic in topics]
        parts += [f"## {heading}\n", table(("name", "what it says"), rows)]
        parts += [topic.markdown() for topic in topics]
    return "\n".join(parts)


def laws_page() -> str:
    """The page on all laws."""
    # A list, as bars in the code of a table are read in two ways.
    first = []
    for law in LAWS:
        advice = law.mend.split(". ")[0].strip(".")
        first.append(f"* **{law.label[0]}**, [{law.name}](#{law.name}): {advice}.")
    head = _LAWS + "\n".join(first) + "\n" + _BELOW
    return "\n".join([head, *(law.markdown() for law in LAWS)])
