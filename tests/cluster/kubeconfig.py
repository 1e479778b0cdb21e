"""How a client finds a cluster and authenticates: kubeconfig files, written as JSON, which is YAML."""

import json
from pathlib import Path


def kubeconfig_path(folder: Path, user: str) -> Path:
    """Return where a control plane in this folder keeps the kubeconfig of a user."""
    return folder / f"{user.replace(':', '-')}.kubeconfig"


def write_kubeconfig(path: Path, *, server: str, ca: Path, token: str) -> Path:
    """Write a kubeconfig with one cluster, one user and one context; a file that exists is complete."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": str(ca)}}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "user"}}],
        "current-context": "test",
    }
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(json.dumps(config, indent=1))
    return new.rename(path)
