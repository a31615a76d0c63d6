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
  install_packages "$program" "$@"
}

# install_packages WHAT PACKAGE...: installs the packages that bring WHAT, or says how.
install_packages() {
  local program=$1
  shift
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
  # Debian has the well-known types apart from the compiler, and only recommends them.
  well_known_types || install_packages "google/protobuf/descriptor.proto" libprotobuf-dev
}

# well_known_types: protoc finds google/protobuf/*.proto.
well_known_types() {
  local folder result=0
  folder=$(mktemp -d)
  printf 'syntax = "proto3"; import public "google/protobuf/descriptor.proto";' >"$folder/probe.proto"
  protoc -I "$folder" -o /dev/null "$folder/probe.proto" 2>/dev/null || result=1
  rm -rf "$folder"
  return "$result"
}

# running FILE WORD: the process whose pid FILE holds is alive, and WORD stands on its command line (pids are used again).
running() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] &&
    tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$2"
}

# pause: a tenth of a second.
pause() { read -rt 0.1 <> <(:) || true; }

# stop_pid FILE WORD SECONDS: ends the process of FILE and waits until it is gone.
stop_pid() {
  if running "$1" "$2"; then
    local pid i
    pid=$(cat "$1")
    kill "$pid"
    for ((i = 0; i < $3 * 10; i++)); do
      [ -d "/proc/$pid" ] || break
      pause
    done
    [ ! -d "/proc/$pid" ] || die "process $pid ($2) does not end"
  fi
  rm -f "$1"
}

# need_docker FOLDER: a Docker engine answers afterwards. As root one is started if none does, with its log and pid in FOLDER.
need_docker() {
  need docker docker.io
  docker info >/dev/null 2>&1 && return 0
  [ "$(id -u)" = 0 ] || die "no Docker engine answers. Start it (sudo systemctl start docker) and add yourself to the group docker"
  need iptables iptables
  say "starting dockerd"
  # FOLDER stands on the command line, by which the process is known again.
  nohup dockerd --pidfile "$1/dockerd-own.pid" >"$1/dockerd.log" 2>&1 </dev/null &
  echo $! >"$1/dockerd.pid"
  local i
  for ((i = 0; i < 300; i++)); do
    docker info >/dev/null 2>&1 && return 0
    running "$1/dockerd.pid" "$1" || break
    pause
  done
  tail -5 "$1/dockerd.log" >&2
  die "dockerd did not start; its log is $1/dockerd.log"
}

# make_image TAG TEXT: an image of busybox with one page that says TEXT and another at /health.
make_image() {
  docker image inspect "$1" >/dev/null 2>&1 && return 0
  local root applet
  root=$(mktemp -d)
  mkdir -p "$root"/{bin,tmp,www,etc}
  cp "$(command -v busybox)" "$root/bin/busybox"
  for applet in sh httpd sleep echo cat wget env kill; do ln -s busybox "$root/bin/$applet"; done
  echo "$2" >"$root/www/index.html"
  echo ok >"$root/www/health"
  tar -C "$root" -c . | docker import --change 'ENV PATH=/bin' - "$1" >/dev/null
  rm -rf "$root"
}
