#!/usr/bin/env bash
# QEMU, a kernel and a shell for the guest, as Debian ships them, in DIR (default target/guest/root). Nothing outside DIR is touched and no
# package is installed: apt resolves and fetches into a tree of its own, dpkg-deb unpacks, and QEMU runs from there by its own loader.
#
# The suite is Debian 13 with its backports: stable, so versions move only with fixes. QEMU must be 10.1 or newer (vfio-user-pci). What was
# fetched stands in DIR/VERSIONS; tested with qemu 1:11.1.3, linux 6.12 and busybox 1.37.
set -euo pipefail
dir=$(realpath -m "${1:-target/guest/root}")
suite=trixie
packages=(qemu-system-x86 linux-image-cloud-amd64 busybox-static)

[ -e "$dir/VERSIONS" ] && exit 0
for tool in apt-get dpkg-deb; do
  command -v $tool >/dev/null || { echo "make guest-test fetches Debian packages and needs $tool: run it on Debian or one of its kin" >&2; exit 1; }
done
# The mirror is the one that this machine uses.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
  grep -v '^ *#' | grep -oE 'https?://[^ ]+' | grep -v security | head -n 1 || true)
[ -n "$mirror" ] || { echo "apt knows no package mirror here: see /etc/apt/sources.list" >&2; exit 1; }

rm -rf "$dir.new"
apt=$dir.new/apt
mkdir -p "$apt"/{state/lists/partial,cache/archives/partial,etc/{preferences.d,apt.conf.d,trusted.gpg.d}}
: > "$apt/state/status"
for s in $suite $suite-backports; do
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $s main"
done > "$apt/etc/sources.list"
printf 'Package: src:qemu src:seabios\nPin: release n=%s-backports\nPin-Priority: 900\n' $suite > "$apt/etc/preferences"
get() {
  apt-get -qq -o Dir::State="$apt/state" -o Dir::State::status="$apt/state/status" -o Dir::Cache="$apt/cache" -o Dir::Etc="$apt/etc" \
    -o APT::Sandbox::User=root -o APT::Install-Recommends=false -o APT::Architecture=amd64 -o Acquire::Languages=none \
    -o Acquire::Retries=3 "$@"
}
get update
get install --yes --download-only "${packages[@]}"
for deb in "$apt"/cache/archives/*.deb; do
  dpkg-deb -x "$deb" "$dir.new"
  dpkg-deb -f "$deb" Package Version | paste -sd ' ' | sed 's/Package: //; s/Version: //' >> "$apt/versions"
done
mv "$apt/versions" "$dir.new/VERSIONS"
rm -rf "$apt" "$dir"
mv "$dir.new" "$dir"
grep -E '^(qemu-system-x86|linux-image-[0-9].*|busybox-static) ' "$dir/VERSIONS"
