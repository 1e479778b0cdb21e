"""Follows the LauncherAgentTemplate that says which image, arguments and resources the agent has."""

from typing import Final

from handler_service.kube.client import KubeClient, Object
from handler_service.kube.listing import Selection
from handler_service.kube.reflector import Reflector

NAME: Final = "vmi-service-status-launcher-agent"


class Template:
    """The template as the API server has it; None where it is not there."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.synced = False
        self.current: Object | None = None

    def listed(self, objects: list[Object]) -> None:
        """All there are: one or none, since the selection names it."""
        self.current = objects[0] if objects else None
        self.synced = True

    def changed(self, object_: Object) -> None:
        """It is new, or another."""
        self.current = object_

    def deleted(self, _object: Object) -> None:
        """It is gone."""
        self.current = None


def follow(client: KubeClient, namespace: str, name: str, watch_seconds: float, template: Template) -> Reflector:
    """Return the list-watch that keeps `template` current. With this selector RBAC can confine it to the one object."""
    selection = Selection(
        f"/apis/servicestatus.kubevirt.io/v1alpha1/namespaces/{namespace}/launcheragenttemplates",
        {"fieldSelector": f"metadata.name={name}"},
        missing="the API server has no LauncherAgentTemplates",
    )
    return Reflector(client, selection, template, watch_seconds)
