# shellcheck shell=bash
# The unprivileged user whom tests and the quickstart run containers as, when they are started by root. Sourced after say.sh.

readonly PLAIN_USER=acetate

# Prints the first id of a range of 65536 that no line of subordinate id file $1 covers.
free_subordinate_range() {
  awk -F: 'BEGIN {free = 100000} $2 + $3 > free {free = $2 + $3} END {print free}' "$1" 2>/dev/null || echo 100000
}

# Creates the user with subordinate ids, and opens /dev/fuse and /dev/net/tun to all, as udev does on machines that run it.
provide_plain_user() {
  local start
  if ! id "$PLAIN_USER" >/dev/null 2>&1; then
    say "creating the unprivileged user $PLAIN_USER"
    useradd --create-home --shell /bin/bash "$PLAIN_USER" || return 1
  fi
  if ! grep -q "^$PLAIN_USER:" /etc/subuid; then
    start="$(free_subordinate_range /etc/subuid)"
    usermod --add-subuids "$start-$((start + 65535))" "$PLAIN_USER" || return 1
  fi
  if ! grep -q "^$PLAIN_USER:" /etc/subgid; then
    start="$(free_subordinate_range /etc/subgid)"
    usermod --add-subgids "$start-$((start + 65535))" "$PLAIN_USER" || return 1
  fi
  local device
  for device in /dev/fuse /dev/net/tun; do
    [[ -c $device && $(stat -c %a "$device") != 666 ]] || continue
    say "opening $device to all users"
    chmod 0666 "$device" || return 1
  done
}

# Runs "$@" without privilege: as the caller, or as the plain user when the caller is root.
as_plain_user() {
  if is_root; then
    # Nothing of root's environment: its HOME and PATH name places that the user cannot read.
    runuser -u "$PLAIN_USER" -- env -i HOME="$(home_of "$PLAIN_USER")" USER="$PLAIN_USER" LOGNAME="$PLAIN_USER" \
      PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin LANG=C.UTF-8 TERM="${TERM:-dumb}" "$@"
  else
    "$@"
  fi
}

# Says what stops an unprivileged user here from running containers, a line each; returns 1 when something does.
check_plain_user_abilities() {
  local status=0
  if [[ ! -c /dev/fuse ]]; then
    warn "/dev/fuse is missing: the kernel module fuse is not loaded (modprobe fuse)"
    status=1
  elif ! as_plain_user sh -c ': <>/dev/fuse' 2>/dev/null; then
    warn "/dev/fuse cannot be opened without root: chmod 0666 /dev/fuse, as udev's rules do"
    status=1
  fi
  if ! as_plain_user unshare --user --map-root-user --mount --pid --fork true 2>/dev/null; then
    warn "user namespaces cannot be made without root: see user.max_user_namespaces, kernel.unprivileged_userns_clone" \
      "and kernel.apparmor_restrict_unprivileged_userns in sysctl"
    status=1
  fi
  return "$status"
}
