#!/usr/bin/env bash
# The host program on a PCI function of a virtual machine, through the guest kernel's VFIO; the function is a vfio-user socket's.
# BOARD=rtl (the default) serves the Verilated board, BOARD=model the card's plain model; CONFIG is the engine's configuration, SELFTEST what
# the selftest is told beside the board (RTL is slow), TOKENS the length of the text. Everything made lies in target/guest.
#
# Passes when the guest's selftest passes and its text is that of the golden board outside, byte for byte, although the kernel is told to unbind
# the board meanwhile; bound again, the board works. The row of docs/reliability.md on this is compared, or with ROUNDHOUSE_PAGES written. The
# guest's console is target/guest/console.log. QEMU's exit code says nothing: a guest that failed powers off as well.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=target/guest
root=$work/root
config=${CONFIG:-tiny}
case ${BOARD:-rtl} in
  rtl) kind=() selftest=${SELFTEST---limit 256K} tokens=${TOKENS:-8} ;;
  model) kind=(--model) selftest=${SELFTEST-} tokens=${TOKENS:-24} ;;
  *) echo "BOARD=$BOARD: rtl or model was expected" >&2; exit 2 ;;
esac
prompt="And it came to pass in those days, that"
export CARGO_BUILD_JOBS=${CARGO_BUILD_JOBS:-$(nproc)}
started=$SECONDS
step() { echo "guest-test: $* ($((SECONDS - started)) s)"; }
fail() { echo "guest-test: FAILED: $*; the guest's console is $work/console.log" >&2; exit 1; }

mkdir -p $work
tests/guest/setup.sh $root
step "QEMU and kernel are there"

# The unchanged program, linked statically, since the guest has no libraries. The target is named so that build scripts are not static.
target=x86_64-unknown-linux-gnu
RUSTFLAGS="-C target-feature=+crt-static" cargo build --quiet -p host --target $target
cargo build --quiet -p sim-tb
[ ${#kind[@]} -gt 0 ] || make --no-print-directory sim CONFIG="$config"
step "host and server are built"

# The guest's files: a shell, five modules, the program, the demo model.
files=$work/files
rm -rf $files
mkdir -p $files/{bin,modules,demo}
cp $root/usr/bin/busybox $files/bin/
find $root/usr/lib/modules -name 'irqbypass.ko*' -o -name 'vfio*.ko*' | while read -r module; do
  name=$(basename "$module")
  case $name in
    *.xz) $root/usr/bin/busybox xzcat "$module" > "$files/modules/${name%.xz}" ;;
    *) cp "$module" $files/modules/ ;;
  esac
done
cp target/$target/debug/host $files/
strip $files/host 2>/dev/null || true
cp models/demo/* $files/demo/
cp "bitstreams/$config.toml" $files/board.toml
echo "$selftest" > $files/selftest-arguments
printf '%s' "$prompt" > $files/prompt
echo $tokens > $files/tokens
install -m 755 tests/guest/init $files/init
(cd $files && find . | ../root/usr/bin/busybox cpio -o -H newc 2>/dev/null) | gzip -1 > $work/initrd.gz
step "the guest's files are packed: $(du -h $work/initrd.gz | cut -f1)"

$files/host run -m models/demo --bitstream $files/board.toml --device golden -p "$prompt" -n $tokens > $work/golden.txt 2> $work/golden.log ||
  fail "the golden run outside"

# QEMU connects at once, and exits if nobody listens.
socket=$work/board.sock
rm -f $socket
target/debug/sim-tb serve --socket $socket --config "$config" ${kind[@]+"${kind[@]}"} 2> $work/server.log &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
for _ in $(seq 100); do [ -S $socket ] && break; sleep 0.1; done
[ -S $socket ] || fail "the server made no socket: $(cat $work/server.log)"

# Memory is shared with the server; the IOMMU maps as the guest asks (caching-mode), and remaps interrupts. A reply may take a minute: RTL is slow. The
# kernel does not test its timer: the test gives up on a loaded machine.
kernel=$(ls $root/boot/vmlinuz-*)
lib=$root/usr/lib/x86_64-linux-gnu
step "the guest starts: $(basename $kernel)"
timeout 840 $root/usr/lib64/ld-linux-x86-64.so.2 --library-path $lib:$lib/pulseaudio $root/usr/bin/qemu-system-x86_64 \
  -L $root/usr/share/qemu -L $root/usr/share/seabios -nodefaults -no-user-config -no-reboot -display none \
  -machine q35 -accel tcg,thread=multi -cpu max -smp 1 -m 1024 \
  -object memory-backend-memfd,id=mem,size=1024M,share=on -machine memory-backend=mem \
  -device intel-iommu,caching-mode=on,intremap=on \
  -device pcie-root-port,id=rp1,chassis=1,slot=1 \
  -device '{"driver":"vfio-user-pci","id":"board","bus":"rp1","x-msg-timeout":60000,"socket":{"type":"unix","path":"'$socket'"}}' \
  -kernel $kernel -initrd $work/initrd.gz -append "console=ttyS0 panic=-1 loglevel=3 intel_iommu=on no_timer_check" \
  -serial stdio < /dev/null > $work/console.log 2>&1 || fail "QEMU ended with $?, or the time is over"
step "the guest has powered off"

tr -d '\r' < $work/console.log > $work/console.txt
grep '^GUEST' $work/console.txt | grep -v '^GUEST text' || true
grep -q '^GUEST done$' $work/console.txt || fail "the guest did not come to its end"
grep -q '^GUEST selftest rc 0$' $work/console.txt || fail "host selftest in the guest"
grep -q '^GUEST run rc 0$' $work/console.txt || fail "host run in the guest"
grep -q '^GUEST busy: .* in use by process [0-9]* (host)' $work/console.txt || fail "the program that has the board was not named"
sed -n '/^GUEST text begin$/,/^GUEST text end$/p' $work/console.txt | grep -v '^GUEST' | base64 -d > $work/guest.txt
cmp $work/golden.txt $work/guest.txt || fail "the guest's text differs from the golden board's"
grep -q '^GUEST using: .* in use' $work/console.txt || fail "no text was being made when the board was to be taken away"
grep -q '^GUEST unbind waits$' $work/console.txt || fail "the board was taken away under the program"
grep -q '^GUEST unbind rc 0$' $work/console.txt || fail "the board could not be taken away behind the program"
grep -q '^GUEST next rc 0$' $work/console.txt || fail "host selftest on the board that was bound again"
# What was said, as the tests of faults write it.
page=docs/reliability.md
{
  echo '| fault | where injected | what was said | time to error | next run |'
  echo '|---|---|---|---|---|'
  echo '| the device is unbound under the program | `unbind` of vfio-pci while a text is made | nothing: the kernel waits until the program has ended, and the text is right | no error | works when it is bound again: `host selftest` passes |'
} > $work/row
mark='kernel: written by `ROUNDHOUSE_PAGES=1 make guest-test`'
awk -v mark="<!-- $mark -->" -v row=$work/row '
  $0 == "<!-- end of kernel -->" { inside = 0 }
  !inside { print }
  $0 == mark { inside = 1; while ((getline line < row) > 0) print line }
' $page > $work/page
if [ -n "${ROUNDHOUSE_PAGES-}" ]; then cp $work/page $page; else cmp $work/page $page || fail "$page, kernel, is stale: run ROUNDHOUSE_PAGES=1 make guest-test"; fi
step "PASSED: selftest, and $(wc -c < $work/guest.txt) bytes of text equal to the golden board's"
