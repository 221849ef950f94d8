#!/bin/bash
# Installs on Debian 12 what building, testing and the demo need: packages, and Rust in the user's home. Does nothing, quickly, where
# all of it is there.

set -euo pipefail
cd "$(dirname "$0")/../.."

packages=(
    # to fetch Rust and the crates
    ca-certificates curl
    # to build: the devicemapper crate generates its bindings from the C header
    gcc libc6-dev make pkg-config libdevmapper-dev libclang1-14 libclang-common-14-dev
    # to fuzz: libFuzzer is C++
    g++
    # the guest
    user-mode-linux kmod busybox-static udev
    # peers and tools of the tests inside it
    lvm2 dmsetup thin-provisioning-tools e2fsprogs xfsprogs fio jq strace mdadm
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

# Rust: rustup's own installer, of a version and with a checksum that are known, puts it below the user's home, as it would by hand.
rustup_version=1.29.0
declare -A rustup_sums=(
    [x86_64]=4acc9acc76d5079515b46346a485974457b5a79893cfb01112423c89aeb5aa10
)
install_rustup() {
    local machine init
    machine=$(uname -m)
    [ -n "${rustup_sums[$machine]-}" ] || {
        echo "there is no Rust on this machine: install rustup as https://rustup.rs says, then run this again" >&2
        exit 1
    }
    echo "installing rustup $rustup_version"
    init=$(mktemp -d)
    curl -fsS --retry 3 -o "$init/rustup-init" \
        "https://static.rust-lang.org/rustup/archive/$rustup_version/$machine-unknown-linux-gnu/rustup-init"
    echo "${rustup_sums[$machine]}  $init/rustup-init" | sha256sum --check --quiet
    chmod +x "$init/rustup-init"
    "$init/rustup-init" -q -y --no-modify-path --profile minimal --default-toolchain none
    rm -r "$init"
}

channel=$(sed -nE 's/^channel = "(.*)"/\1/p' rust-toolchain.toml)
export PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
command -v cargo >/dev/null || install_rustup
if command -v rustup >/dev/null; then
    if ! rustup run "$channel" cargo fmt --version >/dev/null 2>&1 || ! rustup run "$channel" cargo clippy --version >/dev/null 2>&1; then
        echo "installing Rust $channel"
        rustup -q toolchain install "$channel" --profile minimal --component rustfmt --component clippy
    fi
elif [[ $(cargo --version) != "cargo $channel "* ]]; then
    echo "note: $(cargo --version) is used; the project is made with Rust $channel, which rustup would install" >&2
fi
