# shellcheck shell=bash
# Provides libfuse 3.18: from Debian's source package, built as a static library into a private prefix when the system's
# is older. No root and no change to the system's apt: its own mirror is asked, with lists of our own. Sourced after say.sh.

readonly LIBFUSE_WANTED=3.18
readonly DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# True when version $1 is at least $2.
version_at_least() { dpkg --compare-versions "$1" ge "$2"; }

# The newest libfuse that an earlier run built, or nothing.
cached_libfuse() { find "$(cache_dir)" -maxdepth 1 -name 'libfuse-[0-9]*' -type d 2>/dev/null | sort -V | tail -n 1; }

# The mirror that the machine's own apt takes Debian from.
debian_mirror() {
  apt-get indextargets --format '$(ORIGIN)|$(CREATED_BY)|$(LABEL)|$(REPO_URI)' |
    awk -F'|' '$1 == "Debian" && $2 == "Packages" && $3 == "Debian" {print $4; exit}'
}

# Fetches and unpacks into directory $1 the source of libfuse as suite $2 has it. Fails when the suite's is too old.
fetch_libfuse_source() {
  local work="$1" suite="$2" mirror version
  mirror="$(debian_mirror)"
  [[ -n $mirror ]] || return 1
  printf 'deb-src [signed-by=%s] %s %s main\n' "$DEBIAN_KEYRING" "$mirror" "$suite" >"$work/sources.list"
  mkdir -p "$work/lists/partial" "$work/archives/partial"
  local apt=(-q -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$work/lists"
    -o Dir::Cache="$work" -o APT::Sandbox::User="$(id -un)")
  quietly apt-get "${apt[@]}" -o APT::Update::Error-Mode=any update || return 1
  version="$(apt-cache "${apt[@]}" showsrc fuse3 | awk '$1 == "Version:" {print $2}' | sort -V | tail -n 1)"
  [[ -n $version ]] && version_at_least "$version" "$LIBFUSE_WANTED" || return 1
  (cd "$work" && quietly apt-get "${apt[@]}" source fuse3="$version")
}

# Builds the source tree $1 into prefix $2.
build_libfuse() {
  # fusermount3 is the system's; so is everything else but the library and its headers.
  quietly meson setup "$1/build" "$1" --prefix="$2" --libdir=lib --bindir=/usr/bin --buildtype=release \
    -Ddefault_library=static -Dutils=false -Dexamples=false -Dtests=false -Duseroot=false &&
    quietly ninja -C "$1/build" install
}

# Prints the prefix of a libfuse that is new enough, building it when need be; prints nothing when the system's is to be
# used. Messages go to standard error.
provide_libfuse() {
  local system work suite source version prefix
  system="$(pkg-config --modversion fuse3)"
  if version_at_least "$system" "$LIBFUSE_WANTED"; then
    say "libfuse $system of the system is new enough" >&2
    return 0
  fi
  prefix="$(cached_libfuse)"
  if [[ -n $prefix ]]; then
    say "libfuse ${prefix##*-} is in $prefix" >&2
    printf '%s\n' "$prefix"
    return 0
  fi
  mkdir -p "$(cache_dir)"
  work="$(mktemp -d "$(cache_dir)/build.XXXXXX")"
  for suite in testing unstable; do
    say "libfuse $system of the system is older than $LIBFUSE_WANTED: fetching Debian $suite's source" >&2
    fetch_libfuse_source "$work" "$suite" 2>"$work/log" && break
  done
  source="$(find "$work" -maxdepth 1 -type d -name 'fuse3-*')"
  version="${source##*/fuse3-}"
  prefix="$(cache_dir)/libfuse-$version"
  # Built elsewhere, then renamed: a directory of that name is complete.
  if [[ -z $source ]]; then
    cat "$work/log" >&2
    warn "no source of libfuse $LIBFUSE_WANTED to be had: going on with the system's $system"
    prefix=''
  elif ! build_libfuse "$source" "$prefix.new"; then
    warn "libfuse $version does not build here: going on with the system's $system"
    prefix=''
  else
    sed -i "s|^prefix=.*|prefix=$prefix|" "$prefix.new/lib/pkgconfig/fuse3.pc"
    mv "$prefix.new" "$prefix"
    say "built libfuse $version into $prefix" >&2
  fi
  rm -rf "$work"
  [[ -z $prefix ]] || printf '%s\n' "$prefix"
}
