#!/usr/bin/env bash
# Prepares this machine and this tree: hack/setup.sh [full|check|demo|docs|emulation]. It installs the system tools that
# are missing, then .venv with Python packages at the versions and hashes of requirements/. If nothing changed, it ends at
# once.
#
#   full     everything that `make test` needs; it serves the other three too
#   check    what `make check` needs: the same Python packages, fewer system tools
#   demo     what both programs and one VM need
#   docs     what turns docs/ into pages
#   emulation    no Python packages, only what starts programs of another processor: QEMU's user-mode emulation
#
#   PYTHON=python3.13 hack/setup.sh    chooses the Python of .venv; without it, the first one found that is 3.11 or newer
. "$(dirname "$0")/common.sh"

PROFILE=${1:-full}
case $PROFILE in
  full | check) LOCKS=(requirements/build.txt requirements/dev.txt) ;;
  demo) LOCKS=(requirements/build.txt requirements/agent.txt) ;;
  docs) LOCKS=(requirements/docs.txt) ;;
  emulation) LOCKS=() ;;
  *) die "setup: $PROFILE is not a profile; there are: full, check, demo, docs, emulation" ;;
esac

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

# Prints the Debian packages of the tools that are missing. It looks for the tool and not for the package, so that other
# distributions pass.
lacking() {
  if [[ $PROFILE == emulation ]]; then
    lacking_for_emulation
    return
  fi
  if [[ $PROFILE != docs ]]; then lacking_for_libvirt_python; fi
  case $PROFILE in
    full) lacking_for_demo && lacking_for_spice && lacking_for_check && lacking_for_nodes && lacking_for_site ;;
    check) lacking_for_check ;;
    demo) lacking_for_demo ;;
  esac
  [[ -x $VENV/bin/python || -n ${PYTHON:-} ]] || choose_python > /dev/null || echo python3 python3-venv python3-dev
}

# libvirt-python comes as source and is compiled against the libvirt of this machine.
lacking_for_libvirt_python() {
  found gcc || echo gcc libc6-dev
  found pkg-config || echo pkgconf
  found_file '/usr/include/libvirt/libvirt.h' || echo libvirt-dev
}

lacking_for_demo() {
  found libvirtd || found virtqemud || echo libvirt-daemon
  found_file '/usr/lib*/libvirt/connection-driver/libvirt_driver_qemu.so' \
    || found_file '/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so' || echo libvirt-daemon-driver-qemu
  found qemu-system-x86_64 || echo qemu-system-x86
  found setpriv || echo util-linux
}

# Debian 12 has QEMU's SPICE server in a package that qemu-system-x86 needs, and later releases in one of its own.
lacking_for_spice() {
  if found qemu-system-x86_64; then
    found_file '/usr/lib*/qemu/ui-spice-core.so' || found_file '/usr/lib/*/qemu/ui-spice-core.so' \
      || echo qemu-system-modules-spice
  elif apt-cache show qemu-system-modules-spice > /dev/null 2>&1; then
    echo qemu-system-modules-spice
  fi
}

lacking_for_check() {
  found shellcheck || echo shellcheck
  # promtool, the program that checks and tests the alerts' rules.
  found promtool || echo prometheus
}

lacking_for_nodes() {
  found ip || echo iproute2
  found iptables || echo iptables
  found openssl || echo openssl
  found prometheus || echo prometheus
  # The check that docs/one-host.md gives to readers.
  found jq || echo jq
  # KubeVirt's programs: one has a file capability, one is linked statically.
  found setcap || echo libcap2-bin
  # docs/ has a program in TypeScript.
  found node || echo nodejs
  found tsc || echo node-typescript
  # The disks of the VM of test-node-v2.
  found mke2fs || echo e2fsprogs
  # The images are built without a daemon, from Debian's packages.
  found buildah || echo buildah
  found mmdebstrap || echo mmdebstrap
  # It pushes the archives of a release, as docs/install.md shows.
  found skopeo || echo skopeo
}

# 63 MB to download. mmdebstrap asks arch-test whether a foreign program runs.
lacking_for_emulation() {
  [[ -e $BINFMT/qemu-$FOREIGN ]] || found "qemu-$FOREIGN-static" || echo qemu-user-static
  ((EUID != 0)) || found arch-test || echo arch-test
}

