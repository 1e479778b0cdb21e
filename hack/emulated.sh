#!/usr/bin/env bash
# Runs the agent's image of the other processor by QEMU's user-mode emulation, as root: its --version, then its unit tests
# with the image's own Python, libraries and packages. hack/emulated.sh [PYTEST ARGUMENT...]
# One test is left out: it compiles process 1, and an image has no compiler.
. "$(dirname "$0")/common.sh"
export PATH=$VENV/bin:$PATH

((EUID == 0)) || die 'emulated: only root can run programs in the root of an image'
case $(uname -m) in
  x86_64) other=linux/arm64 machine=aarch64 ;;
  *) other=linux/amd64 machine=x86_64 ;;
esac
archive=$(PLATFORM=$other python -m hack.builds images launcher-agent)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say "emulated: $archive as $other"
mkdir "$work/archive" "$work/root"
tar -xf "$archive" -C "$work/archive"
while read -r layer; do tar -xf "$work/archive/$layer" -C "$work/root"; done \
  < <(python -c 'import json, sys; print(*json.load(sys.stdin)[0]["Layers"], sep="\n")' < "$work/archive/manifest.json")
rm -r "$work/archive"

# The agent's own code is the image's; the tests and what they need are added. By the folder's name hypothesis knows that
# these packages are not under test: it reads every module that is, for minutes here.
python - > "$work/wanted" << 'END'
import re
from pathlib import Path

wanted = {"pytest", "pytest-asyncio", "pytest-timeout", "pytest-randomly", "hypothesis", "iniconfig", "packaging", "pluggy", "pygments", "sortedcontainers"}
locked = re.split(r"\n(?=[a-z])", Path("requirements/dev.txt").read_text())
print("\n".join(entry for entry in locked if entry.split("==")[0] in wanted))
END
tests=$work/root/tests-of-the-agent
packages=$tests/site-packages
mkdir -p "$packages" "$work/root/proc" "$work/root/dev" "$work/root/tmp"
python -m pip --disable-pip-version-check --no-input --quiet install --require-hashes --no-deps --no-compile --only-binary :all: \
  --platform "manylinux_2_28_$machine" --platform "manylinux2014_$machine" --platform "manylinux_2_17_$machine" \
  --python-version 3.13 --implementation cp --abi cp313 --abi abi3 --abi none \
  --target "$packages" --requirement "$work/wanted"
cp -r --parents tests/__init__.py tests/conftest.py tests/unit/__init__.py tests/unit/conftest.py tests/unit/agent \
  testbed pyproject.toml "$tests"

# The tests start programs by setpriv(1), which an image does not have: `setpriv --pdeathsig KILL OPTION... -- COMMAND...`.
# Here all of them end with the namespace, and run as root anyway.
cat > "$work/root/usr/bin/setpriv" << 'END'
#!/usr/bin/python3.13 -I
import os
import sys

command = sys.argv[sys.argv.index("--") + 1 :]
os.execvp(command[0], command)
END
chmod 755 "$work/root/usr/bin/setpriv"

# Where the tests look for the program: this is where Debian's Python would have installed it.
mkdir -p "$work/root/usr/local/bin"
ln -s /usr/bin/launcher-agent "$work/root/usr/local/bin/launcher-agent"

# In namespaces of its own, so that /proc and /dev are gone with the last process.
# shellcheck disable=SC2016 # the inner shell expands them
inside() {
  unshare --mount --pid --fork --kill-child sh -c '
    mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"' "$work/root" "$@"
}
inside /usr/bin/python3.13 -I -c "import platform; print('runs on', platform.machine())"
inside /usr/bin/launcher-agent --version
TIMEOUT_FACTOR=10 inside /usr/bin/python3.13 -c '
import os, sys
os.chdir("/tests-of-the-agent")
sys.path[:0] = ["/tests-of-the-agent", "/tests-of-the-agent/site-packages"]
import pytest
sys.exit(pytest.main(sys.argv[1:]))
' tests/unit/agent --ignore=tests/unit/agent/test_launcher_supervisor.py "$@"
