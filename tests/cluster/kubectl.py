"""kubectl as a function: its own cache, its own environment, a deadline, and an error that contains its output."""

import subprocess
from pathlib import Path

from tests.cluster.tools import tool

# Most calls take 0.1 s. For those that wait (`kubectl wait --timeout`), the caller passes a timeout.
TIMEOUT = 120.0


class KubectlError(Exception):
    """kubectl failed; the message is its standard error output."""


class Kubectl:
    """kubectl for one user of one cluster."""

    def __init__(self, kubeconfig: Path, cache: Path) -> None:
        """`cache` keeps what kubectl discovered of the server; never share it between clusters."""
        self.kubeconfig = kubeconfig
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": str(cache), "KUBECACHEDIR": str(cache)}

    def command(self, *arguments: str | Path) -> list[str | Path]:
        """The command line, for a kubectl that goes on running; it wants `environment`."""
        return [tool("kubectl"), "--kubeconfig", self.kubeconfig, *arguments]

    def __call__(
        self,
        *arguments: str | Path,
        input: str | None = None,  # noqa: A002 - called as subprocess.run calls it
        check: bool = True,
        timeout: float = TIMEOUT,
    ) -> str:
        """Run kubectl and return its standard output. With `check` false a failure is not an error."""
        done = subprocess.run(
            self.command(*arguments),
            input=input,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            raise KubectlError(f"kubectl {' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return done.stdout

    def delete(
        self,
        *arguments: str | Path,
        input: str | None = None,  # noqa: A002 - called as subprocess.run calls it
        wait: float = TIMEOUT / 2,
    ) -> None:
        """Delete what may contain CRDs, and return when it is gone. `wait`: the seconds that kubectl gives each object.

        One deletion of a CRD in fifty, on a busy machine, kubectl does not learn that the CRD is gone and waits on
        (1.36.3, with and without WatchList; no upstream issue was found). Then it is run again, as docs/install.md has
        it, until a kubectl no longer does so.
        """
        # The second run finds nothing, or lacks the kinds, so it would be silent about a namespace that is still there.
        # The first one waits for namespaces before CRDs, and nothing but its wait for a CRD is forgiven.
        runs: tuple[tuple[str, tuple[str, ...]], ...] = (
            ("timed out waiting for the condition on customresourcedefinitions/", ()),
            ("no matches for kind", ("--ignore-not-found",)),
        )
        for forgiven, flags in runs:
            try:
                self("delete", *arguments, *flags, f"--timeout={wait:g}s", input=input, timeout=2 * wait)
            except KubectlError as error:
                if forgiven not in str(error):
                    raise
            else:
                return
