"""What the matrix tries: pairs of KubeVirt and Kubernetes, kube-apiservers alone, and the tests of each column."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.cluster.policies import RELEASED, policy_version
from tests.cluster.tools import REPOSITORY

POLICY = "injection by policy"
WEBHOOK = "injection by webhook"


@dataclass(frozen=True)
class Pair:
    """Releases of KubeVirt and of Kubernetes; an API server alone has no KubeVirt."""

    kubernetes: str
    kubevirt: str = ""

    @property
    def policy(self) -> str:
        """How a policy is written there, and what has to be turned on for it."""
        version = policy_version(f"v{self.kubernetes}")
        return version if version in {"", RELEASED} else f"{version}, turned on by flags"


# The oldest and the newest Kubernetes that a release of KubeVirt supports, or one of them. Other patch releases were
# chosen where the module proxy lacks a staging module of the newest one.
PAIRS = (
    Pair("1.36.3", "1.9.0"),
    Pair("1.34.9", "1.9.0"),
    Pair("1.35.4", "1.8.4"),
    Pair("1.33.13", "1.8.4"),
    Pair("1.32.9", "1.7.0"),
)
# What each column of a pair says, and the tests that show it.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    POLICY: ("tests/kubevirt/test_viewers.py::test_a_vm_boots_with_the_agent_in_its_pod",),
    WEBHOOK: ("tests/kubevirt/test_injection_webhook.py",),
    "takeover": (
        "tests/kubevirt/test_viewers.py::test_a_takeover_does_not_show",
        "tests/kubevirt/test_viewers.py::test_a_viewer_that_begins_at_once_takes_over_unseen",
    ),
    "migration": ("tests/kubevirt/test_migration.py::test_a_viewer_follows_a_migration",),
    "uninstall": ("tests/kubevirt/test_uninstall.py::test_the_overlay_goes_and_vms_run_on",),
}

# kube-apiservers alone: the oldest whose tokens say from which node they are, and which has the guards' policies.
SERVERS = (Pair("1.30.14"),)
SERVER_COLUMNS: Mapping[str, tuple[str, ...]] = {
    # But for two: when such a server checks types, and only then, it takes `namespace` for a reserved word; and it goes
    # on for a moment with a policy that is deleted, such as the optional guard of the companion's owner.
    "guards": tuple(
        str(path.relative_to(REPOSITORY))
        for path in sorted(REPOSITORY.glob("tests/apiserver/guard/test_*.py"))
        if path.stem not in {"test_types", "test_companion_owner"}
    ),
    "companions": ("tests/apiserver/companion/", "tests/apiserver/test_publishing.py"),
    "a dead handler": ("tests/apiserver/test_handler_away.py",),
    "the template": ("tests/apiserver/test_agent_template.py",),
    # But for the tests that compare it with the policy, which is not there.
    WEBHOOK: tuple(
        f"tests/apiserver/injection_webhook/{test}"
        for test in (
            "test_configuration.py::test_with_opt_in_only_those_who_ask_get_the_agent",
            "test_configuration.py::test_the_webhook_may_read_that_template_and_nothing_else",
            "test_template.py",
            "test_certificates.py::test_no_review_is_lost_while_the_certificate_is_replaced",
            "test_certificates.py::test_with_a_foreign_certificate_pods_start_without_an_agent",
            "test_certificates.py::test_with_an_expired_certificate_pods_start_without_an_agent",
            "test_away.py::test_pods_start_without_an_agent_while_the_webhook_is_away",
        )
    ),
}
