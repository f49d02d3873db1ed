"""Puts `support` and the repository on the path of every test and of the processes that a test starts with it."""

import sys
from pathlib import Path

from hypothesis import settings

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

# time limits of single examples only measure how busy the machine is
settings.register_profile("voicemill", deadline=None, print_blob=True)
settings.load_profile("voicemill")
