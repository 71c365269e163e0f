"""Makes `import telescope` work as it does in the tutorial's own scripts."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tutorial"))
