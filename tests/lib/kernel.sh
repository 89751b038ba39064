# shellcheck shell=bash
# Provides the kernel of the virtual machines that tests run: Debian's for clouds, of its own package, unpacked into the
# cache. Neither /boot nor the machine's boot loader is touched, and no root is needed. Sourced after say.sh.

# What of the package's modules goes along.
readonly VM_MODULES='fs/fuse/fuse fs/overlayfs/overlay fs/autofs/autofs4 block/bfq drivers/block/loop drivers/net/tun'

# Prints the directory of a kernel, fetching it when it is not there: vmlinuz, and modules/kernel with some modules.
# Prints nothing, with a warning, when it cannot be had. Messages go to standard error.
provide_vm_kernel() {
  local package directory work module
  if [[ $(uname -m) != x86_64 ]]; then
    warn "virtual machines are tested on x86_64 only"
    return 0
  fi
  package="$(apt-cache depends --important linux-image-cloud-amd64 2>/dev/null |
    awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ {print $2; exit}')"
  if [[ -z $package ]]; then
    warn "apt has no list of Debian's kernels: going on without virtual machines"
    return 0
  fi
  directory="$(cache_dir)/vm-$package"
  if [[ ! -d $directory ]]; then
    say "fetching $package for virtual machines" >&2
    mkdir -p "$(cache_dir)"
    work="$(mktemp -d "$(cache_dir)/build.XXXXXX")"
    # Unpacked elsewhere, then renamed: a directory of that name is complete.
    mkdir -p "$work/package" "$work/kernel"
    if (cd "$work" && quietly apt-get -q -o APT::Sandbox::User="$(id -un)" download "$package") &&
      dpkg-deb -x "$work/$package"_*.deb "$work/package" && cp "$work"/package/boot/vmlinuz-* "$work/kernel/vmlinuz"; then
      for module in $VM_MODULES; do
        mkdir -p "$work/kernel/modules/kernel/${module%/*}"
        cp "$work"/package/lib/modules/*/kernel/"$module.ko" "$work/kernel/modules/kernel/$module.ko" ||
          warn "$package has no module $module"
      done
      mv "$work/kernel" "$directory"
    else
      warn "could not fetch $package: going on without virtual machines"
      directory=''
    fi
    rm -rf "$work"
  fi
  [[ -z $directory ]] || printf '%s\n' "$directory"
}
