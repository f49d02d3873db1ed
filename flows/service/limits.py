"""Limits of a process by the shell or the service manager: open files (`ulimit -n`), address space (`ulimit -v`).

Too few open files end a run in whatever library opens the next one. An address space that is too small does so in
whatever library is loaded next, though memory is free: torch alone reserves 6 GB of addresses for 0.4 GB of memory
(measured on two cores). Both are told before anything starts.
"""

import resource

from voicemill.storage.errors import MachineError

LEAST_FILES = 64
"""Open files with which a refresh was seen to end well; with 32 it breaks off."""
LEAST_ADDRESSES = 8 * 10**9
"""Bytes of address space of a process: with 5 GB no stage that uses torch works."""


def check_limits() -> None:
    """Raise the limit of open files as far as it may be raised, and refuse limits with which nothing ends well.

    Raises:
        MachineError: a limit is too low; the message names the command that shows it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _below(hard, LEAST_FILES):
        raise MachineError(
            f"a process may open {hard} files here (ulimit -n), and needs at least {LEAST_FILES}: raise the limit in "
            "the shell or in the unit of the service, and run the command again"
        )
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    space = resource.getrlimit(resource.RLIMIT_AS)[0]
    if _below(space, LEAST_ADDRESSES):
        raise MachineError(
            f"a process may reserve {space / 1e9:.1f} GB of addresses here (ulimit -v), and needs "
            f"{LEAST_ADDRESSES / 1e9:.0f}, of which it uses a small part: lift that limit, bound the memory by a "
            "cgroup (systemd: MemoryMax) if need be, and run the command again"
        )


def _below(limit: int, least: int) -> bool:
    return limit != resource.RLIM_INFINITY and limit < least
