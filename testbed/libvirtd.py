"""Runs a private libvirt: an unprivileged session daemon in its own temporary directory.

The system's libvirt, its configuration and its VMs are never touched: XDG_* and HOME move every directory that libvirt
uses, and the URI names the socket. If root starts the daemon, it runs as an unprivileged user, else as the user that
starts it. Root and other users can connect to its socket, because a program under test may run as either.

A session daemon has one socket for read-write and read-only connections; `libvirt.openReadOnly` makes a connection
read-only.
"""

import contextlib
import itertools
import os
import pwd
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import libvirt

from testbed.capabilities import CapabilitiesCache
from testbed.commands import User
from testbed.guardian import Guardian, processes_of
from testbed.processes import ManagedProcess
from testbed.waiting import wait_until

# KubeVirt's name first; Debian 12 has only the monolithic daemon.
DAEMONS = ("virtqemud", "libvirtd")
EMULATOR = "qemu-system-x86_64"

# libvirt picks a free port for each TCP display by trying to bind it, and QEMU binds it later. So two private libvirts
# must not pick from the same range. Each uses a slice of 64 ports below 32768, where the kernel's client ports begin,
# and above those that other servers of the tests are given.
PORTS = range(23000, 32000, 128)
PORT_SLICE = 64
_numbers = itertools.count()


class PrivateLibvirt:
    """Starts libvirt on enter. On exit it removes the daemon, its QEMUs and its files."""

    def __init__(self, cache_root: Path | None = None) -> None:
        """`cache_root` keeps QEMU's capabilities for the next start; by default it is in the user's cache."""
        self.user = _unprivileged()
        self._binary = _find(*DAEMONS)
        self._cache = CapabilitiesCache([self._binary, _find(EMULATOR)], cache_root)
        # Not in TMPDIR, which may be long: a socket's path is limited to 107 bytes, and libvirt appends up to 60.
        self.directory = Path(tempfile.mkdtemp(prefix="vss-", dir="/tmp"))
        self._guardian = Guardian(self.directory)
        self._daemon = self._prepare()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def name(self) -> str:
        """`virtqemud` or `libvirtd`."""
        return self._binary.name

    @property
    def socket(self) -> Path:
        name = "libvirt-sock" if self.name == "libvirtd" else f"{self.name}-sock"
        return self.directory / "run/libvirt" / name

    @property
    def uri(self) -> str:
        return f"qemu+unix:///session?socket={self.socket}"

    @property
    def process(self) -> ManagedProcess:
        """The daemon itself, for its pid, memory and log."""
        return self._daemon

    def start(self) -> None:
        """Return when the daemon serves and has reconnected to the QEMUs of a former daemon."""
        # libvirt-python prints each error to stderr in addition to raising it, which would hide a test's output.
        libvirt.registerErrorHandler(lambda context, error: None, None)
        self._daemon.start()
        wait_until(self._accepts, what=f"{self.name} accepts on {self.socket}", retry_on=(OSError,))
        with self.connect() as connection:
            connection.getCapabilities()
            for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
                _wait_until_taken_up(domain)
        self._cache.save(self._home("cache"))

    def stop(self) -> None:
        """Remove the daemon, its QEMUs and its files, and wait for that. A second call does nothing."""
        if self.directory.exists():
            self._daemon.kill()
            self._guardian.close()

    def kill(self) -> None:
        """Kill the daemon with SIGKILL; its QEMUs continue to run."""
        self._daemon.kill()

    def restart(self) -> None:
        """Kill and start the daemon, as virt-launcher does when it died, but without the delay of 1 s."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Stop the daemon: its socket still accepts connections, and no call is answered."""
        self._daemon.freeze()

    def thaw(self) -> None:
        self._daemon.thaw()

    @property
    def running(self) -> bool:
        return self._daemon.running

    @contextlib.contextmanager
    def connect(self, *, read_only: bool = False) -> Iterator[libvirt.virConnect]:
        """Open a new connection and close it at the end. Opening takes 2 ms, so no connection is kept."""
        connection = libvirt.openReadOnly(self.uri) if read_only else libvirt.open(self.uri)
        try:
            yield connection
        finally:
            # Fails if the daemon was killed meanwhile; the connection is freed in any case.
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()

    def qemu_pids(self) -> list[int]:
        return [pid for pid in processes_of(self.directory) if pid != self._daemon.pid]

    def directory_for(self, name: str) -> Path:
        """Return a directory that QEMU may write to and all users may search, as for its display's sockets."""
        directory = self.directory / name
        if not directory.exists():
            directory.mkdir()
            directory.chmod(0o755)
            os.chown(directory, self.user.uid, self.user.gid)
        return directory

    def graphics_socket(self, uid: str) -> Path:
        """Return the path on which QEMU listens in KubeVirt; the directory is named by the VMI's UID."""
        self.directory_for("private")
        return self.directory_for(f"private/{uid}") / "virt-vnc"

    def _home(self, kind: str) -> Path:
        return self.directory / kind

    def _accepts(self) -> bool:
        assert self.running, f"{self.name} ended:\n{self._daemon.log_tail()}"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.socket))
            return True

    def _prepare(self) -> ManagedProcess:
        configuration = self._home("conf") / "libvirt"
        # Create the socket's directory here, because libvirt would create it for its own user only.
        for directory in (configuration, self.socket.parent, *map(self._home, ("cache", "data", "home"))):
            directory.mkdir(parents=True)
        self._cache.restore(self._home("cache"))
        (configuration / f"{self.name}.conf").write_text(_DAEMON_CONF)
        (configuration / "qemu.conf").write_text(_qemu_conf())
        self._give_away()
        return ManagedProcess(
            [self._binary, "-f", configuration / f"{self.name}.conf", "-p", self.directory / "daemon.pid"],
            log=self.directory / "daemon.log",
            env=self._environment(),
            user=self.user,
            launch=self._guardian.launch,
        )

    def _environment(self) -> dict[str, str]:
        homes = {"RUNTIME_DIR": "run", "CONFIG_HOME": "conf", "CACHE_HOME": "cache", "DATA_HOME": "data"}
        return {
            "HOME": str(self._home("home")),
            "PATH": os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"]),
            **{f"XDG_{variable}": str(self._home(kind)) for variable, kind in homes.items()},
        }

    def _give_away(self) -> None:
        for path in (self.directory, *self.directory.rglob("*")):
            # Regardless of the umask, all users may search the directories and read the files.
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.chown(path, self.user.uid, self.user.gid)


