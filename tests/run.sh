#!/bin/bash
# Installs what is needed, builds everything and runs every test. Usage: tests/run.sh [PATTERN...]
#
# With Bazel patterns (//fusefs/...), builds and tests only those. Ends with the line "N passed, N failed, N skipped"; each
# failure and each skip is listed with its reason before it. Exit status 0 only when nothing failed. Fails at once where
# /dev/fuse or user namespaces cannot be used, instead of passing without having tested much.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/lib/say.sh
source tests/lib/say.sh
# shellcheck source=tests/lib/users.sh
source tests/lib/users.sh

if [[ ${1:-} == -* ]]; then
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
  [[ $1 == -h || $1 == --help ]] && exit 0 || exit 2
fi
patterns=("$@")
[[ $# -gt 0 ]] || patterns=(//...)

tally="$(mktemp)"
trap 'rm -f "$tally"' EXIT

step() { say "[$((SECONDS / 60)):$(printf '%02d' $((SECONDS % 60)))] $*"; }

# Adds one passed (1 0) or failed (0 1) check that is no Bazel test to the count.
count() { echo "$1 $2 0" >>"$tally"; }

# Prints the count and ends: successfully when something passed and nothing failed.
finish() {
  awk '{passed += $1; failed += $2; skipped += $3}
       END {printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit failed > 0 || passed == 0}' "$tally"
  exit
}

# Runs the tests that are both in `patterns` and in the Bazel pattern $1, with the further flags "${@:2}", and counts
# their cases.
run_tests() {
  local targets status=0
  mapfile -t targets < <(bazel query --noshow_progress "tests(set(${patterns[*]})) intersect $1" 2>/dev/null)
  [[ ${#targets[@]} -gt 0 ]] || return 0
  # What a test finds depends on the kernel and the machine, which Bazel's cache of results knows nothing of. A failure
  # is tried once more: what then passes is told as unsteady, and counted as passed.
  bazel test "${bazel_flags[@]}" --nocache_test_results --flaky_test_attempts=2 "${@:2}" "${targets[@]}" || status=$?
  # 3: built, but a test failed. Anything else: the reports, if any, are of an earlier run.
  if [[ $status -ne 0 && $status -ne 3 ]]; then
    warn "bazel test ended with status $status before the tests did"
    count 0 1
    return
  fi
  python3 tests/lib/results.py bazel-testlogs "$tally" "${targets[@]}"
}

bazel_flags=(--config=opt --config=ci --keep_going --color=no --curses=no --show_progress_rate_limit=20
  --noshow_loading_progress)

step "installing what building and testing need"
tests/setup.sh test

step "checking that this machine can run the tests"
check_plain_user_abilities || die "the tests would pass here without having tested anything: stopping"

step "checking the source"
if tests/lint.sh; then count 1 0; else count 0 1; fi

step "building"
if ! bazel build "${bazel_flags[@]}" "${patterns[@]}"; then
  warn "the build failed"
  count 0 1
  finish
fi

# Checks that the fusefs just tested was built with libfuse version $1.
check_libfuse() {
  local built
  [[ -x bazel-bin/fusefs/fusefs ]] || return 0
  built="$(bazel-bin/fusefs/fusefs --version | awk '$1 == "libfuse" {print $2}')"
  if [[ $built == "$1" ]]; then
    count 1 0
  else
    warn "fusefs was built with libfuse $built, not $1"
    count 0 1
  fi
}

prefix="$(sed -n 's/.*ACETATE_LIBFUSE_PREFIX=//p' .bazelrc.local)"
system_libfuse="$(pkg-config --modversion fuse3)"

step "testing"
run_tests //...
if [[ -n $prefix ]]; then check_libfuse "${prefix##*-}"; else check_libfuse "$system_libfuse"; fi

# The system's libfuse is what a user without a newer one gets.
if [[ -n $prefix ]]; then
  step "testing fusefs with the system's libfuse"
  run_tests '((//fusefs/... union //tests/...) except //tests/e2e:container_test)' --repo_env=ACETATE_LIBFUSE_PREFIX=
  check_libfuse "$system_libfuse"
fi

step "testing with the address and undefined behaviour sanitizers"
run_tests '(//common/... union //fusefs/...)' --config=asan --config=ubsan

finish
