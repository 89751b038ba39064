#!/bin/bash
# Shows the project at work: a Debian container on stacked layers, run without root. Usage:
#
#   launcher/quickstart.sh [-- PROGRAM ARGUMENT...]
#
# Installs the Debian packages that are missing (as root; otherwise it names them), builds, makes an image of two layers,
# and runs a program in it, by default one that shows what there is to notice. Started by root, it runs the container as
# the unprivileged user "acetate". What was made is kept: a second run takes seconds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/lib/say.sh
source tests/lib/say.sh
# shellcheck source=tests/lib/users.sh
source tests/lib/users.sh
# shellcheck source=tests/lib/image.sh
source tests/lib/image.sh

program=()
case "${1:-}" in
  '') ;;
  --)
    shift
    program=("$@")
    ;;
  *)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
    [[ $1 == -h || $1 == --help ]] && exit 0 || exit 2
    ;;
esac

say "1/4 packages"
tests/setup.sh quickstart || die "see above what is missing"
check_plain_user_abilities || die "containers cannot run here"

say "2/4 building fusefs and launch, optimised"
bazel build --config=opt --show_progress_rate_limit=5 --noshow_loading_progress --ui_event_filters=-info //fusefs //launcher:launch

# Copies build result $1 to directory $2, where the plain user can run it: they cannot read root's output.
publish() {
  as_plain_user sh -eu -c 'mkdir -p "$1"; cat >"$1/$2.new"; chmod 0755 "$1/$2.new"; mv "$1/$2.new" "$1/$2"' \
    sh "$2" "${1##*/}" <"$1"
}
images="$(images_dir)"
bin="${images%/images/*}/bin"
publish bazel-bin/fusefs/fusefs "$bin"
publish bazel-bin/launcher/launch "$bin"

say "3/4 the image: a greeting on top of Debian"
provide_quickstart_image "$images"
image="$images/quickstart"

# A hash over everything in the image: names, contents, modes, owners, times and extended attributes.
fingerprint() {
  # Without access times: reading the image to take its fingerprint changes those.
  as_plain_user tar --sort=name --numeric-owner --xattrs --xattrs-include='*' --pax-option=delete=atime \
    -cf - -C "$image" . | sha256sum | cut -c1-16
}

# What runs in the container when no program is named.
tour='
show() { printf "    %-44s %s\n" "$1" "$2"; }
show "who it is (id -u)" "$(id -u), $(id -un)"
show "its hostname" "$(hostname)"
show "its process id" "$$"
show "processes that it sees" "$(ls -d /proc/[0-9]* | wc -l)"
show "what / is (/proc/mounts)" "$(awk "\$2 == \"/\" {print \$3}" /proc/mounts)"
show "first layer: /etc/debian_version" "$(cat /etc/debian_version)"
show "second layer: /etc/motd" "$(cat /etc/motd)"
show "second layer: hello" "$(hello)"
show "hidden by the second layer: /etc/issue.net" "$(ls /etc/issue.net 2>&1 || true)"
echo "I was here" >/root/note
show "it writes /root/note" "$(cat /root/note)"
rm /etc/issue
show "it removes /etc/issue" "$(ls /etc/issue 2>&1 || true)"
'
guided=false
if [[ ${#program[@]} -eq 0 ]]; then
  guided=true
  program=(sh -c "$tour")
fi

say "4/4 the container"
# A store of its own, so that what this container writes is all that is there.
data="${images%/images/*}/quickstart"
as_plain_user rm -rf "$data"
before="$(fingerprint)"
$guided && printf '\n  in the container\n'
status=0
as_plain_user env XDG_DATA_HOME="$data" "$bin/launch" --image "$image" -- "${program[@]}" || status=$?

upper="$(as_plain_user find "$data" -maxdepth 5 -type d -name upper | head -n 1)"
printf '\n  on the host\n'
note() { printf '    %-44s %s\n' "$1" "$2"; }
note "who ran it" "$(as_plain_user id -un), user id $(as_plain_user id -u), without privilege"
if [[ $(fingerprint) == "$before" ]]; then
  note "the image" "byte for byte what it was ($before)"
else
  note "the image" "CHANGED, which must never happen"
  status=1
fi
note "what it wrote, the writable layer" "$upper"
as_plain_user find "$upper" -mindepth 1 \( -type c -printf '/%P (a whiteout: removed)\n' -o ! -type d -printf '/%P\n' \) |
  sort | head -n 20 | while read -r line; do note "" "$line"; done
if $guided; then
  printf '\n  Next: %s -- bash\n' "launcher/quickstart.sh"
fi
exit "$status"
