"""Makes the folder's own gateway importable under the name that mypy knows it by."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
