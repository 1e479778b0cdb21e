"""Creates objects of KubeVirt's, whose webhooks may be down for a moment."""

import http

from testbed.waiting import wait_until
from tests.apiserver.client import ApiError, Client
from tests.cluster.objects import Object

TIMEOUT = 180.0


def create(client: Client, path: str, manifest: Object) -> Object:
    """Return what was created. On a busy machine virt-api sometimes misses a probe; then it is tried again."""

    def post() -> Object:
        try:
            return client.post(path, manifest)
        except ApiError as error:
            if error.code != http.HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            return {}

    return wait_until(post, what=f"KubeVirt takes a {manifest['kind']}", timeout=TIMEOUT, interval=0.5)
