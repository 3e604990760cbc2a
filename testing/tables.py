"""The earlier address of `python -m attenergy.testing.docs_pages docs`."""

import sys
from pathlib import Path

from attenergy.testing.docs_pages.__main__ import write

if __name__ == "__main__":
    write(Path(sys.argv[1]))
