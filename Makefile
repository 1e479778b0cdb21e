# Names everything that people and CI do here. hack/ has what a target does.
.DEFAULT_GOAL := help
.PHONY: help check demo demo-live test matrix test-unit test-simulation simulate mutants test-monitoring test-docs test-libvirt test-host test-apiserver test-faults test-hostile fuzz test-node test-node-v2 test-bench test-kubevirt chaos soak attack headroom images release test-emulated bench docs lint gencode release-descriptor requirements clean setup

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  The first run on a machine installs its tools (2 min); make test-unit ARGS='-k takeover' passes ARGS to pytest."

demo: setup-demo ## A VM, viewers that come and go, and its status following them; no cluster needed (30 s)
	@.venv/bin/python -m demo $(ARGS)

demo-live: setup-demo ## The same VM without the story: connect with a VNC viewer of your own, Ctrl-C ends it
	@.venv/bin/python -m demo --live $(ARGS)

check: setup-check ## What needs no root, no Go and no QEMU: lint, unit, monitoring, 200 histories, four planted bugs (1 min)
	@HISTORIES=200 hack/test.sh unit lint monitoring simulation

test: setup ## All parts below, two at a time; JOBS=1 runs one after the other (37 min; an hour when all must be built)
	@hack/test.sh lint unit node libvirt faults hostile kubevirt apiserver bench host simulation docs monitoring

lint: setup-check ## Types, style, imports, API rules, generated code, lock files, shell scripts (15 s)
	@hack/part.sh lint

test-unit: setup-check ## The rules of both programs, in memory and in virtual time (30 s)
	@hack/part.sh unit $(ARGS)

test-monitoring: setup-check ## Metrics, alerts and dashboard, by Prometheus' own tool (5 s)
	@hack/part.sh monitoring $(ARGS)

test-docs: setup ## The documentation in a real browser, as wide as a laptop and as a phone (15 s)
	@hack/part.sh docs $(ARGS)

test-simulation: setup-check ## 2,000 histories of faults in virtual time; each promise held against them (1 min)
	@hack/part.sh simulation $(ARGS)

simulate: setup-check ## The same at length: make simulate SEEDS=100000 (25 min); ARGS='--replay SEED' shows one
	@.venv/bin/python -m tests.simulation --seeds $(or $(SEEDS),10000) $(ARGS)

mutants: setup-check ## Plant each known bug, one by one, and show which promise finds it (10 min); ARGS=NAME for one
	@.venv/bin/python -m tests.simulation --mutants $(ARGS)

test-libvirt: setup ## Both programs against a real libvirt and QEMU of their own (7 min)
	@hack/part.sh libvirt $(ARGS)

test-host: setup ## A bare Debian 12 and 13 with systemd: install, count, remove, as docs/one-host.md says; make demo without root (2 min; 8 when they must be built)
	@hack/part.sh host $(ARGS)

test-apiserver: setup ## The handler against a real kube-apiserver and etcd (13 min; 17 when they must be built)
	@hack/part.sh apiserver $(ARGS)

test-faults: setup ## Every program is killed, frozen and restarted while viewers come and go (3 min)
	@hack/part.sh faults $(ARGS)

test-hostile: setup ## Each program against a hostile peer, messages of other releases, and fuzzed bytes (4 min)
	@hack/part.sh hostile $(ARGS)

fuzz: setup ## Coverage-guided: INPUTS inputs (1000000) for all parsers of foreign bytes (15 min)
	@hack/fuzz.sh $(or $(INPUTS),1000000) $(ARGS)

test-node: setup ## The images as deployed, on a real node (9 min; 14 when they must be built)
	@hack/part.sh node $(ARGS)

test-node-v2: setup ## The agent on a node with cgroup v2: Debian's kernel in an emulated VM; no part of make test (4 min; 20 on a busy machine)
	@.venv/bin/python -m tests.vm $(ARGS)

test-kubevirt: setup ## VMs of a real KubeVirt on two nodes, with its own virtctl (15 min; 30 when it must be built)
	@hack/part.sh kubevirt $(ARGS)

matrix: setup ## A few tests on other releases of KubeVirt and Kubernetes: a table in docs/kubevirt.md (an hour; each release is built once)
	@.venv/bin/python -m tests.matrix $(ARGS)

chaos: setup ## Faults for half an hour, and a table of promises; MINUTES=5 SEED=1
	@hack/longrun.sh chaos

soak: setup ## An hour's churn of 200 VMs as fast as it goes (5 min); MINUTES=20 takes its own time
	@hack/longrun.sh soak

attack: setup ## Attacks in random combinations beside 20 honest VMs (10 min), and a table; MINUTES=3 SEED=1
	@hack/longrun.sh attack

headroom: setup ## The agent's memory in storms of viewers with hostile handlers (10 min), and a table; MINUTES=60 SEED=1
	@hack/longrun.sh headroom

test-bench: setup ## Each benchmark, small and for a few rounds, so that it still runs (2 min)
	@hack/part.sh bench $(ARGS)

bench: setup ## What it costs, beside the same in Go: a table, docs/performance.md and its pictures (12 min, a quiet machine)
	@hack/bench.sh $(ARGS)

images: setup $(if $(PLATFORM),setup-emulation) ## Both images as archives in the cache; prints their paths (1 s; 6 min from nothing); PLATFORM=linux/arm64
	@.venv/bin/python -m hack.builds images $(ARGS)

test-emulated: setup setup-emulation ## The agent's --version and unit tests in its arm64 image, by QEMU's user-mode emulation (30 min; an hour when it must be built)
	@hack/emulated.sh $(ARGS)

release: setup setup-emulation ## Everything that an admin takes, built twice and compared, in dist/VERSION: VERSION=0.1.0 (an hour); ARGS=--once
	@hack/release.sh '$(VERSION)' $(ARGS)

docs: setup-docs ## The documentation as pages that need no server, search included: dist/docs/index.html (3 s)
	@.venv/bin/mkdocs build --strict

gencode: setup-check ## Generate the Python code of proto/ and the companion's reference again (2 s)
	@hack/gencode.sh

release-descriptor: setup-check ## At a release: the API as it is now becomes the one that must not break (1 s)
	@mkdir -p proto/released && .venv/bin/buf build --exclude-source-info --output proto/released/v1.binpb

requirements: setup-check ## Choose the newest admitted versions of all Python packages, with hashes (10 s)
	@hack/requirements.sh

clean: ## Remove what was made in this tree, .venv too; the cache of Go tools stays
	@hack/clean.sh

# Not in the list: every target that needs it calls it. A profile has what its targets need, and `setup` has all of it.
setup:
	@hack/setup.sh

setup-%:
	@hack/setup.sh $*
