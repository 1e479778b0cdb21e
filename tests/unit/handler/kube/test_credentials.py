"""Rotation, with a real TLS server, real certificates and real files."""

import asyncio
import json
import logging
import shutil
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from handler_service.errors import ConfigurationError
from handler_service.kube.client import KubeClient
from handler_service.kube.credentials import CredentialSource
from handler_service.kube.errors import KubeError, UnauthorizedError, UnreachableError
from testbed.waiting import wait_until_async
from tests.cluster.pki import Authority, KeyPair

SECRET = "t"  # noqa: S105  # of a test


class Server:
    """Answers every request with what it saw of the client; its certificate and its client CA can be replaced."""

    def __init__(self) -> None:
        self._runner: web.AppRunner | None = None
        self.port = 0
        self.tokens: set[str] | None = None
        self.seen: list[str] = []

    async def start(self, authority: Authority, *, client_ca: Path | None = None) -> None:
        """Serve with a new certificate of `authority`; on the same port as before."""
        await self.stop()
        pair = authority.serving("server", ["IP:127.0.0.1"])
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pair.certificate, pair.key)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "")
        self.seen.append(token)
        if self.tokens is not None and token not in self.tokens:
            return web.json_response({"message": "who is there?"}, status=401)
        assert request.transport is not None
        peer = request.transport.get_extra_info("peercert") or {}
        subject = {key: value for part in peer.get("subject", ()) for key, value in part}
        return web.json_response({"token": token, "user": subject.get("commonName")})


