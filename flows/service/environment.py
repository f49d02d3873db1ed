"""Environment of a process, by the shell or the service manager: limits of files and address space, and proxies.

Too few open files end a run in whatever library opens the next one. An address space that is too small does so in
whatever library is loaded next, though memory is free: torch alone reserves 6 GB of addresses for 0.4 GB of memory
(measured on two cores). Both are told before anything starts, and so is a proxy that no client can use.
"""

import os
import resource
from urllib.parse import urlsplit

from voicemill.storage.errors import MachineError

LEAST_FILES = 64
"""Open files with which a refresh was seen to end well; with 32 it breaks off."""
LEAST_ADDRESSES = 8 * 10**9
"""Bytes of address space of a process: with 5 GB no stage that uses torch works."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PROXY_SCHEMES = ("", "http", "https", "socks5", "socks5h")
"""Schemes of proxies that httpx takes, with which Prefect asks; "" stands for http."""


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


def direct_loopback() -> dict[str, str]:
    """Exceptions of the proxies with the addresses of loopback among them.

    A proxy cannot ask the servers of this machine, and must not see their secrets.
    """
    known = [host for name in ("no_proxy", "NO_PROXY") for host in os.environ.get(name, "").split(",") if host]
    own = urlsplit(os.environ.get("PREFECT_API_URL", "")).hostname or ""
    hosts = ",".join(dict.fromkeys([*known, *LOOPBACK, *([own] if own.startswith("127.") else [])]))
    return {"no_proxy": hosts, "NO_PROXY": hosts}


def proxies() -> dict[str, str]:
    """Variable of the environment that names a proxy -> its address without user and password.

    Raises:
        MachineError: a client can use no proxy of that scheme, and would end with a traceback.
    """
    found = {}
    for name, value in sorted(os.environ.items()):
        if value and name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
            scheme, _, rest = value.rpartition("://")
            if scheme.lower() not in PROXY_SCHEMES:
                schemes = ", ".join(filter(None, PROXY_SCHEMES))
                raise MachineError(
                    f"{name} names a proxy by {scheme}://; expected one of {schemes}, as http://proxy:3128: set it to "
                    f"one, or `unset {name}`"
                )
            found[name] = f"{scheme or 'http'}://{rest.rpartition('@')[2]}"
    return found
