"""The hooks of the site are no package: MkDocs imports them from their folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "docs_site"))