# The browser in which tests/docs looks at the documentation: 100 MB to download, 306 MB on disk, 12 s.
lacking_for_site() {
  found chromium-headless-shell || found chromium || echo chromium-headless-shell
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

# The package brings a server, of which `make check` uses nothing.
without_prometheus() {
  if [[ " ${missing[*]} " == *' prometheus '* ]]; then
    printf '\nOf prometheus only promtool is needed here: a release of Prometheus has it, and any folder of PATH will do.'
  fi
}

missing_packages() { lacking | tr ' ' '\n' | sort -u; }

# What no package brings. Prints a sentence for each folder that this user cannot write to.
lacking_rights() {
  local cache=${XDG_CACHE_HOME:-${HOME:-}/.cache}
  [[ -w $ROOT ]] || echo "setup: $ROOT: $(id -un) cannot write here, and .venv is made here; clone the repository to a folder of your own"
  until [[ -e $cache ]]; do cache=$(dirname "$cache"); done
  [[ -w $cache ]] || echo "setup: $cache: $(id -un) cannot write here, and built programs are kept here; XDG_CACHE_HOME chooses another folder"
}

can_install() { ((EUID == 0)) && found apt-get; }

# Ends with one message that names everything that this user has to ask for.
prerequisites() {
  local -a missing problems
  mapfile -t missing < <(missing_packages)
  mapfile -t problems < <(lacking_rights)
  if ((${#missing[@]})) && ! can_install; then
    problems+=("setup: these packages are missing. As root, run (the names are Debian's), then try again:
  apt-get update
  apt-get install --no-install-recommends ${missing[*]}$(without_prometheus)$(without_root)")
  fi
  if ((${#problems[@]})); then die "$(printf '%s\n' "${problems[@]}")"; fi
}

without_root() {
  if [[ $PROFILE == demo ]]; then printf '\nNothing else needs root: the demo starts a libvirt of its own.'; fi
}

system_tools() {
  local -a missing
  mapfile -t missing < <(missing_packages)
  if ((${#missing[@]} == 0)); then return; fi
  say "setup: installing ${missing[*]} (about a minute)"
  progress 'setup: Debian packages'
  install_packages "${missing[@]}"
  end_progress
}

# --- emulation --------------------------------------------------------------------------------------------------------

BINFMT=/proc/sys/fs/binfmt_misc
# The other processor that images are built for.
FOREIGN=aarch64
if [[ $(uname -m) == aarch64 ]]; then FOREIGN=x86_64; fi

# systemd registers what the package brings. Where there is no systemd, as in a container, that is done here.
register_emulation() {
  if [[ -e $BINFMT/qemu-$FOREIGN ]]; then return; fi
  ((EUID == 0)) || die "setup: programs of $FOREIGN cannot be started here; as root, run: hack/setup.sh emulation"
  [[ -e $BINFMT/register ]] || mount -t binfmt_misc binfmt_misc "$BINFMT"
  cat "/usr/lib/binfmt.d/qemu-$FOREIGN.conf" > "$BINFMT/register"
}

# --- .venv ------------------------------------------------------------------------------------------------------------

# A file in .venv for each profile holds the key of what was installed. It is written last, so an interrupted set-up is
# done again. The full profile and `check` have the same packages.
MARK=.packages-${PROFILE/check/full}

is_installed() { [[ -x $VENV/bin/python && $(cat "$VENV/$1" 2> /dev/null) == "$2" ]]; }

# The root is part of the key: an environment that was copied or moved still points to where it was made.
key_of() { { echo "$ROOT" && cat "$@"; } | sha256sum | cut -d ' ' -f 1; }

has_chosen_python() { [[ -z ${PYTHON:-} || $("$PYTHON" --version) == $("$VENV/bin/python" --version) ]]; }

pip_install() { "$VENV/bin/python" -m pip --disable-pip-version-check --no-input --quiet install "$@"; }

# An environment is made again when a requirement changed, so that nothing is left in it that the requirements no longer
# name. Profiles share versions, so a profile is added to the others that are there; only the full one starts from nothing.
packages() {
  local full key lock python
  full=$(key_of requirements/build.txt requirements/dev.txt)
  key=$(key_of "${LOCKS[@]}")
  if { is_installed .packages-full "$full" || is_installed "$MARK" "$key"; } && has_chosen_python; then return; fi
  python=$(choose_python) || die "setup: ${PYTHON:-no python3 here} is not a Python 3.11 or newer with its venv module" \
    "and headers (Debian: python3-venv, python3-dev); PYTHON=/path/to/python chooses one"
  say "setup: Python packages into .venv, by $python ($(estimate))"
  progress 'setup: Python packages'
  can_be_extended || "$python" -m venv --clear "$VENV"
  for lock in "${LOCKS[@]}"; do
    pip_install --require-hashes --no-build-isolation -r "$lock" \
      || die "setup: pip could not install what $lock names (its reason is above). It downloads from PyPI, or from where its own settings say, such as PIP_INDEX_URL"
  done
  end_progress
  echo "$key" > "$VENV/$MARK"
}

can_be_extended() {
  [[ $MARK != .packages-full && -x $VENV/bin/python && ! -e $VENV/.packages-full && ! -e $VENV/$MARK ]] && has_chosen_python
}

estimate() {
  case $PROFILE in
    docs) echo '10 s' ;;
    demo) echo 'half a minute; libvirt-python is compiled' ;;
    *) echo 'about a minute; libvirt-python is compiled' ;;
  esac
}

# Installs both programs in place: an edited module needs no new installation, changed metadata does.
programs() {
  local key
  if [[ $PROFILE == docs ]]; then return; fi
  key=$(key_of pyproject.toml)
  if is_installed .programs "$key"; then return; fi
  pip_install --no-deps --no-build-isolation --editable .
  echo "$key" > "$VENV/.programs"
}

prerequisites
# Two `make` in one tree set it up once.
exec 9> .setup.lock
flock 9
system_tools
if [[ $PROFILE == emulation ]]; then
  register_emulation
  exit
fi
packages
programs
