# Shared by the scripts of this folder: sourced, never run.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# need PROGRAM PACKAGE...: PROGRAM is on PATH afterwards; as root on Debian its packages are installed when it is missing.
need() {
  local program=$1
  shift
  command -v "$program" >/dev/null 2>&1 && return 0
  [ -x "/usr/sbin/$program" ] || [ -x "/sbin/$program" ] && return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    die "$program is missing. Install it first: sudo apt-get install -y $*"
  fi
  if [ -z "${apt_updated:-}" ]; then
    apt-get update -q >/dev/null || die "apt-get update failed"
    apt_updated=1
  fi
  say "installing $*"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >/dev/null ||
    die "apt-get install $* failed"
}

need_cargo() {
  command -v cargo >/dev/null 2>&1 || [ -x "$HOME/.cargo/bin/cargo" ] ||
    die "cargo is missing. Install Rust 1.90 or newer: https://rustup.rs"
  export PATH="$HOME/.cargo/bin:$PATH"
  local have
  have=$(cargo --version | sed -E 's/^cargo 1\.([0-9]+)\..*/\1/')
  [ "$have" -ge 90 ] || die "cargo 1.$have is too old: Tenure needs Rust 1.90 or newer (rustup update stable)"
  need cc build-essential
  need protoc protobuf-compiler   # etcd-client generates its client at build time
}
