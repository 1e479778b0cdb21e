"""A local socket that leads to one in a pod, by `kubectl exec`, the only access that a foreign cluster offers.

Each connection is one kubectl, whose standard input and output are the connection; in the container the launcher's Perl
copies bytes. The end of either side ends the other.
"""

import socket
import subprocess
import threading
from pathlib import Path

from tests.cluster.kubectl import Kubectl
from tests.node.place import PodSocket

# Bytes in both directions, until one of them ends.
SCRIPT = """
use IO::Select;
use IO::Socket::UNIX;
my $server = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "$ARGV[0]: $!\n";
my %other = (STDIN->fileno => [*STDIN, $server], $server->fileno => [$server, *STDOUT]);
my $select = IO::Select->new(keys %other);
while (my @ready = $select->can_read) {
  for (@ready) {
    my ($from, $to) = @{$other{$_}};
    sysread($from, my $bytes, 65536) or exit 0;
    while (length $bytes) {
      my $written = syswrite($to, $bytes) or exit 0;
      substr($bytes, 0, $written) = "";
    }
  }
}
"""


class Relay:
    """Listens until it is closed. A connection that the pod refuses is closed at once."""

    def __init__(self, path: Path, kubectl: Kubectl, target: PodSocket) -> None:
        self.path = path
        self._kubectl = kubectl
        self._command = [
            *kubectl.command("exec", "--stdin", f"--namespace={target.namespace}", target.pod),
            *(f"--container={target.container}", "--", "perl", "-e", SCRIPT, target.inside),
        ]
        self._children: list[subprocess.Popen[bytes]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._run, name=f"relay {path}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for child in self._children:
            child.kill()
            child.wait()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            with connection:
                self._children = [child for child in self._children if child.poll() is None]
                self._children.append(self._start(connection))

    def _start(self, connection: socket.socket) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            stdin=connection.fileno(),
            stdout=connection.fileno(),
            stderr=subprocess.DEVNULL,
            env=self._kubectl.environment,
        )