class Scene:
    """A kubeconfig in a folder of its own, and the server that it names."""

    def __init__(self, folder: Path, authorities: list[Authority]) -> None:
        self.folder = folder
        self.authorities = authorities
        self.server = Server()
        self.kubeconfig = folder / "kubeconfig"

    def put(self, name: str, text: str | bytes | Path) -> None:
        """Replace a file in one step."""
        new = self.folder / f"{name}.new"
        if isinstance(text, Path):
            shutil.copyfile(text, new)
        else:
            new.write_bytes(text.encode() if isinstance(text, str) else text)
        new.replace(self.folder / name)

    def put_client(self, pair: KeyPair) -> None:
        self.put("client.crt", pair.certificate)
        self.put("client.key", pair.key)

    def configure(self, **user: Any) -> None:
        cluster = {"server": f"https://127.0.0.1:{self.server.port}", "certificate-authority": "ca.crt"}
        self.put(
            "kubeconfig",
            json.dumps(
                {
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "users": [{"name": "u", "user": user}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "x",
                }
            ),
        )

    def client(self, timeout: float = 20.0) -> KubeClient:
        return KubeClient(self.kubeconfig, timeout, "test")

    def hurried_client(self) -> KubeClient:
        """Return a client that checks its files ten times a second, and repeats a plugin after one second."""
        source = CredentialSource(self.kubeconfig, 10.0, clock=lambda: 10 * time.monotonic())
        return KubeClient(self.kubeconfig, 20.0, "test", source)


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> list[Authority]:
    """Two, which know nothing of each other."""
    return [Authority(tmp_path_factory.mktemp("authority")) for _ in range(2)]


@pytest.fixture
async def scene(tmp_path: Path, authorities: list[Authority]) -> AsyncIterator[Scene]:
    made = Scene(tmp_path, authorities)
    yield made
    await made.server.stop()


async def answers(client: KubeClient, expected: Any) -> None:
    """Ask until the answer is so."""
    deadline = asyncio.get_running_loop().time() + 60
    seen: Any = None
    while seen != expected:
        assert asyncio.get_running_loop().time() < deadline, seen
        await asyncio.sleep(0.1)
        try:
            seen = await client.get("/x")
        except KubeError as error:
            seen = error


async def test_a_rotated_ca_is_picked_up(scene: Scene) -> None:
    """The server's new certificate is of the new CA alone, and the file of the CA was replaced."""
    first, second = scene.authorities
    await scene.server.start(first)
    scene.put("ca.crt", first.ca.certificate)
    scene.configure(token=SECRET)
    async with scene.client() as client:
        assert await client.get("/x") == {"token": "Bearer t", "user": None}
        await scene.server.start(second)
        with pytest.raises(UnreachableError, match="certificate verify failed"):
            await client.get("/x")
        scene.put("ca.crt", second.ca.certificate)
        await answers(client, {"token": "Bearer t", "user": None})


async def test_a_rotated_client_certificate_is_picked_up(scene: Scene) -> None:
    """Certificate and key are two files, and are replaced one after the other."""
    authority = scene.authorities[0]
    await scene.server.start(authority, client_ca=authority.ca.certificate)
    scene.put("ca.crt", authority.ca.certificate)
    scene.put_client(authority.client("first"))
    scene.configure(**{"client-certificate": "client.crt", "client-key": "client.key"})
    async with scene.hurried_client() as client:
        assert await client.get("/x") == {"token": "", "user": "first"}
        second = authority.client("second")
        scene.put("client.crt", second.certificate)
        await asyncio.sleep(0.2)  # past a look at files that do not match
        assert await client.get("/x") == {"token": "", "user": "first"}
        scene.put("client.key", second.key)
        await answers(client, {"token": "", "user": "second"})


async def test_a_certificate_of_an_exec_plugin_is_replaced_when_it_expires(scene: Scene) -> None:
    """The plugin names the time; no answer of the server is needed."""
    authority = scene.authorities[0]
    await scene.server.start(authority, client_ca=authority.ca.certificate)
    scene.put("ca.crt", authority.ca.certificate)
    plugin = scene.folder / "plugin"
    plugin.write_text(f"#!/bin/sh\ncat {scene.folder}/answer\n")
    plugin.chmod(0o755)
    version = "client.authentication.k8s.io/v1"

    def answer(name: str, expires: str) -> None:
        pair = authority.client(name)
        certificate, key = pair.certificate.read_text(), pair.key.read_text()
        status = {"clientCertificateData": certificate, "clientKeyData": key, "expirationTimestamp": expires}
        scene.put("answer", json.dumps({"apiVersion": version, "status": status}))

    answer("first", "2020-01-01T00:00:00Z")
    scene.configure(exec={"command": "./plugin", "apiVersion": version})
    async with scene.hurried_client() as client:
        assert await client.get("/x") == {"token": "", "user": "first"}
        answer("second", "2999-01-01T00:00:00Z")
        await answers(client, {"token": "", "user": "second"})


@pytest.mark.parametrize("bad", [b"", b"\n", b"\xff\xfe\xfd", b"a\nb", "tökén".encode()])
async def test_a_token_file_that_cannot_be_used_leaves_the_last_token_in_use(
    scene: Scene, bad: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is read again until it holds one; one warning says so."""
    authority = scene.authorities[0]
    await scene.server.start(authority)
    scene.put("ca.crt", authority.ca.certificate)
    scene.put("token", "first\n")
    scene.configure(tokenFile="token")
    async with scene.hurried_client() as client:
        assert await client.get("/x") == {"token": "Bearer first", "user": None}
        scene.put("token", bad)
        with caplog.at_level(logging.WARNING):
            for _ in range(25):
                assert await client.get("/x") == {"token": "Bearer first", "user": None}
                await asyncio.sleep(0.02)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert f"token file {scene.folder}/token: " in caplog.text
        scene.server.tokens = {"Bearer second"}
        with pytest.raises(UnauthorizedError):
            await client.get("/x")
        scene.put("token", " second\r\n")
        await answers(client, {"token": "Bearer second", "user": None})


async def test_a_token_file_that_is_empty_at_the_start_is_waited_for(scene: Scene) -> None:
    """No request is sent without a token meanwhile."""
    authority = scene.authorities[0]
    await scene.server.start(authority)
    scene.put("ca.crt", authority.ca.certificate)
    scene.put("token", "")
    scene.configure(tokenFile="token")
    async with scene.client() as client:
        with pytest.raises(UnauthorizedError, match="the file is empty; it is read again until it holds a token"):
            await client.get("/x")
        assert scene.server.seen == []
        scene.put("token", "t")
        await answers(client, {"token": "Bearer t", "user": None})


async def test_a_file_that_is_gone_for_a_while_changes_nothing(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """Whichever of them it is."""
    authority = scene.authorities[0]
    await scene.server.start(authority)
    scene.put("ca.crt", authority.ca.certificate)
    scene.put("token", "t")
    scene.configure(tokenFile="token")
    async with scene.hurried_client() as client:
        for name in ("ca.crt", "token", "kubeconfig"):
            (scene.folder / name).rename(scene.folder / "away")
            for _ in range(12):
                assert await client.get("/x") == {"token": "Bearer t", "user": None}
                await asyncio.sleep(0.02)
            (scene.folder / "away").rename(scene.folder / name)
            await asyncio.sleep(0.15)
            assert await client.get("/x") == {"token": "Bearer t", "user": None}
    assert "the last ones stay in use" in caplog.text


async def test_a_refused_token_is_read_again_at_once(scene: Scene) -> None:
    """Without a wait for the next look at the file."""
    authority = scene.authorities[0]
    await scene.server.start(authority)
    scene.put("ca.crt", authority.ca.certificate)
    scene.put("token", "first")
    scene.configure(tokenFile="token")
    async with scene.client() as client:
        await client.get("/x")
        scene.put("token", "second")
        scene.server.tokens = {"Bearer second"}
        assert await client.get("/x") == {"token": "Bearer second", "user": None}


async def test_the_service_account_of_the_pod(scene: Scene) -> None:
    """Its folder is the kubelet's, whose token ends without a line end; one of others may not."""
    authority = scene.authorities[0]
    await scene.server.start(authority)
    scene.put("ca.crt", authority.ca.certificate)
    scene.put("token", "t\n")
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(scene.server.port)}
    source = CredentialSource(None, 5.0, environment, scene.folder)
    async with KubeClient(None, 20.0, "test", source) as client:
        assert await client.get("/x") == {"token": "Bearer t", "user": None}
        scene.put("token", "u")
        await answers(client, {"token": "Bearer u", "user": None})


async def test_a_watch_outlives_the_connections_that_replace_its_own(scene: Scene) -> None:
    """It is read to its end over the old ones."""
    authority = scene.authorities[0]
    await scene.server.start(authority, client_ca=authority.ca.certificate)
    scene.put("ca.crt", authority.ca.certificate)
    scene.put_client(authority.client("first"))
    scene.configure(**{"client-certificate": "client.crt", "client-key": "client.key"})
    async with scene.client() as client, client.stream("/x", {"watch": "1"}, "application/json", 30) as lines:
        scene.put_client(authority.client("second"))
        await answers(client, {"token": "", "user": "second"})
        assert [json.loads(line) async for line in lines] == [{"token": "", "user": "first"}]


async def test_a_plugin_that_hangs_does_not_outlast_the_requests_time_limit(scene: Scene) -> None:
    """It is killed, and the error of the request names it."""
    authority = scene.authorities[0]
    await scene.server.start(authority)
    scene.put("ca.crt", authority.ca.certificate)
    version = "client.authentication.k8s.io/v1"
    (scene.folder / "answer").write_text(json.dumps({"apiVersion": version, "status": {"token": "first"}}))
    plugin = scene.folder / "plugin"
    plugin.write_text(f"#!/bin/sh\ncd {scene.folder}; echo $$ > pid; test -e hang && exec sleep 1000; cat answer\n")
    plugin.chmod(0o755)
    scene.configure(exec={"command": "./plugin", "apiVersion": version})
    async with scene.client(timeout=4.0) as client:
        assert await client.get("/x") == {"token": "Bearer first", "user": None}
        (scene.folder / "hang").touch()
        scene.server.tokens = set()
        with pytest.raises(UnauthorizedError, match=r"exec plugin ./plugin gave no answer within 2 s and was killed"):
            await client.get("/x")
        pid = (scene.folder / "pid").read_text().strip()
        await wait_until_async(lambda: not Path(f"/proc/{pid}").exists(), what="the plugin has ended")


async def slow_plugin(scene: Scene) -> None:
    """A plugin that returns the token in `token` as soon as that file is there, and a server."""
    authority = scene.authorities[0]
    await scene.server.start(authority)
    scene.put("ca.crt", authority.ca.certificate)
    version = "client.authentication.k8s.io/v1"
    answer = f'{{"apiVersion": "{version}", "status": {{"token": "%s"}}}}'
    plugin = scene.folder / "plugin"
    plugin.write_text(
        f"#!/bin/sh\ncd {scene.folder}; echo $$ >> runs; while ! test -e token; do sleep 0.05; done\n"
        f"printf '{answer}' $(cat token)\n"
    )
    plugin.chmod(0o755)
    scene.configure(exec={"command": "./plugin", "apiVersion": version})
    scene.put("token", "first")


async def gives_up(client: KubeClient, scene: Scene) -> None:
    """The token is refused, and the plugin has no other one yet: it runs for the second time."""
    (scene.folder / "token").unlink()
    scene.server.tokens = {"Bearer second"}
    request = asyncio.create_task(client.get("/x"))
    runs = scene.folder / "runs"
    await wait_until_async(lambda: len(runs.read_text().split()), (2).__eq__, what="the plugin runs again")
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


async def test_a_slow_plugin_outlives_a_request_that_gives_up(scene: Scene) -> None:
    """Each request with a short time limit would kill the plugin that the next one waits for."""
    await slow_plugin(scene)
    async with scene.client() as client:
        await gives_up(client, scene)
        scene.put("token", "second")
        assert await client.get("/x") == {"token": "Bearer second", "user": None}
    assert len((scene.folder / "runs").read_text().split()) == 2


async def test_a_plugin_that_runs_ends_with_the_client(scene: Scene) -> None:
    await slow_plugin(scene)
    async with scene.client() as client:
        await gives_up(client, scene)
    pid = (scene.folder / "runs").read_text().split()[-1]
    assert not Path(f"/proc/{pid}").exists()


async def test_a_service_network_in_no_proxy_is_reached_without_the_proxy(
    tmp_path: Path, authorities: list[Authority]
) -> None:
    """The proxy listens and counts; nothing answers at the service's address."""
    connections = 0

    async def count(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    (tmp_path / "token").write_text("t")
    shutil.copyfile(authorities[0].ca.certificate, tmp_path / "ca.crt")
    async with await asyncio.start_server(count, "127.0.0.1", 0) as proxy:
        environment = {
            "KUBERNETES_SERVICE_HOST": "10.96.0.1",
            "KUBERNETES_SERVICE_PORT": "443",
            "HTTPS_PROXY": f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}",
        }
        before = 0
        for no_proxy, through_proxy in (("", True), ("10.96.0.0/12", False)):
            source = CredentialSource(None, 1.0, environment | {"NO_PROXY": no_proxy}, tmp_path)
            async with KubeClient(None, 1.0, "test", source) as client:
                with pytest.raises(UnreachableError):
                    await client.get("/x")
            assert (connections > before) is through_proxy
            before = connections


async def test_a_socks_proxy_is_refused_at_the_start(tmp_path: Path, authorities: list[Authority]) -> None:
    (tmp_path / "token").write_text("t")
    shutil.copyfile(authorities[0].ca.certificate, tmp_path / "ca.crt")
    environment = {
        "KUBERNETES_SERVICE_HOST": "10.96.0.1",
        "KUBERNETES_SERVICE_PORT": "443",
        "HTTPS_PROXY": "socks5://192.0.2.1:1080",
    }
    source = CredentialSource(None, 1.0, environment, tmp_path)
    with pytest.raises(ConfigurationError, match="environment variable HTTPS_PROXY: a proxy of the type socks5"):
        await KubeClient(None, 1.0, "test", source).__aenter__()


async def test_a_key_of_another_certificate_is_told_at_the_start(scene: Scene) -> None:
    authority = scene.authorities[0]
    await scene.server.start(authority)
    scene.put("ca.crt", authority.ca.certificate)
    scene.put("client.crt", authority.client("first").certificate)
    scene.put("client.key", authority.client("second").key)
    scene.configure(**{"client-certificate": "client.crt", "client-key": "client.key"})
    with pytest.raises(ConfigurationError, match=r"argument --kubeconfig: .*key values mismatch"):
        await scene.client().__aenter__()
