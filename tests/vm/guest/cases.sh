#!/bin/sh
# What launch is asked in the virtual machine, as one user. Usage: cases.sh USER GROUP...
#
# Each case prints "case USER NAME ok", or "case USER NAME failed: " and what it wrote. A case is a function, and fails with the first command that fails.
who=$1
shift

cases_of() {
  case "$1" in
    limits) echo pids memory cpus cpuset shares io_weight daemon statistics pause ;;
    places) echo solo ;;
    crowded) echo crowd ;;
    smoke) echo plain_container plain_union ;;
    scope) echo own_scope memory_in_scope not_delegated delegated_scope ;;
    root_scope) echo own_scope memory_in_scope ;;
    undelegated) echo refused best_effort without_limits ;;
  esac
}

run() { launch run --image /image "$@"; }

# The container's directory in the cgroup tree.
cgroup_of() { launch inspect "$1" | tr -d ' ",' | grep '^/sys/fs/cgroup/.*/acetate-\|^/sys/fs/cgroup/acetate-'; }

# A number that inspect tells.
# The last: the limits among the settings have such names, too.
number() { launch inspect "$1" | sed -n "s/^ *\"$2\": \([0-9]*\),*$/\1/p" | tail -n 1; }

# Waits up to ten seconds.
until_true() {
  tries=100
  while ! "$@" && [ $tries -gt 0 ]; do
    sleep 0.1
    tries=$((tries - 1))
  done
  "$@"
}

expect() {
  [ "$@" ] && return 0
  echo "not so: $*"
  return 1
}

gone() {
  expect ! -e "$1"
}

finish() {
  group=$(cgroup_of "$1")
  launch rm -f "$1"
  gone "$group"
}

# ---- limits

at_limit() { grep -q '^max [1-9]' "$group/pids.events"; }

case_pids() {
  run -d --name bomb --pids-limit 20 sh -c '(b() { b | b & b; }; b) 2>/dev/null & exec sleep 1000'
  group=$(cgroup_of bomb)
  expect "$(cat "$group/pids.max")" = 20
  until_true at_limit
  expect "$(cat "$group/pids.current")" -le 20
  finish bomb
}

case_memory() {
  status=0
  run --name hog -m 24m sh -c 'x=12345678; while :; do x=$x$x; done' 2>err || status=$?
  cat err
  expect $status = 137
  expect "$(cat err)" = 'launch: out of memory: the kernel killed 1 process at the limit of 24 MiB'
  expect "$(number hog oom_kills)" = 1
  expect "$(number hog memory_peak_bytes)" -gt 12000000
  expect "$(number hog memory_peak_bytes)" -le 25165824
  launch rm hog
}

cpu_us() { sed -n 's/^usage_usec //p' "$1/cpu.stat"; }
now_ms() { awk '{print int($1 * 1000)}' /proc/uptime; }

case_cpus() {
  run -d --name hog --cpus 0.3 sh -c 'while :; do :; done & while :; do :; done'
  group=$(cgroup_of hog)
  sleep 0.5
  from_us=$(cpu_us "$group") from_ms=$(now_ms)
  sleep 2
  used=$((($(cpu_us "$group") - from_us) / ($(now_ms) - from_ms)))
  echo "used $used thousandths of a CPU"
  # Of two that it would take; where these are busy otherwise, it was held all the same.
  expect $used -gt 20
  expect $used -lt 400
  expect "$(sed -n 's/^nr_throttled //p' "$group/cpu.stat")" -gt 0
  finish hog
}

case_cpuset() {
  expect "$(run --rm grep Cpus_allowed_list /proc/self/status | tr -dc '0-9-')" = 0-1
  expect "$(run --rm --cpuset-cpus 1 grep Cpus_allowed_list /proc/self/status | tr -dc '0-9-')" = 1
  expect "$(run --rm --cpuset-mems 0 grep Mems_allowed_list /proc/self/status | tr -dc '0-9-')" = 0
  status=0
  run --rm --cpuset-cpus 1,5 true 2>err || status=$?
  cat err
  expect $status = 125
  grep -q -- '--cpuset-cpus cannot be enforced: 5 of 1,5 cannot be had here; there is 0-1' err
}

case_shares() {
  run -d --name low --cpu-shares 2 --memory 32m --memory-swap 48m --memory-reservation 16m sleep 1000
  group=$(cgroup_of low)
  expect "$(cat "$group/cpu.weight")" = 1
  expect "$(cat "$group/memory.max")" = 33554432
  expect "$(cat "$group/memory.low")" = 16777216
  expect "$(cat "$group/memory.swap.max")" = 16777216
  finish low
}

