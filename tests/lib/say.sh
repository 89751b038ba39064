# shellcheck shell=bash
# How the project's scripts talk: one line a fact on standard output, trouble on standard error. Sourced, never run.

# The script's own name opens each line, so that a log of several tells who spoke.
readonly SAY_NAME="${0##*/}"

say() { printf '%s: %s\n' "$SAY_NAME" "$*"; }
warn() { printf '%s: warning: %s\n' "$SAY_NAME" "$*" >&2; }
die() {
  printf '%s: %s\n' "$SAY_NAME" "$*" >&2
  exit 1
}

is_root() { [[ $EUID -eq 0 ]]; }

# Some machines start scripts without it, and Bazel keeps its results there.
export HOME="${HOME:-$(getent passwd "$(id -un)" | cut -d: -f6)}"

# The home directory of user $1, as the system knows it.
home_of() { getent passwd "$1" | cut -d: -f6; }

# Where the calling user keeps what can be made again: libfuse, images, Bazel's results.
cache_dir() { printf '%s/acetate\n' "${XDG_CACHE_HOME:-$HOME/.cache}"; }

# Runs "$@" quietly; its output is shown only when it fails.
quietly() {
  local log status=0
  log="$(mktemp)"
  "$@" >"$log" 2>&1 || status=$?
  if [[ $status -ne 0 ]]; then
    tail -n 40 "$log" >&2
  fi
  rm -f "$log"
  return "$status"
}
