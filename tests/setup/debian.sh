#!/bin/bash
# Installs on Debian 12 what building, testing and the demo need. Does nothing, quickly, where all of it is there.

set -euo pipefail
cd "$(dirname "$0")/../.."

packages=(
    # to build: the devicemapper crate generates its bindings from the C header
    gcc libc6-dev make pkg-config libdevmapper-dev libclang1-14 libclang-common-14-dev
    # to fuzz: libFuzzer is C++
    g++
    # the guest
    user-mode-linux kmod busybox-static udev
    # peers and tools of the tests inside it
    lvm2 dmsetup thin-provisioning-tools e2fsprogs xfsprogs fio jq strace
)

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done

if [ ${#missing[@]} -gt 0 ]; then
    as_root=()
    if [ "$(id -u)" != 0 ]; then
        as_root=(sudo)
        command -v sudo >/dev/null || {
            echo "cannot install ${missing[*]}: neither root nor sudo; run as root: apt-get install ${missing[*]}" >&2
            exit 1
        }
    fi
    echo "installing ${missing[*]}"
    "${as_root[@]}" apt-get -q update
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}"
fi

channel=$(sed -nE 's/^channel = "(.*)"/\1/p' rust-toolchain.toml)
if command -v rustup >/dev/null; then
    if ! rustup run "$channel" cargo fmt --version >/dev/null 2>&1 || ! rustup run "$channel" cargo clippy --version >/dev/null 2>&1; then
        echo "installing Rust $channel"
        rustup toolchain install "$channel" --profile minimal --component rustfmt --component clippy
    fi
elif ! command -v cargo >/dev/null; then
    cat >&2 <<END
cannot build: there is no Rust on this machine, and Debian 12 packages none that is new enough.
Install rustup as https://rustup.rs says, open a new shell so that its cargo is found, and run this again:
Rust $channel, which rust-toolchain.toml asks for, is then installed by itself.
END
    exit 1
elif [[ $(cargo --version) != "cargo $channel "* ]]; then
    echo "note: $(cargo --version) is used; the project is made with Rust $channel, which rustup would install" >&2
fi
