"""Makes `factories` importable from every test, and from processes that a test starts with the same path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
