"""The objects by which an admin gets a KubeVirt and a user a VM, with only the fields that a test node needs."""

import json

from tests.cluster.objects import Object
from tests.kubevirt.build import Build

NAMESPACE = "kubevirt"
OPERATOR = "virt-operator"
FIRST_WITH_TEMPLATES = (1, 9)
# The operator's own readiness probes start after 15 s and repeat every 10 s. With a probe each second a start is twice
# as fast.
PROBES = {
    "Deployment": {"virt-api": "virt-api", "virt-controller": "virt-controller", "virt-exportproxy": "exportproxy"},
    "DaemonSet": {"virt-handler": "virt-handler"},
}


def operator(build: Build) -> Object:
    """Return virt-operator, which installs everything else."""
    image = build.image(OPERATOR)
    labels = {"kubevirt.io": OPERATOR}
    container = {
        "name": OPERATOR,
        "image": image,
        "imagePullPolicy": "Never",
        "command": [OPERATOR],
        "args": ["--port", "8443", "-v", "2"],
        "ports": [{"name": "metrics", "containerPort": 8443}, {"name": "webhooks", "containerPort": 8444}],
        "readinessProbe": {
            "httpGet": {"scheme": "HTTPS", "port": 8443, "path": "/metrics"},
            "periodSeconds": 1,
            "timeoutSeconds": 10,
        },
        "env": [{"name": "VIRT_OPERATOR_IMAGE", "value": image}, {"name": "KUBEVIRT_VERSION", "value": build.version}],
        "volumeMounts": [
            {"name": "certificates", "mountPath": "/etc/virt-operator/certificates", "readOnly": True},
            {"name": "profile-data", "mountPath": "/profile-data"},
        ],
    }
    certificates = {"secretName": "kubevirt-operator-certs", "optional": True}
    pod = {
        "priorityClassName": "kubevirt-cluster-critical",
        "serviceAccountName": "kubevirt-operator",
        "securityContext": {"runAsNonRoot": True},
        "containers": [container],
        "volumes": [{"name": "certificates", "secret": certificates}, {"name": "profile-data", "emptyDir": {}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": OPERATOR, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": {**labels, "prometheus.kubevirt.io": "true"}}, "spec": pod},
        },
    }


def kubevirt(build: Build) -> Object:
    """Return the KubeVirt object. Emulation: no test may depend on, or touch, the machine's own virtualization."""
    patches = [_quick_probe(kind, *names) for kind, containers in PROBES.items() for names in containers.items()]
    # virt-template is a project of its own, which is not built here.
    has_templates = build.minor >= FIRST_WITH_TEMPLATES
    without_templates = {"virtTemplateDeployment": {"enabled": False}} if has_templates else {}
    disabled_gates = {"disabledFeatureGates": ["Template"]} if has_templates else {}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "KubeVirt",
        "metadata": {"name": "kubevirt", "namespace": NAMESPACE},
        "spec": {
            "imagePullPolicy": "IfNotPresent",
            "infra": {"replicas": 1},
            "configuration": {
                "developerConfiguration": {"useEmulation": True, **disabled_gates},
                # Replaces the built-in list: it contains the CPU of some small machines, and then no node admits a
                # migrated VM.
                "obsoleteCPUModels": {"486": True},
                **without_templates,
            },
            "customizeComponents": {"patches": patches},
        },
    }


def _quick_probe(kind: str, name: str, container: str) -> Object:
    probe = {"name": container, "readinessProbe": {"initialDelaySeconds": 1, "periodSeconds": 1}}
    patch = json.dumps({"spec": {"template": {"spec": {"containers": [probe]}}}})
    return {"resourceType": kind, "resourceName": name, "type": "strategic", "patch": patch}


def instance(name: str, namespace: str, memory: str = "64Mi") -> Object:
    """Return a VM without disk and network: a firmware that finds nothing to boot has a screen, which is enough.

    It touches little of its memory, so its pod requests little, however much it has.
    """
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "domain": {
                "memory": {"guest": memory},
                "resources": {"requests": {"memory": "64Mi"}},
                "devices": {"autoattachPodInterface": False, "autoattachMemBalloon": False},
            },
        },
    }


def virtual_machine(name: str, namespace: str) -> Object:
    """Return a VirtualMachine that keeps a VMI of its name running."""
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"runStrategy": "Always", "template": {"spec": instance(name, namespace)["spec"]}},
    }
