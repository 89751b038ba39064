# shellcheck shell=bash
# Makes the Debian images that the quickstart and the tests run. A layer is a directory that belongs to the unprivileged
# user, as one that they had unpacked themselves; it is made once, kept, and never written again. Sourced after say.sh and
# users.sh.

# Raised when what a layer holds changes: layers of another number are made anew.
readonly LAYER_FORMAT=4

# No file of a layer is newer, so that the same packages give the same tree.
readonly LAYER_TIME=1700000000

# The machine's own Debian sources, in the form of sources.list.
debian_sources() {
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  apt-get indextargets --format '$(ORIGIN)|$(CREATED_BY)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)' |
    awk -F'|' -v keyring="$keyring" '$1 == "Debian" && $2 == "Packages" && !seen[$3, $4, $5]++ {
      print "deb [signed-by=" keyring "] " $3 " " $4 " " $5
    }'
}

# Where images are kept: in the cache of the user who runs them, whoever asks. The sources that they are made from are
# part of the name. Inside, the image of the tests, with the image of the quickstart in it:
#
#   layers.list                 quickstart/debian, quickstart/greeting, tools
#   quickstart/layers.list      debian, greeting
#   quickstart/debian/          a root directory, and so an image, too
#   quickstart/greeting/
#   tools/
images_dir() {
  local cache key
  if is_root; then cache="$(home_of "$PLAIN_USER")/.cache/acetate"; else cache="$(cache_dir)"; fi
  key="$({ echo "$LAYER_FORMAT" && debian_sources; } | sha256sum | cut -c1-12)"
  printf '%s/images/%s\n' "$cache" "$key"
}

# Makes layer directory $1 by running the function $2 with a new directory as its argument, unless it is there. The
# directory gets its name only when it is complete.
make_layer() {
  local layer="$1" maker="$2"
  as_plain_user test -d "$layer" && return 0
  local new="$layer.new"
  # Closed to other users: a layer holds setuid programs.
  as_plain_user sh -eu -c 'umask 077; mkdir -p "${1%/*}"; rm -rf "$1"; umask 022; mkdir "$1"' sh "$new"
  if ! "$maker" "$new"; then
    as_plain_user rm -rf "$new"
    warn "could not make the layer ${layer##*/}"
    return 1
  fi
  as_plain_user find "$new" -newermt "@$LAYER_TIME" -exec touch -h -d "@$LAYER_TIME" '{}' +
  as_plain_user mv "$new" "$layer"
}

# A small Debian, with apt: what Debian itself calls required.
make_debian_layer() {
  local sources log status=0
  sources="$(debian_sources)"
  if [[ -z $sources ]]; then
    warn "apt has no list of Debian's packages: run apt-get update as root"
    return 1
  fi
  say "making a Debian tree with mmdebstrap, from this machine's apt sources (about a minute, once)"
  log="$(mktemp)"
  # What one machine would make differently from another is fixed or removed. Through tar, since the files are to belong
  # to the user.
  SOURCE_DATE_EPOCH="$LAYER_TIME" mmdebstrap --quiet --variant=minbase \
    --customize-hook='echo debian >"$1/etc/hostname"' \
    --customize-hook='printf "127.0.0.1\tlocalhost\n::1\tlocalhost\n" >"$1/etc/hosts"' \
    --customize-hook='rm -f "$1/etc/resolv.conf" "$1"/var/log/*.log "$1"/var/log/apt/*' \
    '' - - <<<"$sources" 2>"$log" |
    as_plain_user tar -x -p --no-same-owner --exclude='./dev/*' -C "$1" || status=1
  [[ $status -eq 0 ]] || tail -n 20 "$log" >&2
  rm -f "$log"
  return "$status"
}

# A layer with a greeting, a program, and a whiteout that hides a file of the layers below.
make_greeting_layer() {
  as_plain_user sh -eu -c '
    cd "$1"
    mkdir -p -m 0755 etc usr usr/local usr/local/bin
    echo "This greeting is in the second layer." >etc/motd
    printf "%s\n" "#!/bin/sh" "echo \"Hello from \$(hostname), process \$\$, as \$(id -un).\"" >usr/local/bin/hello
    chmod 0644 etc/motd
    chmod 0755 usr/local/bin/hello
    # A character device 0/0 hides the name below; making one takes no privilege.
    mknod etc/issue.net c 0 0
  ' sh "$1"
}

# A layer with the Debian packages "${@:3}" and all they need beyond the layer $2, unpacked into $1.
unpack_packages() {
  local layer="$1" base="$2" archives deb status=0
  shift 2
  archives="$(mktemp -d)"
  mkdir "$archives/partial"
  # The base's own list of what is installed, so that only what it lacks is fetched.
  quietly apt-get -q -y --no-install-recommends --download-only -o APT::Sandbox::User="$(id -un)" \
    -o Dir::State::status="$base/var/lib/dpkg/status" -o Dir::Cache::archives="$archives" -o Debug::NoLocking=true \
    install "$@" || status=1
  # /bin, /lib and /sbin are links into /usr below; directories of those names here would hide them.
  as_plain_user sh -eu -c 'cd "$1"; for d in bin sbin lib lib32 lib64 libx32; do mkdir -p usr/$d; ln -s usr/$d $d; done' sh "$layer"
  for deb in "$archives"/*.deb; do
    [[ $status -eq 0 ]] || break
    dpkg-deb --fsys-tarfile "$deb" | as_plain_user tar -x -p --no-same-owner --keep-directory-symlink -C "$layer" || status=1
  done
  as_plain_user sh -eu -c 'cd "$1"; rm bin sbin lib lib32 lib64 libx32; rmdir --ignore-fail-on-non-empty usr/*' sh "$layer"
  rm -rf "$archives"
  return "$status"
}

# A layer with a compiler, Git, SQLite, rsync, nginx and tools for attributes on top of the others.
make_tools_layer() {
  say "making a layer with gcc, git, sqlite3, rsync and nginx (about a minute, once)"
  unpack_packages "$1" "${1%/*}/quickstart/debian" gcc libc6-dev git sqlite3 \
    rsync nginx acl attr libcap2-bin
}

# Writes the list of the layers "${@:2}", the base first, into image $1, unless it is there.
list_layers() {
  local image="$1"
  shift
  printf '%s\n' "$@" | as_plain_user sh -eu -c 'cd "$1"; test -e layers.list || { cat >list.new; mv list.new layers.list; }' sh "$image"
}

# Makes the image of the quickstart in directory $1 of images, unless it is there.
provide_quickstart_image() {
  make_layer "$1/quickstart/debian" make_debian_layer &&
    make_layer "$1/quickstart/greeting" make_greeting_layer &&
    list_layers "$1/quickstart" debian greeting
}

# The same for the image of the tests, and so for both.
provide_test_image() {
  provide_quickstart_image "$1" &&
    make_layer "$1/tools" make_tools_layer &&
    list_layers "$1" quickstart/debian quickstart/greeting tools
}
