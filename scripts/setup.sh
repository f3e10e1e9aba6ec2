#!/bin/sh
# Makes a checkout ready: Debian packages, .venv, the `fairlead` program in it.
# Needs Debian 12 and root the first time. Run again, it checks and returns at once.
# PYTHON=... chooses the interpreter; else the first python3 that is 3.11 or newer.
set -eu
cd "$(dirname "$0")/.."

# What the program drives, then what its tests compare it with.
PACKAGES="crun runc conmon tini skopeo umoci golang-github-containers-common
    iptables nftables libnftables1 iproute2 bridge-utils busybox-static
    util-linux procps kmod ca-certificates python3 python3-venv
    docker-registry docker-compose dnsmasq-base conntrack tcpdump dnsperf openssl systemd
    default-jre-headless qemu-system-x86"
# Not serf, though clusters are quicker with it: Debian's begins an agent of its own on our port.
STAMP=.venv/.ready
POLICY=/usr/sbin/policy-rc.d

say() { echo "setup: $*"; }
die() { echo "setup: $*" >&2; exit 1; }

missing_packages() {
    # shellcheck disable=SC2086  # the list is meant to be split
    dpkg-query --show --showformat '${Package} ${db:Status-Status}\n' $PACKAGES 2>/dev/null |
        awk -v wanted="$PACKAGES" '
            $2 == "installed" { have[$1] = 1 }
            END {
                count = split(wanted, names)
                for (i = 1; i <= count; i++)
                    if (!(names[i] in have)) printf "%s ", names[i]
            }'
}

install_packages() {
    command -v apt-get >/dev/null || die "needs these Debian packages, and there is no apt-get: $*"
    [ "$(id -u)" -eq 0 ] || die "run as root once, or install: $*"
    say "installing $*"
    # Packages of servers start them on install. 101 from this file forbids it; one that is
    # already there belongs to the user and stays.
    if [ ! -e "$POLICY" ]; then
        trap 'rm -f "$POLICY"' EXIT
        trap 'exit 130' INT TERM
        printf '#!/bin/sh\nexit 101\n' >"$POLICY"
        chmod 755 "$POLICY"
    fi
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get install -qq -y -o DPkg::Lock::Timeout=300 --no-install-recommends "$@" ||
        { apt-get update -qq -o DPkg::Lock::Timeout=300 && apt-get install -qq -y -o DPkg::Lock::Timeout=300 --no-install-recommends "$@"; }; } \
        >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        rm -f "$log"
        die "apt-get could not install: $*"
    fi
    rm -f "$log"
}

good_python() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        good_python "$PYTHON" || die "PYTHON=$PYTHON is not a Python 3.11 or newer with venv"
        echo "$PYTHON"
        return
    fi
    for candidate in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
        if good_python "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    die "found no Python 3.11 or newer with venv; set PYTHON=/path/to/python3"
}

fingerprint() {
    # The checkout's own path is in it: a moved .venv has wrong paths inside.
    { pwd; cat pyproject.toml requirements/dev.txt requirements/fuzz.txt scripts/setup.sh; } | sha256sum | cut -d ' ' -f 1
}

fill_venv() {
    if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
        python=$(choose_python)
        say "making .venv with $("$python" --version)"
        rm -rf .venv
        "$python" -m venv .venv
    fi
    pip="env PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 .venv/bin/python -m pip install --quiet"
    say "installing the Python packages of requirements/dev.txt"
    $pip --require-hashes -r requirements/dev.txt
    $pip --require-hashes -r requirements/fuzz.txt
    # hatchling came with the requirements, so the build needs nothing from outside.
    $pip --no-deps --no-build-isolation --no-index -e .
}

missing=$(missing_packages)
# shellcheck disable=SC2086
[ -z "$missing" ] || install_packages $missing

now=$(fingerprint)
if [ ! -x .venv/bin/fairlead ] || [ "$(cat "$STAMP" 2>/dev/null)" != "$now" ]; then
    rm -f "$STAMP"
    fill_venv
    echo "$now" >"$STAMP"
    say "ready: .venv/bin/fairlead"
fi
