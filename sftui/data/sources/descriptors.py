"""How many files a process may hold open."""

from __future__ import annotations

import resource

_OTHERS = 256  # left for sockets, libraries, the terminal


def allow_open_files(count: int) -> None:
    """Raise this process's soft limit so that `count` files can be open at once, as far as is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _OTHERS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
    )
