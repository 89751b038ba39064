#!/bin/bash
# Makes a Debian machine ready for the project. Usage: tests/setup.sh [build|quickstart|test|benchmark]
#
#   build       what compiling needs, and libfuse 3.18 when the system's is older
#   quickstart  that, what making images and mounting needs, and the unprivileged user
#   test        that, what the tests compare with, and the image and the kernel that they run (the default)
#   benchmark   that, and what only the benchmark compares with
#
# Installing packages and creating the user take root; without it, what is missing is named and the exit status is 1.
# The libfuse to build with goes to .bazelrc.local. What is there already is left alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/lib/say.sh
source tests/lib/say.sh
# shellcheck source=tests/lib/packages.sh
source tests/lib/packages.sh
# shellcheck source=tests/lib/libfuse.sh
source tests/lib/libfuse.sh
# shellcheck source=tests/lib/kernel.sh
source tests/lib/kernel.sh
# shellcheck source=tests/lib/users.sh
source tests/lib/users.sh
# shellcheck source=tests/lib/image.sh
source tests/lib/image.sh

mode="${1:-test}"
case "$mode" in
  build | quickstart | test | benchmark) ;;
  -h | --help)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
    exit 0
    ;;
  *) die "no such mode: $mode (build, quickstart, test or benchmark)" ;;
esac

install_packages "$mode"

if [[ $mode != build ]] && is_root; then
  provide_plain_user
fi
images="$(images_dir)"
if [[ $mode == test || $mode == benchmark ]]; then
  provide_test_image "$images"
  vm_kernel="$(provide_vm_kernel)"
fi

# The settings of this checkout. Bazel hashes neither the system's headers nor its archives, so what it may take from its
# cache depends on the versions of the packages that they come from.
prefix="$(provide_libfuse)"
mapfile -t packages < <(packages_of build | awk '{print $2}')
versions="$(dpkg-query -W -f '${Package}=${Version}\n' "${packages[@]}" | sha256sum | cut -c1-16)"
settings="build --repo_env=ACETATE_LIBFUSE_PREFIX=$prefix
build --action_env=ACETATE_SYSTEM_LIBRARIES=$versions"
[[ ! -f $images/layers.list ]] || settings+="
test --test_env=ACETATE_IMAGES=$images"
[[ -z ${vm_kernel:-} ]] || settings+="
test --test_env=ACETATE_VM_KERNEL=$vm_kernel"
# Rewritten only when it differs: Bazel forgets what it analysed when its options change.
if [[ ! -f .bazelrc.local || "$(cat .bazelrc.local)" != "$settings" ]]; then
  printf '%s\n' "$settings" >.bazelrc.local
fi
