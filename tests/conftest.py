"""Makes `factories` importable from every test, and from processes that a test starts with the same path."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

# time limits of single examples only measure how busy the machine is
settings.register_profile("voicemill", deadline=None, print_blob=True)
settings.load_profile("voicemill")
