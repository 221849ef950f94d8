#!/bin/bash
# Makes ready what a guest with two processors needs: QEMU from Debian's packages, and in target/smp Debian's own kernel, its modules,
# and an initramfs that mounts the host's root. Does nothing, quickly, where it is there.

set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
there=$top/target/smp
[ ! -e "$there/initramfs" ] || exit 0

as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)
if ! command -v qemu-system-x86_64 >/dev/null; then
    "${as_root[@]}" apt-get -q update
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends qemu-system-x86
fi

# The kernel is unpacked and not installed: nothing of the host boots it.
mkdir -p "$there"
cd "$there"
package=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
release=${package#linux-image-}
rm -rf kernel ./*.deb
apt-get -q download "$package"
dpkg -x "$package"_*.deb kernel
rm ./*.deb
cp "kernel/boot/vmlinuz-$release" vmlinuz
/sbin/depmod -b kernel "$release"

# In the initramfs: busybox, and what the host's root needs in order to be mounted.
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,dev,proc,sys,host,modules}
cp /bin/busybox "$root/bin/busybox"
for module in virtio_pci virtio_blk 9pnet_virtio 9p; do
    /sbin/modprobe -d kernel -S "$release" --show-depends "$module" | sed -n 's/^insmod //p'
done | awk '!seen[$1]++ { print $1 }' >"$root/modules/order"
while read -r module; do cp "$module" "$root/modules/"; done <"$root/modules/order"
cat >"$root/init" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
while read -r module; do /bin/busybox insmod "/modules/${module##*/}"; done </modules/order
/bin/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose root /host
/bin/busybox umount /dev
exec /bin/busybox switch_root /host "$GUEST_INIT"
END
chmod +x "$root/init"
(cd "$root" && find . | busybox cpio -o -H newc | gzip -1) >initramfs.new
mv initramfs.new initramfs