case_io_weight() {
  run -d --name light --blkio-weight 300 sleep 1000
  group=$(cgroup_of light)
  cat "$group/io.bfq.weight" "$group/io.weight"
  grep -q '^default 300$' "$group/io.bfq.weight"
  grep -q '^default 2930$' "$group/io.weight"
  finish light
}

# By -q: without it grep fails when a process ends while it is looked at, whatever it has found.
runs() { grep -q -s "sleep.$1" /proc/[0-9]*/cmdline; }
ended() { ! runs "$1"; }

case_daemon() {
  run -d --name host sh -c 'setsid sh -c "(sleep 7771 &) & (setsid sleep 7772 &)"; exec sleep 1000'
  until_true runs 7771
  until_true runs 7772
  group=$(cgroup_of host)
  launch kill host
  launch wait host
  ended 7771
  ended 7772
  gone "$group"
  launch rm host
}

case_statistics() {
  mkdir -p volume
  run -d --name box -v "$PWD/volume:/v" -m 64m --pids-limit 30 --blkio-weight 100 sh -c \
    'i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; dd if=/dev/zero of=/v/f bs=64k count=32 conv=fsync 2>/dev/null
     sleep 1000 & sleep 1001 & touch /v/ready; exec sleep 1002'
  until_true test -e volume/ready
  group=$(cgroup_of box)
  expect "$(number box processes)" = "$(cat "$group/pids.current")"
  expect "$(number box processes)" = 3
  expect "$(number box cpu_us)" -gt 1000
  expect "$(number box memory_bytes)" -gt 100000
  expect "$(number box memory_bytes)" -le "$(number box memory_peak_bytes)"
  expect "$(number box io_written_bytes)" -ge 2097152
  used=$(number box cpu_us)
  launch kill box
  launch wait box
  expect "$(number box cpu_us)" -ge "$used"
  expect "$(number box memory_peak_bytes)" -gt 100000
  expect "$(number box io_written_bytes)" -ge 2097152
  expect "$(number box oom_kills)" = 0
  rm -r volume
  launch rm box
}

case_pause() {
  mkdir -p volume
  run -d --name busy -v "$PWD/volume:/v" sh -c 'while :; do echo more >>/v/count; done'
  until_true test -s volume/count
  group=$(cgroup_of busy)
  launch pause busy
  grep -q '^frozen 1$' "$group/cgroup.events"
  launch inspect busy | grep -q '"status": "paused"'
  size=$(stat -c %s volume/count)
  sleep 0.5
  expect "$(stat -c %s volume/count)" = "$size"
  launch unpause busy
  sleep 0.5
  expect "$(stat -c %s volume/count)" -gt "$size"
  # What is paused can be killed.
  launch pause busy
  finish busy
  rm -r volume
}

# ---- places

# Alone in a cgroup of its own, launch steps aside to divide it, and puts it in order afterwards.
case_solo() {
  solo=/sys/fs/cgroup/user/solo
  sh -c 'echo $$ >"$1/cgroup.procs"; exec launch run -d --name alone --image /image -m 64m sleep 1000' sh $solo
  group=$(cgroup_of alone)
  expect "${group%/*}" = $solo
  expect "$(cat "$group/memory.max")" = 67108864
  expect "$(wc -w <"$group.launch/cgroup.procs")" -ge 1
  launch kill alone
  launch wait alone
  expect -z "$(find $solo -mindepth 1 -type d)"
  expect -z "$(cat $solo/cgroup.subtree_control)"
  launch rm alone
  sh -c 'echo $$ >"$1/cgroup.procs"; exec launch run --rm --image /image -m 64m true' sh $solo
  expect -z "$(find $solo -mindepth 1 -type d)"
}

# ---- crowded

# With others in its cgroup it moves nobody, and says what to do; which then helps.
case_crowd() {
  status=0
  run --rm -m 64m true 2>err || status=$?
  cat err
  expect $status = 125
  expect "$(wc -l <err)" = 1
  grep -q '^launch: --memory cannot be enforced: /sys/fs/cgroup/crowd cannot pass the memory controller on' err
  eval "$(sed 's/.*move them below it: //' err)"
  run --rm -m 64m true
  expect -z "$(find /sys/fs/cgroup/crowd -name 'acetate-*')"
}

# ---- smoke

