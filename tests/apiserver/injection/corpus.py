"""Launcher pods as KubeVirt 1.7 to 1.9 creates them, and malformed ones: the same for each way of injection."""

import copy
import itertools
import random
from collections.abc import Iterator, Mapping

from tests.apiserver.injection.pods import BURSTABLE, GUARANTEED, INJECT, container, launcher
from tests.cluster.objects import Object

MOUNTS = [{"name": "libvirt-runtime", "mountPath": "/var/run/libvirt"}]
DEVICES = {"devices.kubevirt.io/kvm": "1", "devices.kubevirt.io/tun": "1", "devices.kubevirt.io/vhost-net": "1"}
COMPUTE = {
    "requests": {"cpu": "100m", "memory": "2294Mi", "ephemeral-storage": "50M", **DEVICES},
    "limits": DEVICES,
}
DEDICATED = {
    "requests": {"cpu": "2", "memory": "2416967680", **DEVICES},
    "limits": {"cpu": "2000m", "memory": "2305Mi", **DEVICES},
}
SMALL = {"requests": {"cpu": "10m", "memory": "1M"}, "limits": {"cpu": "100m", "memory": "40M"}}
EQUAL = {"requests": {"cpu": "10m", "memory": "40M"}, "limits": {"cpu": "10m", "memory": "40M"}}


def emptied(*names: str) -> list[Object]:
    return [{"name": name, "emptyDir": {}} for name in names]


def kubevirt(volumes: list[Object] | None = None, **spec: object) -> Object:
    """With the fields that virt-controller sets."""
    pod = launcher(
        hostname="vm",
        restartPolicy="Never",
        enableServiceLinks=False,
        terminationGracePeriodSeconds=60,
        readinessGates=[{"conditionType": "kubevirt.io/virtual-machine-unpaused"}],
        nodeSelector={"kubevirt.io/schedulable": "true", "kubernetes.io/arch": "amd64"},
        volumes=[
            *emptied("private", "public", "sockets", "virt-bin-share-dir", "libvirt-runtime", "ephemeral-disks"),
            *emptied("container-disks", "hotplug-disks"),
            *(volumes or []),
        ],
        containers=[container(resources=COMPUTE, volumeMounts=MOUNTS)],
    )
    pod["metadata"]["annotations"] = {"kubevirt.io/domain": "vm", "kubectl.kubernetes.io/default-container": "compute"}
    pod["metadata"]["labels"] |= {"kubevirt.io/created-by": "0b5e", "vm.kubevirt.io/name": "vm"}
    pod["spec"] |= spec
    return pod


def guest_console_log() -> Object:
    resources = {"requests": {"cpu": "5m", "memory": "35M"}, "limits": {"cpu": "15m", "memory": "60M"}}
    return container("guest-console-log", resources, restartPolicy="Always")


