#!/bin/bash
# Builds csi-sanity, which tests drivers of the Container Storage Interface, into target/csi-sanity, with the machine's Go or one of its
# own. Needs the network at first. Does nothing where it is there.

set -euo pipefail
cd "$(dirname "$0")/../.."

version=v5.6.0
at=target/csi-sanity/$version
[ ! -x "$at/csi-sanity" ] || exit 0

# A Go that fetches a newer one if a module needs that.
has_go() { [[ $(go version 2>/dev/null) =~ go1\.(2[1-9]|[3-9][0-9]) ]]; }

# The toolchain as Go itself fetches it, of a version and with a checksum that are known.
go_version=1.25.5
declare -A go_sums=(
    [x86_64]=8cea6783dab64d68b38f5b81ecd38d45155a3c06638991acc6af19e0fca80edb
)
install_go() {
    local machine module
    machine=$(uname -m)
    [ -n "${go_sums[$machine]-}" ] || {
        echo "there is no Go on this machine: install it as https://go.dev/doc/install says, then run this again" >&2
        exit 1
    }
    module=golang.org/toolchain@v0.0.1-go$go_version.linux-amd64
    [ -d "target/go/$module" ] || {
        echo "installing Go $go_version in target/go"
        mkdir -p target/go
        curl -fsS --retry 3 -o target/go/go.zip "https://proxy.golang.org/${module/@//@v/}.zip"
        echo "${go_sums[$machine]}  target/go/go.zip" | sha256sum --check --quiet
        busybox unzip -q -o target/go/go.zip -d target/go
        # The files of a module cannot be executed.
        chmod +x "target/go/$module"/bin/* "target/go/$module"/pkg/tool/*/*
        rm target/go/go.zip
    }
    PATH=$PWD/target/go/$module/bin:$PATH
}

PATH=$PATH:/usr/local/go/bin
has_go || install_go
echo "building csi-sanity $version with $(go version)"
mkdir -p "$at"
# Go's checksum database vouches for the module, whose go.sum for what it needs. It is linked statically: guests have no libraries of
# their own.
CGO_ENABLED=0 GOFLAGS=-mod=mod GOBIN=$PWD/$at go install -p 1 "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@$version"
