#!/usr/bin/env bash
# What the tests need of the system beside .venv: a program that gives sandboxes an outbound network.
set -euo pipefail

if [[ $EUID -eq 0 && -c /dev/net/tun ]]; then
  chmod 666 /dev/net/tun # its usual mode; some containers make it root's only
fi
command -v pasta >/dev/null || command -v slirp4netns >/dev/null && exit 0
if [[ $EUID -ne 0 ]]; then
  echo "Neither pasta nor slirp4netns is installed, so tests of the outbound network are skipped." \
    "An administrator can run: apt-get install -y passt"
elif ! command -v apt-get >/dev/null; then
  echo "Neither pasta nor slirp4netns is installed, so tests of the outbound network are skipped. Install passt to run them."
elif ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q passt; } >build/apt.log 2>&1; then
  echo "apt-get could not install passt (see build/apt.log), so tests of the outbound network are skipped."
fi
