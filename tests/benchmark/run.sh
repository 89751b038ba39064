#!/bin/bash
# Compares fusefs with a plain directory, the kernel's overlayfs, fuse-overlayfs, unionfs-fuse and mergerfs.
# `tests/benchmark/run.sh --help` lists the flags; --quick takes about 3 minutes. Needs root, for overlayfs and to
# install the peers. FUSEFS=PROGRAM measures that one instead of building this tree's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/lib/say.sh
source tests/lib/say.sh
# shellcheck source=tests/lib/users.sh
source tests/lib/users.sh

is_root || die "needs root, to mount overlayfs and to install the peers"
if [[ " $* " != *" --help "* && -z ${FUSEFS:-} ]]; then
  tests/setup.sh benchmark
  bazel build --config=opt --noshow_progress //fusefs >&2
fi
exec unshare -m --propagation private \
  python3 tests/benchmark/compare.py --fusefs "${FUSEFS:-$PWD/bazel-bin/fusefs/fusefs}" "$@"