def _of_kubevirt() -> Iterator[tuple[str, Object]]:
    disk = [container("container-disk-binary", SMALL), container("volumecontainerdisk-init", SMALL)]
    with_disk = [container(resources=COMPUTE), container("volumecontainerdisk", SMALL)]
    yield (
        "1.7, container disk, console log",
        kubevirt(initContainers=[guest_console_log(), *disk], containers=with_disk),
    )
    yield "1.8, volume of a claim", kubevirt([{"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}}])
    yield (
        "1.9, ImageVolume, no init container",
        kubevirt([{"name": "disk", "image": {"reference": "none.invalid/disk"}}]),
    )
    yield "Guaranteed", kubevirt(containers=[container(resources=DEDICATED)])
    yield (
        "Guaranteed with sidecars",
        kubevirt(
            containers=[container(resources=DEDICATED), container("virtiofs-data", EQUAL)],
            initContainers=[container("guest-console-log", EQUAL, restartPolicy="Always")],
        ),
    )
    yield (
        "Guaranteed but for a sidecar",
        kubevirt(containers=[container(resources=DEDICATED), container("hook", SMALL)]),
    )
    huge = {
        "requests": {"memory": "300Mi", "hugepages-2Mi": "1Gi"},
        "limits": {"memory": "300Mi", "hugepages-2Mi": "1Gi"},
    }
    yield "hugepages", kubevirt(containers=[container(resources=huge)])
    yield "virtiofs", kubevirt(containers=[container(resources=COMPUTE), container("virtiofs-data", SMALL)])
    yield "a service account's volume", kubevirt(automountServiceAccountToken=True)
    istio = kubevirt(
        automountServiceAccountToken=True,
        initContainers=[container("istio-init", SMALL)],
        containers=[container(resources=COMPUTE), container("istio-proxy", SMALL)],
    )
    istio["metadata"]["annotations"] |= {"sidecar.istio.io/inject": "true"}
    yield "Istio", istio
    yield "pull secrets", kubevirt(imagePullSecrets=[{"name": "disks"}])
    yield "resources of the pod", kubevirt(resources=BURSTABLE, containers=[container(resources=BURSTABLE)])
    yield "limits of the pod", kubevirt(resources=GUARANTEED, containers=[container(resources=GUARANTEED)])
    yield (
        "resources of the pod, none of its containers",
        kubevirt(resources=GUARANTEED, containers=[container(resources={})]),
    )


def _labelled() -> Iterator[tuple[str, Object]]:
    for value in ("true", "false", "", "False"):
        yield f"inject={value!r}", launcher({INJECT: value})
    yield "not a launcher", {**launcher(), "metadata": {"labels": {"kubevirt.io": "hotplug-disk"}}}
    yield "no labels", {**launcher(), "metadata": {}}
    yield "annotations only", {**launcher(), "metadata": {"annotations": {"kubevirt.io": "virt-launcher"}}}


def _hostile() -> Iterator[tuple[str, Object]]:
    yield "no volumes", launcher(volumes=[])
    yield "volumes are null", launcher(volumes=None)
    yield "no libvirt", launcher(volumes=emptied("private"))
    yield "200 volumes", launcher(volumes=emptied("libvirt-runtime", *(f"volume-{number}" for number in range(200))))
    yield "volumes of one name", launcher(volumes=emptied("libvirt-runtime", "libvirt-runtime"))
    for name in ("service-status", "service-status-no-token"):
        yield f"a volume {name}", launcher(volumes=emptied("libvirt-runtime", name))
        both = [{"name": "libvirt-runtime", "secret": {"secretName": "x"}}, *emptied(name)]
        yield f"a volume {name}, libvirt's a secret", launcher(volumes=both)
    yield "libvirt's volume is a secret", launcher(volumes=[{"name": "libvirt-runtime", "secret": {"secretName": "x"}}])
    yield "a container launcher-agent", launcher(containers=[container(), container("launcher-agent")])
    yield "an init container launcher-agent", launcher(initContainers=[container("launcher-agent")])
    yield "no containers", launcher(containers=[])
    yield "no init containers", launcher(initContainers=[])
    yield "init containers are null", launcher(initContainers=None)
    yield "50 containers", launcher(containers=[container(f"c{number}") for number in range(50)])
    yield "pull secrets are empty", launcher(imagePullSecrets=[])
    yield "the same pull secret twice", launcher(imagePullSecrets=[{"name": "registry"}, {"name": "registry"}])
    yield "a pull secret without a name", launcher(imagePullSecrets=[{}])
    yield "resources of the pod are empty", launcher(resources={})
    yield "no resources", launcher(containers=[container(resources={})])
    yield "resources are null", launcher(containers=[container(resources=None)])  # type: ignore[arg-type]
    yield "a negative limit", launcher(containers=[container(resources={"limits": {"cpu": "-1", "memory": "1"}})])
    yield "no quantity", launcher(containers=[container(resources={"limits": {"cpu": "much", "memory": "1"}})])
    yield "numbers for quantities", launcher(containers=[container(resources={"limits": {"cpu": 2, "memory": 1.5}})])  # type: ignore[dict-item]
    yield "unknown fields", launcher(unknown={"a": [1]}, containers=[container(launcher="agent")])
    yield "host users", launcher(hostUsers=False)
    yield "an agent that is elsewhere", launcher(nodeName="node", schedulerName="none")


QUANTITIES = {
    "cpu": ("2", "2000m", "2.0", "2e0", "2000000u", "0.002k", "1", "1999m", "0", "1n", "0.1n"),
    "memory": ("1Gi", "1024Mi", "1073741824", "1073741824000m", "1G", "1e9", "1E9", "0", "1.5Gi", "8Ei", "1Ki"),
}


def _resources(random_: random.Random) -> Object:
    """Requests and limits that are equal, or nearly, as often as not."""
    made: Object = {}
    for name, amounts in QUANTITIES.items():
        limit = random_.choice(amounts)
        for field, amount in (("limits", limit), ("requests", random_.choice((limit, random_.choice(amounts))))):
            if random_.random() < 0.85:
                made.setdefault(field, {})[name] = amount
    return made


def _chanced(seed: int) -> Object:
    random_ = random.Random(seed)  # noqa: S311 # repeatable
    spec: Object = {"containers": [container(f"c{n}", _resources(random_)) for n in range(random_.randint(1, 2))]}
    for field, value in {
        "initContainers": [container("init", _resources(random_))],
        "imagePullSecrets": [{"name": random_.choice(("registry", "other"))}],
        "resources": random_.choice(({}, _resources(random_))),
        "volumes": emptied("libvirt-runtime", *random_.sample(("a", "b", "service-status"), random_.randint(0, 2))),
    }.items():
        if random_.random() < 0.4:
            spec[field] = value
    return launcher({INJECT: random_.choice(("true", "false"))} if random_.random() < 0.3 else None, **spec)


def corpus() -> dict[str, Object]:
    """Pods by what they are; each has a name, so that two that are created can be compared."""
    named = itertools.chain(_of_kubevirt(), _labelled(), _hostile())
    pods = {**dict(named), **{f"random {seed}": _chanced(seed) for seed in range(120)}}
    return {what: _called(pod, f"virt-launcher-{number}") for number, (what, pod) in enumerate(pods.items())}


def _called(pod: Mapping[str, object], name: str) -> Object:
    called: Object = copy.deepcopy(dict(pod))
    called["metadata"].pop("generateName", None)
    called["metadata"]["name"] = name
    return called
