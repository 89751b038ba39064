#!/bin/bash
# Breaks the code on purpose and looks whether a test notices. Usage: tests/mutation/run.sh [FILTER]
#
# For each mutation of mutations.txt, or those in whose title, file or test the word FILTER is: a copy of the tree is
# changed, one test target built, and the test that is named run, which has to fail. Before, all of them have to pass in
# the copy as it is. Prints for each "caught", "SURVIVED", "does not build" or "no longer applies"; exit status 0 only
# when all are caught. The tree itself is never touched. Takes some seconds to half a minute for each; a test that can
# only wait for what does not come takes up to two. To be run as root: a test that is skipped notices nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/lib/say.sh
source tests/lib/say.sh

if [[ ${1:-} == -* ]]; then
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
  [[ $1 == -h || $1 == --help ]] && exit 0 || exit 2
fi
# Always the same place, so that Bazel builds the unchanged parts once.
scratch="$(cache_dir)/mutation"
mkdir -p "$scratch"
exec 9>"$scratch/lock"
flock -n 9 || die "another run uses $scratch"
rm -rf "$scratch/tree" "$scratch/original"
mkdir "$scratch/tree" "$scratch/original"
{
  git ls-files -z --cached --others --exclude-standard
  [[ ! -f .bazelrc.local ]] || printf '.bazelrc.local\0'
} | tar --create --null --files-from=- --ignore-failed-read | tar --extract --directory="$scratch/original"
cp -a "$scratch/original/." "$scratch/tree"
# The table, too, is that of the beginning.
mutations="$scratch/original/tests/mutation/mutations.py"
table="$(python3 "$mutations" list "$@")"
[[ -n $table ]] || die "no mutation is called '$*'"
cd "$scratch/tree"
trap 'bazel shutdown >/dev/null 2>&1 9>&- || true' EXIT

# Runs the tests of target $1 that the filter $2 names; output to $scratch/log. 0: passed, 3: failed, else: not built.
run_test() {
  timeout 900 bazel test --config=opt --config=ci --nocache_test_results --test_sharding_strategy=disabled \
    --test_timeout=120 --noshow_progress --color=no --test_output=errors --test_filter="$2" "$1" >"$scratch/log" 2>&1 9>&-
}

sound=true
while read -r target; do
  filter="$(awk -F'\t' -v target="$target" '$2 == target {print $3}' <<<"$table" | sort -u | paste -sd:)"
  run_test "$target" "$filter" </dev/null && continue
  tail -n 30 "$scratch/log" >&2
  warn "$target fails without any mutation"
  sound=false
done < <(cut -f2 <<<"$table" | sort -u)
$sound || die "a mutation would prove nothing"

declare -A count=()
while IFS=$'\t' read -r number target filter title; do
  verdict="no longer applies"
  if file="$(python3 "$mutations" apply "$number" .)"; then
    status=0
    run_test "$target" "$filter" </dev/null || status=$?
    case $status in
      0) verdict=SURVIVED ;;
      3) verdict=caught ;;
      *) verdict="does not build" ;;
    esac
    cp "$scratch/original/$file" "$file"
  fi
  count[$verdict]=$((${count[$verdict]:-0} + 1))
  printf '%-17s %s (%s %s)\n' "$verdict" "$title" "$target" "$filter"
done <<<"$table"

total="$(wc -l <<<"$table")"
say "${count[caught]:-0} of $total mutations were caught"
[[ ${count[caught]:-0} -eq $total ]]
