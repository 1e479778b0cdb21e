"""Draws docs/dashboard.svg: the dashboard's panels, with what a real Prometheus has collected from real handlers.

Two nodes, their handlers and the controller with the rights of the manifests, a real API server with a stock KubeVirt's
VMIs, and agents that are driven by hand for a minute and a half: viewers come and go, an agent falls silent, libvirt is
lost and found. The panels, their titles and queries are those of dashboard.json. docs/dashboard.md says that it is
drawn here, and not by Grafana. Run it in the root of the tree: `.venv/bin/python -m bench.dashboard_picture`.
"""

import json
import random
import tempfile
import time
import urllib.parse
import urllib.request
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from servicestatus.v1 import sessions_pb2 as types
from testbed.processes import ManagedProcess
from tests.apiserver.client import Client
from tests.apiserver.controllers import LEASE, Controller
from tests.apiserver.identities import BASE, install
from tests.apiserver.nodes import Node
from tests.apiserver.peers import Peer, Peers
from tests.apiserver.vmis import Vmi
from tests.cluster.control_plane import ControlPlane
from tests.cluster.ports import free_port
from tests.cluster.vmi import STOCK
from tests.monitoring.rules import COMPONENT, REPOSITORY

VMS = 6
SECONDS = 90
STEP = 2
COLUMNS, CELL, ROW = 24, 48, 26
COLOURS = ("#3274d9", "#e0752d", "#299c46", "#a352cc", "#d6373b", "#1f9ea8", "#8a8a8a", "#c7a008")
# What Grafana fills in.
VARIABLES = {"$__rate_interval": "15s", "$node": ".*", "$namespace": ".*"}


def life(peers: list[Peer]) -> None:
    """What happens on the two nodes."""
    chance = random.Random(7)  # noqa: S311  # repeatable, not secret
    ends = time.monotonic() + SECONDS
    silent, lost = peers[0], peers[VMS]
    silent.snapshot(1)
    for number in range(SECONDS):
        if number == SECONDS // 4:
            silent.silence()
            lost.report(lost.sessions, types.OBSERVATION_REASON_LIBVIRT_UNREACHABLE)
        if number == SECONDS * 3 // 4:
            silent.speak()
            lost.report(lost.sessions, types.OBSERVATION_REASON_WATCHING)
        peer = chance.choice([one for one in peers if one not in (silent, lost)])
        peer.report(chance.choice([0, 0, 1, 1, 1, 2, 3]))
        time.sleep(max(0.0, ends - SECONDS + number + 1 - time.monotonic()))


def ask(url: str, path: str, **query: Any) -> list[Any]:
    """Of Prometheus' API."""
    words = urllib.parse.urlencode(query)
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{words}", timeout=30) as answer:  # noqa: S310  # to itself
        return list(json.loads(answer.read())["data"]["result"])


def prometheus(folder: Path, url: str, targets: dict[str, int], controller: int) -> ManagedProcess:
    """Not started; `targets` are ports by node, `controller` is a port."""
    statics = [{"targets": [f"127.0.0.1:{port}"], "labels": {"node": node}} for node, port in targets.items()]
    job = {"job_name": "vmi-service-status-handler", "honor_labels": True, "static_configs": statics}
    other = {
        "job_name": "vmi-service-status-controller",
        "static_configs": [{"targets": [f"127.0.0.1:{controller}"]}],
    }
    config = {"global": {"scrape_interval": "2s", "scrape_timeout": "2s"}, "scrape_configs": [job, other]}
    (folder / "prometheus.yaml").write_text(json.dumps(config))
    flags = {
        "config.file": folder / "prometheus.yaml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": url.removeprefix("http://"),
    }
    argv = ["prometheus", *(f"--{flag}={value}" for flag, value in flags.items())]
    return ManagedProcess(argv, log=folder / "prometheus.log")


def run() -> list[tuple[dict[str, Any], list[Any]]]:
    """Each panel with what its queries found."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vss-", dir="/tmp")))
        plane = stack.enter_context(ControlPlane(folder / "plane", resources=[STOCK, BASE]))
        install(plane)
        client = stack.enter_context(closing(Client(plane.kubeconfig)))
        client.post("/api/v1/namespaces", {"metadata": {"name": "vms"}})
        peers = stack.enter_context(Peers())
        agents: list[Peer] = []
        targets: dict[str, int] = {}
        for number in (1, 2):
            node = stack.enter_context(Node(plane, f"node-{number}"))
            vmis = [node.run(Vmi(client, "vms", f"vm-{number}{letter}")) for letter in "abcdef"[:VMS]]
            handler = stack.enter_context(node.handler(LEASE))
            targets[node.name] = handler.metrics_port
            agents += [peers.connect(vmi.socket) for vmi in vmis]
        url = f"http://127.0.0.1:{free_port()}"
        controller = stack.enter_context(Controller(plane, folder))
        stack.enter_context(prometheus(folder, url, targets, controller.metrics_port))
        began = time.time()
        life(agents)
        return [(panel, found(url, panel, began)) for panel in panels()]


def panels() -> list[dict[str, Any]]:
    """Of the dashboard, rows' titles too."""
    return list(json.loads((COMPONENT / "dashboard.json").read_text())["panels"])