case_plain_container() {
  expect "$(run --rm sh -c 'echo hello >/f; cat /f /etc/motd; id -u')" = "$(printf 'hello\nwelcome\n0')"
  expect "$(echo piped | launch --rm --image /image cat)" = piped
}

case_plain_union() {
  mkdir -p lower upper work union
  echo below >lower/file
  fusefs -o lowerdir=lower,upperdir=upper,workdir=work union
  expect "$(cat union/file)" = below
  echo above >union/file
  mkdir union/new
  rm union/file
  fusermount3 -u union
  expect -d upper/new
  expect "$(cat lower/file)" = below
  expect ! -f upper/file
  rm -rf lower upper work union
}

# ---- scopes of systemd

case_own_scope() {
  run -d --name scoped -m 64m --pids-limit 30 sleep 1000
  group=$(cgroup_of scoped)
  echo "in $group"
  case "$who $group" in
    "user /sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/acetate-"*".scope/acetate-"*) ;;
    "root /sys/fs/cgroup/system.slice/acetate-"*".scope/acetate-"*) ;;
    *) return 1 ;;
  esac
  expect "$(cat "$group/memory.max")" = 67108864
  expect "$(cat "$group/pids.max")" = 30
  # From another part of the tree.
  expect "$(launch exec scoped cat /proc/self/cgroup)" = 0::/
  expect "$(launch exec scoped sh -c 'echo $$; exec cat /proc/self/cgroup' | tail -n 1)" = 0::/
  launch kill scoped
  launch wait scoped
  until_true gone "${group%/*}"
  launch rm scoped
}

case_memory_in_scope() {
  case_memory
  until_true test -z "$(find /sys/fs/cgroup -name 'acetate-*')"
}

case_not_delegated() {
  status=0
  run --rm --blkio-weight 100 true 2>err || status=$?
  cat err
  expect $status = 125
  expect "$(wc -l <err)" = 1
  grep -q '^launch: --blkio-weight cannot be enforced: systemd does not delegate the io controller to users; ' err
  grep -q '/etc/systemd/system/user@.service.d/delegate.conf' err
}

# A scope that was delegated is used as it is; no further one is asked for.
case_delegated_scope() {
  systemd-run --user --scope -q --unit=mine -p Delegate=yes launch run -d --name given --image /image -m 64m sleep 1000
  group=$(cgroup_of given)
  echo "in $group"
  case "$group" in
    */app.slice/mine.scope/acetate-*) ;;
    *) return 1 ;;
  esac
  expect "$(cat "$group/memory.max")" = 67108864
  expect "$(launch exec given cat /proc/self/cgroup)" = 0::/
  launch kill given
  launch wait given
  until_true gone "${group%/*}"
  launch rm given
}

# ---- undelegated

case_refused() {
  for limit in --memory=64m --pids-limit=9 --cpus=1 --cpu-shares=512 --cpuset-cpus=0 --blkio-weight=100; do
    status=0
    run --rm $limit true >out 2>err || status=$?
    cat err
    expect $status = 125
    expect "$(wc -l <err)" = 1
    expect -z "$(cat out)"
    grep -q "^launch: ${limit%=*} cannot be enforced: no cgroup above /sys/fs/cgroup/others that you may write" err
    grep -q 'systemd-run --user --scope -p Delegate=yes launch' err
    grep -q "mkdir /sys/fs/cgroup/other; chown other " err
  done
  expect -z "$(launch ps -aq)"
}

case_best_effort() {
  status=0
  run --rm --best-effort -m 64m --cpus 1 sh -c 'echo ran' >out 2>err || status=$?
  cat out err
  expect $status = 0
  expect "$(cat out)" = ran
  expect "$(wc -l <err)" = 1
  grep -q '^launch: warning: --memory cannot be enforced: .*; --cpus cannot be enforced: ' err
}

case_without_limits() {
  expect "$(run --rm echo ran 2>&1)" = ran
}

for group in "$@"; do
  for name in $(cases_of "$group"); do
    # Not as a condition, which would let a case go on after a failure.
    (
      set -eu
      "case_$name"
    ) >"/tmp/$who.log" 2>&1
    status=$?
    # What a case that failed has left must not spoil the others.
    launch ps -aq | while read -r left; do launch rm -f "$left" >/dev/null 2>&1; done
    if [ $status -eq 0 ]; then
      echo "case $who $name ok"
    else
      echo "case $who $name failed: $(tr '\n' '|' <"/tmp/$who.log")"
    fi
  done
done
