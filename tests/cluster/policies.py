"""In which version of its API this Kubernetes has MutatingAdmissionPolicies, and what turns them on there."""

import json
import os
import re
from pathlib import Path

from hack.builds import gotools

KINDS = ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")
# The first minor release that has each version of the API. From v1 on they are on by default.
VERSIONS = {36: "v1", 34: "v1beta1", 32: "v1alpha1"}
RELEASED = "v1"


def policy_version(kubernetes: str) -> str:
    """The newest that a release has; empty if it has no such policies."""
    numbers = re.match(r"v1\.(\d+)\.", kubernetes)
    if numbers is None:
        raise ValueError(f"{kubernetes} is not a release of Kubernetes")
    return next((version for first, version in VERSIONS.items() if int(numbers[1]) >= first), "")


def policy_flags() -> list[str]:
    """Those of the kube-apiserver that the tests start."""
    version = policy_version(gotools.kubernetes_version())
    if version in {"", RELEASED}:
        return []
    return [
        "--feature-gates=MutatingAdmissionPolicy=true",
        f"--runtime-config=admissionregistration.k8s.io/{version}=true",
    ]


def overlay_for(overlay: Path, folder: Path) -> Path:
    """The overlay in which the policy is written as this Kubernetes knows it: itself, or one upon it in that folder."""
    version = policy_version(gotools.kubernetes_version())
    if version in {"", RELEASED}:
        return overlay
    change = [{"op": "replace", "path": "/apiVersion", "value": f"admissionregistration.k8s.io/{version}"}]
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(overlay, folder.resolve())],
        "patches": [{"target": {"kind": kind}, "patch": json.dumps(change)} for kind in KINDS],
    }
    folder.mkdir(exist_ok=True)
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
    return folder