def found(url: str, panel: dict[str, Any], began: float) -> list[Any]:
    """Series as (name, values by time), or rows of a table, or one number."""
    answers: list[Any] = []
    for target in panel.get("targets", ()):
        query = target["expr"]
        for variable, value in VARIABLES.items():
            query = query.replace(variable, value)
        if panel["type"] == "timeseries":
            series = ask(url, "query_range", query=query, start=began + 10, end=time.time(), step=STEP)
            answers += [(named(target["legendFormat"], one["metric"]), one["values"]) for one in series]
        else:
            answers += [(one["metric"], float(one["value"][1])) for one in ask(url, "query", query=query)]
    return answers


def named(legend: str, labels: dict[str, str]) -> str:
    """Grafana's way to write a legend."""
    for key, value in labels.items():
        legend = legend.replace("{{" + key + "}}", value)
    return legend


# --- drawing ----------------------------------------------------------------------------------------------------------


class Box(NamedTuple):
    """Where something is drawn."""

    left: float
    top: float
    width: float
    height: float


def text(x: float, y: float, words: str, *, size: int = 11, fill: str = "#333", anchor: str = "start") -> str:
    """One line."""
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}">{escape(words)}</text>'
    )


def short(value: float, unit: str) -> str:
    """A number as a person reads it."""
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    if unit == "s":
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
    return f"{value:g}" if value == int(value) else f"{value:.2f}"


def draw(panel: dict[str, Any], data: list[Any]) -> str:
    """One panel in its place."""
    place = panel["gridPos"]
    left, top = place["x"] * CELL + 4, place["y"] * ROW + 4
    if panel["type"] == "row":
        return text(left + 4, top + 15, panel["title"], size=14, fill="#111")
    unit = panel["fieldConfig"]["defaults"]["unit"]
    width, height = place["w"] * CELL - 8, place["h"] * ROW - 8
    parts = [
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="3" fill="#fff" stroke="#ddd"/>',
        text(left + 8, top + 17, panel["title"], size=12, fill="#111"),
    ]
    draws = {"stat": _stat, "table": _table, "timeseries": _series}[panel["type"]]
    return "\n".join([*parts, *draws(data, unit, Box(left + 8, top + 24, width - 16, height - 30))])


def _stat(data: list[Any], unit: str, box: Box) -> list[str]:
    left, top, width, height = box
    number = short(data[0][1], unit) if data else "no data"
    return [text(left + width / 2, top + height * 0.7, number, size=34, fill=COLOURS[2], anchor="middle")]


def _table(data: list[Any], unit: str, box: Box) -> list[str]:
    left, top, width, height = box
    keys = [key for key in ("node", "namespace", "name", "version") if any(key in labels for labels, _ in data)]
    rows = [[*(labels.get(key, "") for key in keys), short(value, unit)] for labels, value in data]
    column = width / (len(keys) + 1)
    shown = [[*keys, "value"], *rows][: int(height / 17)]
    return [
        text(left + index * column, top + 14 + line * 17, cell, fill="#888" if line == 0 else "#333")
        for line, row in enumerate(shown)
        for index, cell in enumerate(row)
    ]


def _series(data: list[Any], unit: str, box: Box) -> list[str]:
    left, top, width, height = box
    points = [(float(at), float(value)) for _, values in data for at, value in values if value != "NaN"]
    if not points:
        return [text(left + width / 2, top + height / 2, "nothing", fill="#888", anchor="middle")]
    first, last = min(at for at, _ in points), max(at for at, _ in points)
    most = max(value for _, value in points) or 1.0
    legend, lines = _legend([name for name, _ in data], width)
    base, right = top + height - 20 - 14 * lines, left + 52
    across, up = (width - 56) / max(1.0, last - first), (base - top) / most
    parts = [
        f'<path d="M{right:.0f} {base - level * up:.0f}h{width - 56:.0f}" stroke="#eee"/>'
        + text(right - 4, base - level * up + 4, short(level, unit), size=9, fill="#888", anchor="end")
        for level in (0.0, most / 2, most)
    ]
    for index, ((name, values), (x, y)) in enumerate(zip(data, legend, strict=True)):
        colour = COLOURS[index % len(COLOURS)]
        line = " ".join(
            f"{right + (at - first) * across:.0f},{base - float(value) * up:.1f}"
            for at, value in values
            if value != "NaN"
        )
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts += [f'<rect x="{left + x:.0f}" y="{base + 12 + y:.0f}" width="10" height="3" fill="{colour}"/>']
        parts += [text(left + x + 14, base + 18 + y, name, size=10)]
    return parts


def _legend(names: list[str], width: float) -> tuple[list[tuple[float, float]], int]:
    """Where each name goes, in lines of this width, and how many lines there are."""
    places, x, line = [], 0.0, 0
    for name in names:
        needed = 28 + 6 * len(name)
        if x and x + needed > width:
            x, line = 0.0, line + 1
        places.append((x, line * 14.0))
        x += needed
    return places, line + 1


def main() -> None:
    """Write the picture."""
    drawn = run()
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel, _ in drawn) * ROW
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {COLUMNS * CELL} {bottom}" font-family="sans-serif">'
    body = "\n".join(draw(panel, data) for panel, data in drawn)
    file = REPOSITORY / "docs/dashboard.svg"
    file.write_text(f'{head}\n<rect width="100%" height="100%" fill="#f4f5f5"/>\n{body}\n</svg>\n')
    print(f"{file.relative_to(REPOSITORY)}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
