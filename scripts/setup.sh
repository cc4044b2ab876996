#!/usr/bin/env bash
# Installs what is missing on a Debian 12 machine with Node (20 or newer) and make; quick when nothing is.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin" # `su` without a dash leaves them out

library="${CASEMATE_LIB_DIR:-/var/lib/casemate/lib}"
started=$(date +%s%N)

step() { # text, command...
  local text="$1" from
  shift
  from=$(date +%s%N)
  "$@"
  printf '%6d ms  %s\n' $((($(date +%s%N) - from) / 1000000)) "$text"
}

need_root() {
  [ "$(id -u)" = 0 ] || { echo "set-up has to install packages: run it as root" >&2; exit 1; }
}

missing_packages() {
  local pair
  for pair in mmdebstrap:mmdebstrap nft:nftables ip:iproute2 mkfs.ext4:e2fsprogs losetup:mount nsenter:util-linux \
    setpriv:util-linux pip3:python3-pip curl:curl ps:procps runsc:runsc tcpdump:tcpdump \
    qemu-system-x86_64:qemu-system-x86 qemu-img:qemu-utils mkfs.erofs:erofs-utils as:binutils lz4:lz4 skopeo:skopeo umoci:umoci docker-registry:docker-registry; do
    command -v "${pair%%:*}" >/dev/null || echo "${pair##*:}"
  done
  command -v go >/dev/null || echo golang-go
  python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv # the tests of E2B's SDKs for Python
}

# The log has a name that nobody can foresee: this runs as root in a folder that all may write.
install_packages() {
  local log
  log=$(mktemp)
  { apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" ca-certificates xz-utils; } >"$log" 2>&1 ||
    { tail -n 20 "$log" | sed -E 's#https?://[^ ]+#(archive)#g' >&2; rm -f "$log"; return 1; }
  rm -f "$log"
}

# The archive that this machine's own apt is set up with; no host name stands in this repository.
debian_archive() {
  { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } |
    sed -nE 's#^(URIs:|deb( +\[[^]]*\])?) +([^ ]+/debian)/?( .*)?$#\3#p' | head -n 1
}

# Debian 13's runsc is two years newer than Debian 12's (systrap instead of ptrace). It is a static program: unpacked
# beside, the host's packages stay as they are.
fetch_newer_runsc() {
  local work keyring archive options
  work=$(mktemp -d)
  archive=$(debian_archive)
  keyring=/usr/share/keyrings/debian-archive-trixie-stable.gpg
  [ -e "$keyring" ] || keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  mkdir -p "$work"/lists/partial "$work"/cache/archives/partial
  echo "deb [signed-by=$keyring] $archive trixie main" >"$work/sources.list"
  options=(-qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
  if [ -n "$archive" ] && apt-get "${options[@]}" update >/dev/null 2>&1 &&
    (cd "$work" && apt-get "${options[@]}" download runsc >/dev/null 2>&1); then
    mkdir -p "$library/gvisor"
    rm -rf "$library/gvisor/debian-13.partial"
    dpkg -x "$work"/runsc_*.deb "$library/gvisor/debian-13.partial"
    mv "$library/gvisor/debian-13.partial" "$library/gvisor/debian-13"
  else
    echo "         (Debian 13's runsc cannot be had here; Debian 12's is used)"
  fi
  rm -rf "$work"
}

# The kernel of virtual machines: Debian's own for clouds, unpacked and not installed, so that this machine's boot stays
# as it is. The package without a version only names the newest.
fetch_guest_kernel() {
  local work package version
  work=$(mktemp -d)
  package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -nE 's/^ +Depends: (linux-image-[0-9][^ ]*)$/\1/p' | head -n 1)
  version="${package#linux-image-}"
  if [ -n "$package" ] && (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$package" >/dev/null 2>&1); then
    mkdir -p "$library/kernel"
    rm -rf "$library/kernel/$version.partial"
    dpkg -x "$work"/linux-image-*.deb "$library/kernel/$version.partial"
    mv "$library/kernel/$version.partial" "$library/kernel/$version"
  else
    echo "         (no kernel for guests can be had here; virtual machines are not available)"
  fi
  rm -rf "$work"
}

build_private_ram() {
  local object
  object=$(mktemp)
  mkdir -p "$library/qemu"
  as -o "$object" src/runtime/qemu/private-ram.s
  ld -shared -z noexecstack -o "$library/qemu/private-ram.so" "$object"
  rm -f "$object"
}

install_node_modules() {
  npm ci --no-audit --no-fund --loglevel=error
  touch node_modules/.casemate-installed
}

build_go() { # folder of the program, where it goes
  local to="$PWD/$2"
  mkdir -p "$(dirname "$to")"
  (cd "$1" && CGO_ENABLED=0 GOPROXY=off GOFLAGS=-mod=mod go build -trimpath -ldflags '-s -w' -o "$to" .)
}

go_program() { # text, folder of the program, where it goes
  if [ ! -e "$3" ] || [ -n "$(find "$2" -name '*.go' -newer "$3" -print -quit)" ]; then
    step "$1" build_go "$2" "$3"
  fi
}

mapfile -t packages < <(missing_packages | sort -u)
if [ "${#packages[@]}" -gt 0 ]; then
  need_root
  step "Debian packages: ${packages[*]}" install_packages "${packages[@]}"
fi
if [ ! -e "$library/gvisor/debian-13" ]; then
  need_root
  step "a newer runsc from Debian 13" fetch_newer_runsc
fi
if [ -z "$(ls "$library/kernel" 2>/dev/null)" ]; then
  need_root
  apt-cache show linux-image-cloud-amd64 >/dev/null 2>&1 || step "package lists" apt-get update -qq
  step "a kernel for virtual machines" fetch_guest_kernel
fi
if [ ! -e "$library/qemu/private-ram.so" ] || [ src/runtime/qemu/private-ram.s -nt "$library/qemu/private-ram.so" ]; then
  need_root
  step "QEMU's read-only RAM" build_private_ram
fi
if ! id casemate >/dev/null 2>&1; then
  need_root
  step "system user casemate" useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin casemate
fi
if [ ! -e node_modules/.casemate-installed ] || [ package-lock.json -nt node_modules/.casemate-installed ]; then
  step "npm packages" install_node_modules
fi
go_program "guest agent" guest-agent build/agent/guest-agent
go_program "jail of image tools" src/image/jail build/jail/image-jail
go_program "launcher of runsc" src/runtime/gvisor/launcher build/launcher/gvisor-launcher
printf '%6d ms  set-up\n' $((($(date +%s%N) - started) / 1000000))
