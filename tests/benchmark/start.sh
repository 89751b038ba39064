#!/bin/bash
# What starting /bin/true takes: launch over a union of five layers, beside bubblewrap and runc on a plain directory and
# podman with fuse-overlayfs; then launch, bubblewrap and runc once more, for a user without subordinate ids. All programs
# are root's, as packages install them; one line is of a launch that belongs to who runs it. Usage:
#
#   tests/benchmark/start.sh [ROUNDS]
#
# ROUNDS (10) of five runs of each in turn, as the unprivileged user; medians of all runs. Needs root, to install the
# peers and to hide the subordinate ids. BIN=DIR measures the launch and fusefs in DIR instead of building this tree's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/lib/say.sh
source tests/lib/say.sh
# shellcheck source=tests/lib/users.sh
source tests/lib/users.sh
# shellcheck source=tests/lib/image.sh
source tests/lib/image.sh

is_root || die "needs root, to install the peers and to hide the subordinate ids"
rounds="${1:-10}"
[[ $rounds =~ ^[1-9][0-9]*$ ]] || die "not a number of rounds: $rounds"
tests/setup.sh benchmark
[[ -n ${BIN:-} ]] || bazel build --config=opt --noshow_progress //launcher:launch //fusefs >&2

work="$(as_plain_user mktemp -d /var/tmp/acetate-start-XXXXXX)"
installed="$(mktemp -d /var/tmp/acetate-installed-XXXXXX)"
chmod 0755 "$installed"
podman=(podman --root "$work/podman" --runroot "$work/run" --storage-driver overlay
  --storage-opt overlay.mount_program=/usr/bin/fuse-overlayfs --cgroup-manager cgroupfs --runtime runc)
clean_up() {
  local pause
  as_plain_user "${podman[@]}" system reset --force >/dev/null || true
  pause="$(find "$work" -name pause.pid -exec cat '{}' +)"
  [[ -z $pause ]] || kill "$pause" || true
  rm -rf --one-file-system "$work" "$installed"
}
trap clean_up EXIT
for program in launcher/launch fusefs/fusefs; do
  install -m 0755 "${BIN:-bazel-bin/${program%/*}}/${program##*/}" "$installed"
  as_plain_user cp "$installed/${program##*/}" "$work"
done

debian="$(images_dir)/quickstart/debian"
as_plain_user env WORK="$work" DEBIAN="$debian" sh -eu -c '
  cd "$WORK"
  mkdir image bundle one two three four
  mv one two three four image
  cp -a "$DEBIAN" image/debian
  printf "%s\n" debian one two three four >image/layers.list
  cd bundle
  runc spec --rootless
  sed -i "s|\"terminal\": true|\"terminal\": false|; s|\"sh\"|\"/bin/true\"|; s|\"path\": \"rootfs\"|\"path\": \"$DEBIAN\"|" config.json
  tar --owner=0 --group=0 --numeric-owner -cf "$WORK/debian.tar" -C "$DEBIAN" bin sbin lib lib64 etc usr'
as_plain_user "${podman[@]}" import -q "$work/debian.tar" base >/dev/null

# Runs the commands "$@", as hyperfine takes them, as the unprivileged user, with a place of its own for what launch and runc
# keep. Prints the table.
compare() {
  local round
  for ((round = 1; round <= rounds; ++round)); do
    as_plain_user env XDG_DATA_HOME="$work" XDG_RUNTIME_DIR="$work" hyperfine -N --warmup 1 --runs 5 --style none \
      --export-json "$work/round-$round.json" "$@" >/dev/null
  done
  tests/benchmark/start_report.py bubblewrap "$work"/round-*.json
}
launch="$installed/launch --rm --image $work/image -- /bin/true"
bwrap="bwrap --bind $debian / --unshare-all --proc /proc --dev /dev /bin/true"
runc="runc run --bundle $work/bundle start"
compare -n launch "$launch" -n "launch, one's own" "$work/${launch#"$installed/"}" -n bubblewrap "$bwrap" -n runc "$runc" \
  -n podman "${podman[*]} run --rm --network none base /bin/true"
say "without subordinate ids"
export -f as_plain_user is_root home_of compare
export PLAIN_USER work rounds
unshare -m --propagation private bash -eu -c '
  for file in /etc/subuid /etc/subgid; do mount --bind /dev/null "$file"; done
  compare "$@"' bash -n launch "$launch" -n bubblewrap "$bwrap" -n runc "$runc"
