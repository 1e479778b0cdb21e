#!/usr/bin/env bash
# Makes this machine and tree ready for `make test` and `make demo`: system tools, then .venv with every Python package
# at the version and hash of requirements/. Where nothing changed it does nothing, in a moment.
#
#   PYTHON=python3.13 hack/setup.sh    chooses the Python of .venv; without it, the first one found that is 3.11 or newer
. "$(dirname "$0")/common.sh"

# --- Python ---------------------------------------------------------------------------------------------------------

# New enough, able to make an environment, and with the headers that libvirt-python is compiled against.
usable_python() {
  "$1" - 2> /dev/null << 'END'
import ensurepip, pathlib, sys, sysconfig, venv
sys.exit(sys.version_info < (3, 11) or not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())
END
}

choose_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if usable_python "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

# --- system tools -----------------------------------------------------------------------------------------------------

found() { PATH=$PATH:/usr/sbin:/sbin command -v "$1" > /dev/null; }
found_file() { compgen -G "$1" > /dev/null; }

# Debian's packages of what is not there. It asks for the tool and not for the package, so that other distributions pass.
lacking() {
  found libvirtd || found virtqemud || echo libvirt-daemon
  found_file '/usr/lib*/libvirt/connection-driver/libvirt_driver_qemu.so' \
    || found_file '/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so' || echo libvirt-daemon-driver-qemu
  found qemu-system-x86_64 || echo qemu-system-x86
  found setpriv || echo util-linux
  found ip || echo iproute2
  found iptables || echo iptables
  found openssl || echo openssl
  found shellcheck || echo shellcheck
  # The alerts' rules are checked, unit-tested and fired with the program that runs them in a cluster.
  found promtool && found prometheus || echo prometheus
  # KubeVirt's programs: one has a file capability, one is linked statically.
  found setcap || echo libcap2-bin
  # The images are built without a daemon, from Debian's packages.
  found buildah || echo buildah
  found mmdebstrap || echo mmdebstrap
  # libvirt-python comes as source and is compiled against the libvirt that is here.
  found gcc || echo gcc libc6-dev
  found pkg-config || echo pkgconf
  found_file '/usr/include/libvirt/libvirt.h' || echo libvirt-dev
  [[ -x $VENV/bin/python || -n ${PYTHON:-} ]] || choose_python > /dev/null || echo python3 python3-venv python3-dev
}

# Nothing here uses a system service (the tests start a libvirtd of their own), so no package may start one. Debian asks
# policy-rc.d; it stands there only while the packages are installed.
install_packages() (
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq -o DPkg::Lock::Timeout=600 update
  apt-get -qq -o DPkg::Lock::Timeout=600 install --yes --no-install-recommends "$@" > /dev/null
)

system_tools() {
  local -a missing
  mapfile -t missing < <(lacking | tr ' ' '\n')
  if ((${#missing[@]} == 0)); then return; fi
  if ((EUID != 0)) || ! found apt-get; then
    die "setup: please install what is missing (Debian's names), then try again:
  sudo apt-get install --no-install-recommends ${missing[*]}"
  fi
  say "setup: installing ${missing[*]} (about a minute)"
  progress 'setup: Debian packages'
  install_packages "${missing[@]}"
  end_progress
}

# --- .venv ------------------------------------------------------------------------------------------------------------

# A file in .venv holds the key of what was installed. It is written last, so an interrupted set-up is done again.
installed() { [[ -x $VENV/bin/python && $(cat "$VENV/$1" 2> /dev/null) == "$2" ]]; }

# The root is part of the key: an environment that was copied or moved still points to where it was made.
key_of() { { echo "$ROOT" && cat "$@"; } | sha256sum | cut -d ' ' -f 1; }

wanted_python() { [[ -z ${PYTHON:-} || $("$PYTHON" --version) == $("$VENV/bin/python" --version) ]]; }

pip_install() { "$VENV/bin/python" -m pip --disable-pip-version-check --no-input --quiet install "$@"; }

# Made anew when a requirement changed, so that nothing is left in it that the requirements no longer name.
packages() {
  local key python
  key=$(key_of requirements/build.txt requirements/dev.txt)
  if installed .packages "$key" && wanted_python; then return; fi
  python=$(choose_python) || die "setup: ${PYTHON:-no python3 here} is not a Python 3.11 or newer with its venv module" \
    "and headers (Debian: python3-venv, python3-dev); PYTHON=/path/to/python chooses one"
  say "setup: Python packages into .venv, by $python (about a minute; libvirt-python is compiled)"
  progress 'setup: Python packages'
  "$python" -m venv --clear "$VENV"
  pip_install --require-hashes -r requirements/build.txt
  pip_install --require-hashes --no-build-isolation -r requirements/dev.txt
  end_progress
  echo "$key" > "$VENV/.packages"
}

# Both programs' own packages, in place: an edited module needs no new installation, changed metadata does.
programs() {
  local key
  key=$(key_of pyproject.toml)
  if installed .programs "$key"; then return; fi
  pip_install --no-deps --no-build-isolation --editable .
  echo "$key" > "$VENV/.programs"
}

# Two `make` in one tree set it up once.
exec 9> .setup.lock
flock 9
system_tools
packages
programs
