#!/bin/bash
# Checks the source without running it. Usage: tests/lint.sh [--tidy] [FILE...]
#
# clang-format for C++ and shellcheck for scripts, over the whole tree or over the files named; whether the mutations of
# tests/mutation still fit the source; with --tidy also clang-tidy, which takes some seconds for each C++ file. Exit
# status 1 when something is found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/lib/say.sh
source tests/lib/say.sh

tidy=false
case "${1:-}" in
  --tidy)
    tidy=true
    shift
    ;;
  -h | --help)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
    exit 0
    ;;
esac

mapfile -t files < <(if [[ $# -gt 0 ]]; then printf '%s\n' "$@"; else git ls-files --cached --others --exclude-standard; fi)
cxx=()
units=()
scripts=()
for file in "${files[@]}"; do
  [[ -f $file ]] || continue
  case "$file" in
    *.cc) cxx+=("$file") units+=("$file") ;;
    *.h) cxx+=("$file") ;;
    *.sh | .ci/run) scripts+=("$file") ;;
  esac
done

status=0
if [[ ${#cxx[@]} -gt 0 ]]; then
  say "clang-format: ${#cxx[@]} files"
  clang-format --dry-run -Werror "${cxx[@]}" || status=1
fi
if [[ ${#scripts[@]} -gt 0 ]]; then
  say "shellcheck: ${#scripts[@]} scripts"
  shellcheck "${scripts[@]}" || status=1
fi
say "mutations: do they fit the source"
python3 tests/mutation/mutations.py check || status=1
if $tidy && [[ ${#units[@]} -gt 0 ]]; then
  say "clang-tidy: ${#units[@]} files"
  # What Bazel passes to the compiler, without asking it: the options of .bazelrc and the libfuse that was chosen.
  read -r -a flags < <(pkg-config --cflags dbus-1)
  flags+=(-std=c++20 -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64)
  prefix="$(sed -n 's/.*ACETATE_LIBFUSE_PREFIX=//p' .bazelrc.local 2>/dev/null || true)"
  [[ -z $prefix ]] || flags+=(-isystem "$prefix/include")
  printf '%s\0' "${units[@]}" | xargs -0 -P "$(nproc)" -I{} clang-tidy --quiet --warnings-as-errors='*' {} -- "${flags[@]}" || status=1
fi
exit "$status"
