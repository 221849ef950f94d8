#!/bin/bash
# Builds csi-sanity, which tests drivers of the Container Storage Interface, into target/csi-sanity. Needs Go, and at first the network.
# Does nothing where it is there.

set -euo pipefail
cd "$(dirname "$0")/../.."

version=v5.6.0
at=target/csi-sanity/$version
[ ! -x "$at/csi-sanity" ] || exit 0
command -v go >/dev/null || { echo "there is no Go on this machine: install it as https://go.dev/doc/install says" >&2; exit 1; }

echo "building csi-sanity $version"
mkdir -p "$at"
# Go's checksum database vouches for the module, whose go.sum for what it needs. It is linked statically: guests have no libraries of
# their own.
CGO_ENABLED=0 GOFLAGS=-mod=mod GOBIN=$PWD/$at go install -p 1 "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@$version"
