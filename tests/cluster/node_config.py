"""The configuration files of a node's programs: only what differs from the defaults, with its reason."""

import json
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.images import PAUSE
from tests.cluster.plan import DNS

CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")


@dataclass(frozen=True)
class NodeConfig:
    """What a node's configurations depend on. `folder` takes the files."""

    folder: Path
    name: str
    pods: str
    tools: Path
    ca: Path
    proxy_kubeconfig: Path

    def containerd(self) -> Path:
        return self._write("containerd.toml", CONTAINERD.format(pause=PAUSE, tools=self.tools, cni=self._cni()))

    def kubelet(self) -> Path:
        return self._write("kubelet.json", json.dumps(self._kubelet()))

    def kube_proxy(self) -> Path:
        return self._write("kube-proxy.json", json.dumps(self._kube_proxy()))

    def _write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def _cni(self) -> Path:
        """Each pod has a point-to-point link to its node; a reboot clears the assigned addresses."""
        ipam = {
            "type": "host-local",
            "dataDir": "/run/cni-addresses",
            "ranges": [[{"subnet": self.pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        network = {"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp", "ipam": ipam}]}
        return self._write("cni/pods.conflist", json.dumps(network)).parent

    def _kubelet(self) -> dict[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(self.ca)}},
            "authorization": {"mode": "Webhook"},
            "clusterDomain": "cluster.local",
            "clusterDNS": [DNS],
            "resolvConf": "",
            # The machine may have either version of cgroups, and swap, and no systemd that owns the node's cgroup.
            "failCgroupV1": False,
            "failSwapOn": False,
            "cgroupDriver": "cgroupfs",
            # Lowering a score needs a privilege that a machine may withhold even from root.
            "oomScoreAdj": 0,
            "volumePluginDir": "/var/lib/kubelet/volumeplugins",
            # The disk is the machine's: others fill it, and an eviction here would not free it.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "nodeStatusUpdateFrequency": "4s",
        }

    def _kube_proxy(self) -> dict[str, object]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "clientConnection": {"kubeconfig": str(self.proxy_kubeconfig)},
            "hostnameOverride": self.name,
            "oomScoreAdj": 0,
            # Zero leaves the machine's settings of connection tracking unchanged.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }


# restrict_oom_score_adj: see oomScoreAdj above; without it no pod starts where the machine withholds the privilege.
# no_sync: the store lives as long as its cluster, a power cut ends both.
CONTAINERD = """\
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
imports = []
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = "{tools}/usr/sbin/runc"
      SystemdCgroup = false
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{tools}/usr/lib/cni"]
    conf_dir = "{cni}"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.metadata.v1.bolt"]
  no_sync = true
"""
