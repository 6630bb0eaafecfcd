#!/usr/bin/env bash
# Makes .venv from uv.lock; `bootstrap.sh runtime` installs what Madang needs to run, `bootstrap.sh dev` its tools too.
# Writes nothing outside the clone. PYTHON=/path/to/python chooses the interpreter (3.11 or newer).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

want=${1:-runtime}
PATH=${PATH//"$PWD/.venv/bin:"/} # make puts it first; .venv must not be made from itself

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# What the stamp must hold: it changes with the dependencies, with the place of the clone, and with the interpreter.
state() {
  cat uv.lock pyproject.toml scripts/bootstrap.sh scripts/install.py .venv/pyvenv.cfg | cksum
  printf '%s\n' "$PWD" "$(readlink -f .venv/bin/python)"
}

up_to_date() { [[ -x .venv/bin/python && -f $1 && $(<"$1") == "$(state)" ]]; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; }

find_python() {
  local candidate
  if [[ -n ${PYTHON:-} ]]; then
    command -v "$PYTHON"
    return
  fi
  for candidate in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
    if command -v "$candidate" >/dev/null && new_enough "$candidate" 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
}

# Debian keeps venv in a package of its own, and may come without Python.
install_package() {
  local command="apt-get install -y $1"
  command -v apt-get >/dev/null || die "$2 Install it, then run make again."
  if [[ $EUID -ne 0 ]]; then
    die "$2 Ask an administrator to run: $command"
  fi
  say "$2 Running: $command"
  apt-get update -q >&2 && DEBIAN_FRONTEND=noninteractive $command >&2 || die "$2 This failed: $command"
}

make_venv() {
  local python package=python3-venv
  python=$(find_python)
  if [[ -z $python ]]; then
    install_package "python3 python3-venv" "Madang needs Python 3.11 or newer, and found none."
    python=$(find_python)
    [[ -n $python ]] || die "The Python of this system is older than 3.11. Name a newer one: make PYTHON=/path/to/python3"
  fi
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    [[ $python == /usr/bin/* ]] || die "$python lacks venv or ensurepip; name another: make PYTHON=/path/to/python3"
    if [[ $python != */python3 ]]; then package=$(basename "$python")-venv; fi
    install_package "$package" "$python cannot make virtual environments."
  fi
  say "Making .venv with $("$python" --version) ($python)"
  rm -rf .venv
  "$python" -m venv .venv
}

[[ -z ${PYTHON:-} ]] || new_enough "$PYTHON" || die "PYTHON=$PYTHON is not a Python of version 3.11 or newer."
mkdir -p build
if command -v flock >/dev/null; then
  exec 9>build/.bootstrap.lock
  flock 9 # two makes at once must not write the same .venv
fi
if [[ -n ${PYTHON:-} && -x .venv/bin/python ]]; then
  origin='import sys; print(sys.base_prefix, sys.version)'
  [[ $("$PYTHON" -c "$origin") == "$(.venv/bin/python -c "$origin")" ]] || rm -rf .venv
fi
if up_to_date ".venv/.madang-$want" || up_to_date .venv/.madang-dev; then exit 0; fi
.venv/bin/python -m pip --version >/dev/null 2>&1 || make_venv
.venv/bin/python scripts/install.py "$want"
rm -f .venv/.madang-*
state >".venv/.madang-$want"