_DAEMON_CONF = """\
# Root, and the user that a program under test runs as, may connect.
unix_sock_rw_perms = "0777"
# Errors only, to stderr and so into the daemon's log.
log_outputs = "4:stderr"
"""


def _qemu_conf() -> str:
    first = PORTS[(os.getpid() + next(_numbers)) % len(PORTS)]
    return f"""\
# Needs no virtlogd.
stdio_handler = "file"
# Nothing of the machine's own profiles.
security_driver = "none"
remote_display_port_min = {first}
remote_display_port_max = {first + PORT_SLICE - 1}
remote_websocket_port_min = {first + PORT_SLICE}
remote_websocket_port_max = {first + 2 * PORT_SLICE - 1}
"""


def _wait_until_taken_up(domain: libvirt.virDomain) -> None:
    """Query QEMU itself: the call returns when the daemon has QEMU's monitor, and so its events, again."""
    # Fails if QEMU has ended, which is an answer too.
    with contextlib.suppress(libvirt.libvirtError):
        domain.memoryStats()


def _unprivileged() -> User:
    """Return an unprivileged user. libvirt needs an entry in passwd, which KubeVirt's UID 107 may not have here."""
    if os.geteuid() != 0:
        return User.current()
    nobody = pwd.getpwnam("nobody")
    return User(nobody.pw_uid, nobody.pw_gid)


def _find(*names: str) -> Path:
    """Return the first program found, also in /usr/sbin, which an unprivileged user's PATH lacks."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    for name in names:
        if found := shutil.which(name, path=path):
            return Path(found).resolve()
    raise FileNotFoundError(f"{' or '.join(names)} is not installed")
