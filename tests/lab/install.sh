#!/bin/sh
# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Installs what the lab (tests/lab) needs and this machine lacks: on Debian, as root. Elsewhere it says what is missing.
set -eu

missing=
need() { # package, command that it brings
  command -v "$2" >/dev/null 2>&1 || missing="$missing $1"
}
need systemd-container systemd-nspawn
need debootstrap debootstrap
need openssh-client ssh
need openssh-server /usr/sbin/sshd
need sudo sudo
need iproute2 ip
need nftables nft
need pdsh pdsh
need gcc cc
need strace strace
need e2fsprogs /usr/sbin/mkfs.ext4
need xfsprogs /usr/sbin/mkfs.xfs

if [ -z "$missing" ]; then
  echo "lab: everything it needs is installed"
elif [ "$(id -u)" -ne 0 ] || ! grep -qs '^ID=debian$' /etc/os-release; then
  echo "lab: needs Debian, root and these packages:$missing; tests that use it will be skipped"
else
  echo "lab: installing$missing"
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  # shellcheck disable=SC2086 # a list of words
  install() { apt-get -qq -y --no-install-recommends install $missing >"$log" 2>&1; }
  # Tests start an sshd of their own: the package must not start one here, now or at the next boot.
  policy=/usr/sbin/policy-rc.d
  if [ ! -x /usr/sbin/sshd ] && [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"; systemctl --quiet disable ssh.service ssh.socket 2>/dev/null || :' EXIT
  fi
  # The package lists of a fresh machine are empty or old: refresh them only if need be, it takes a while.
  install || { apt-get -qq update >"$log" 2>&1 && install; } || {
    tail -n 5 "$log" >&2
    rm -f "$log"
    echo "lab: apt-get could not install$missing" >&2
    exit 1
  }
  rm -f "$log"
fi
