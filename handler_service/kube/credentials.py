"""Loads the API server's address and the handler's credentials, and notices when they have to be loaded again.

Tokens, certificates and certificate authorities are rotated while the handler runs. A handler that kept the first ones
would stop publishing some months after its start. A file that is being written or a plugin that fails never ends a
running handler: the last good credentials stay in use, and the files are read again.
"""

import logging
import os
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from handler_service.errors import ConfigurationError
from handler_service.kube import exec_plugin, lean_client, proxies
from handler_service.kube.exec_plugin import ExecPluginError
from servicestatus.clock import Clock

log = logging.getLogger(__name__)

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")

#: Seconds between two checks of the files. A check is about five `stat` calls.
_LOOK: Final = 1.0
#: Seconds until a plugin runs again that failed, or whose credential had expired when it was returned.
_RETRY_PLUGIN: Final = 10.0
_FILES: Final = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Holds credentials that were read together."""

    configuration: lean_client.Configuration
    #: The Authorization header; empty if only a client certificate is used.
    authorization: str
    #: Why a configured token is missing; empty if there is no problem.
    problem: str
    #: Address, TLS material and proxy: connections may be kept while this stays equal.
    transport: Hashable


class CredentialSource:
    """Loads credentials from a kubeconfig, or from the service account of the handler's own pod."""

    def __init__(
        self,
        kubeconfig: Path | None,
        plugin_limit: float,
        environment: Mapping[str, str] = os.environ,
        service_account: Path = SERVICE_ACCOUNT,
        clock: Clock = time.monotonic,
    ) -> None:
        """Read nothing before load(). `plugin_limit` limits one run of an exec plugin, in seconds."""
        self._kubeconfig = kubeconfig
        self._plugin_limit = plugin_limit
        self._environment = environment
        self._service_account = service_account
        self._clock = clock
        self._files: dict[Path, Hashable] = {}
        self._next_look = 0.0
        self._expires: float | None = None
        self._doubtful = False
        self._has_plugin = False
        #: The file of the last good token, and the token.
        self._token: tuple[str, str] | None = None
        self._warned = False

    async def load(self) -> Credentials:
        """Read all files; raises ConfigurationError that names the file, the variable or the plugin."""
        self._files, self._expires, self._doubtful = {}, None, True
        try:
            credentials = await self._load()
        except (
            lean_client.ConfigException,
            ExecPluginError,
            yaml.YAMLError,
            OSError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
        ) as error:
            raise self.unusable(error) from error
        finally:
            self._next_look = self._clock() + (_RETRY_PLUGIN if self._has_plugin else _LOOK)
        self._doubtful = bool(credentials.problem)
        return credentials

    def outdated(self) -> bool:
        """Return whether a file was replaced, a plugin's credential has expired, or the last load failed."""
        now = self._clock()
        if now < self._next_look:
            return False
        self._next_look = now + _LOOK
        expired = self._expires is not None and time.time() >= self._expires
        return self._doubtful or expired or any(_identity(path) != seen for path, seen in self._files.items())

    def doubt(self) -> None:
        """Load again at the next check, after a failed TLS handshake."""
        self._doubtful = True

    def unusable(self, error: Exception) -> ConfigurationError:
        """Return the error of a source that cannot be used."""
        if isinstance(error, ConfigurationError):
            return error
        where = self._kubeconfig or "the pod's service account"
        text = " ".join(str(error).split())  # a YAML error has several lines
        return ConfigurationError(f"argument --kubeconfig: {where}: {text}")

    async def _load(self) -> Credentials:
        document, base = self._document()
        user = _current(document, "user", "users")
        cluster = _current(document, "cluster", "clusters")
        for part in (user, cluster):
            for key in _FILES:
                if part.get(key):
                    part[key] = str(self._watch(base / str(part[key])))
        self._has_plugin = bool(user.get("exec"))
        if self._has_plugin:
            credential = await exec_plugin.run(user.pop("exec"), base, self._plugin_limit, self._environment)
            user |= credential.user
            self._expires = credential.expires
        problem = self._read_token(user)
        configuration = lean_client.Configuration()
        # Python 3.13 rejects certificates that Kubernetes' own clients accept, such as those without an Authority Key
        # Identifier, and clusters have them. The chain and the name are still verified.
        configuration.disable_strict_ssl_verification = True
        await lean_client.load_kube_config_from_dict(document, None, configuration)  # type: ignore[no-untyped-call]
        configuration.proxy = proxies.choose(str(configuration.host), configuration.proxy, self._environment)
        # The proxy is chosen here; the library would also take a password for the API server from ~/.netrc.
        configuration.client_session_kwargs = {"trust_env": False}
        authorization = str(configuration.api_key.get("BearerToken") or "")
        return Credentials(configuration, authorization, problem, _transport(configuration))

    def _document(self) -> tuple[dict[str, Any], Path]:
        """Return a kubeconfig, and the directory that its relative paths start from."""
        if self._kubeconfig is not None:
            document = yaml.safe_load(self._watch(self._kubeconfig).read_bytes())
            if not isinstance(document, dict):
                raise ValueError("this is not a kubeconfig")
            return document, self._kubeconfig.parent
        host, port = (self._environment.get(f"KUBERNETES_SERVICE_{name}") for name in ("HOST", "PORT"))
        if not host or not port:
            raise ValueError("KUBERNETES_SERVICE_HOST and _PORT are not set: run in a pod, or name a kubeconfig")
        server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        return {
            "clusters": [{"name": "pod", "cluster": {"server": server, "certificate-authority": "ca.crt"}}],
            "users": [{"name": "pod", "user": {"tokenFile": "token"}}],
            "contexts": [{"name": "pod", "context": {"cluster": "pod", "user": "pod"}}],
            "current-context": "pod",
        }, self._service_account

    def _read_token(self, user: dict[str, Any]) -> str:
        """Put the token of `tokenFile` into `user`; return why that failed, or an empty text.

        A file that is missing at the start raises OSError, since waiting would not help.
        """
        path = user.pop("tokenFile", None)
        if not path:
            return ""
        known = self._token[1] if self._token is not None and self._token[0] == path else ""
        problem = ""
        try:
            known = _token(Path(path))
            self._token = path, known
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and not known:
                raise
            problem = f"token file {path}: {error}; it is read again until it holds a token"
        if problem and not self._warned:
            log.warning("%s", problem)
        self._warned = bool(problem)
        if known:
            user["token"] = known  # the API server rejects the last good one when it has expired
        return problem

    def _watch(self, path: Path) -> Path:
        self._files[path] = _identity(path)
        return path


def _current(document: Mapping[str, Any], kind: str, kinds: str) -> dict[str, Any]:
    """Return the user or the cluster of the current context; an empty one if the loader will report a mistake."""
    context = _named(document, "contexts", "context", document.get("current-context"))
    return _named(document, kinds, kind, context.get(kind))


def _named(document: Mapping[str, Any], kinds: str, kind: str, name: Any) -> dict[str, Any]:
    entries = document.get(kinds)
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(kind), dict):
            found: dict[str, Any] = entry[kind]
            return found
    return {}


def _token(path: Path) -> str:
    """Return the token in a file without the white space around it; raises OSError, ValueError."""
    token = path.read_text(encoding="ascii").strip()
    if not token:
        raise ValueError("the file is empty")
    if not token.isprintable():
        raise ValueError("the file holds control characters")
    return token


def _transport(configuration: lean_client.Configuration) -> Hashable:
    paths = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
    contents = tuple(None if path is None else Path(path).read_bytes() for path in paths)
    return (
        configuration.host,
        configuration.verify_ssl,
        configuration.tls_server_name,
        configuration.proxy,
        *contents,
    )


def _identity(path: Path) -> Hashable:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
