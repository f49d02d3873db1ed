"""Makes `factories` importable from every test, and from processes that a test starts with the same path."""

import sys
from pathlib import Path

from hypothesis import settings

HERE = Path(__file__).parent
# the root first: `tests/model` would stand in front of `model`
sys.path[:0] = [str(HERE.parent), str(HERE)]

# time limits of single examples only measure how busy the machine is
settings.register_profile("voicemill", deadline=None, print_blob=True)
settings.load_profile("voicemill")
