"""Raises the limit of open files, which containerd sets to 1024, to the highest that is allowed."""

import resource


def raise_file_limit() -> None:
    """Raise it for this process and those that it will start."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
