# shellcheck shell=bash
# The Debian packages that the project needs, each with its reason, and their installation. Sourced after say.sh.

# MODE PACKAGE REASON. The modes include each other: build < quickstart < test < benchmark.
readonly PACKAGES='
build       g++                     compiles
build       bazel-bootstrap         drives the build
build       bazel-rules-java        a rule set that Bazel asks for
build       bazel-rules-proto       a rule set that Bazel asks for
build       pkg-config              tells where libraries are
build       libfuse3-dev            FUSE, the kernel interface of fusefs
build       liburing-dev            io_uring, for newer libfuse
build       libnuma-dev             CPU placement, for newer libfuse
build       libabsl-dev             Abseil
build       libgflags-dev           command-line flags
build       libgoogle-glog-dev      logging
build       libunwind-dev           stack traces of the log
build       liblzma-dev             needed by libunwind
build       libgtest-dev            GoogleTest
build       libgmock-dev            GoogleTest matchers and mocks
build       libbenchmark-dev        Google Benchmark
build       nlohmann-json3-dev      JSON
build       libcap-dev              capabilities
build       libseccomp-dev          system call filters
build       libdbus-1-dev           asking systemd for cgroups
build       libssl-dev              digests of layers
build       dpkg-dev                unpacks the source of a newer libfuse
build       meson                   builds a newer libfuse
build       ninja-build             builds a newer libfuse
build       debian-archive-keyring  verifies what is fetched
quickstart  fuse3                   fusermount3, mounting as a user
quickstart  uidmap                  newuidmap, subordinate user ids
quickstart  mmdebstrap              makes the Debian tree of an image
test        acl                     getfacl, setfacl
test        attr                    getfattr, setfattr
test        bubblewrap              a peer to compare with
test        buildah                 builds images on top of fusefs
test        busybox-static          the smallest image
test        clang-format            checks the layout of the source
test        clang-tidy              checks the source
test        fuse-overlayfs          a peer to compare with
test        git                     a real program for the container
test        hyperfine               compares times
test        iproute2                the bridge of containers of root
test        nftables                the same
test        passt                   networks of containers without privilege
test        podman                  a container engine on top of fusefs
test        qemu-system-x86         boots an older kernel, with cgroups of version 2 alone
test        python3                 reads the test reports and the mutations
test        rsync                   a real program for the container
test        runc                    the runtime of podman; crun refuses hybrid cgroups
test        shellcheck              checks the scripts
test        slirp4netns             the second choice for them
test        sqlite3                 a real program for the container
test        strace                  shows the system calls of a test
test        stress-ng               loads a filesystem in every way
benchmark   fio                     random reads and writes
benchmark   gnuplot-nox             draws the figures
benchmark   mergerfs                a peer to compare with
benchmark   unionfs-fuse            a peer to compare with
'

# Prints the lines of PACKAGES that mode $1 includes.
packages_of() {
  local modes
  case "$1" in
    build) modes='build' ;;
    quickstart) modes='build quickstart' ;;
    test) modes='build quickstart test' ;;
    benchmark) modes='build quickstart test benchmark' ;;
    *) die "no such mode: $1 (build, quickstart, test or benchmark)" ;;
  esac
  awk -v modes="$modes" 'NF && index(" " modes " ", " " $1 " ")' <<<"$PACKAGES"
}

# Prints, of the lines on standard input, those whose package is not installed.
not_installed() {
  local installed
  installed="$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | awk '$1 == "installed" {print $2}')"
  awk 'NR == FNR {have[$1]; next} !($2 in have)' <(printf '%s\n' "$installed") -
}

# Installs what mode $1 needs and lacks, saying what and why. Without root it names what is missing and returns 1.
install_packages() {
  local missing names
  command -v apt-get >/dev/null || die "needs a Debian system: there is no apt-get"
  missing="$(packages_of "$1" | not_installed)"
  if [[ -z $missing ]]; then
    say "all $(packages_of "$1" | wc -l) Debian packages are there"
    return 0
  fi
  mapfile -t names < <(awk '{print $2}' <<<"$missing")
  if ! is_root; then
    warn "Debian packages are missing, and installing them takes root. Ask for:"
    printf '  apt-get install --no-install-recommends %s\n' "${names[*]}" >&2
    return 1
  fi
  say "installing ${#names[@]} Debian packages with apt-get:"
  awk '{package = $2; $1 = $2 = ""; sub(/^ +/, ""); printf "  %-24s%s\n", package, $0}' <<<"$missing"
  quietly apt-get -q update || warn "apt-get update failed; going on with the package lists that are there"
  if ! DEBIAN_FRONTEND=noninteractive quietly apt-get -q -y --no-install-recommends install "${names[@]}"; then
    warn "apt-get could not install: ${names[*]}"
    return 1
  fi
}
