#!/usr/bin/env bash
# Runs every static check, shows only what failed, and fails if any did.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export LC_NUMERIC=C # a point in the times, whatever the language
failed=()
check() {
  local name=$1 output start=$EPOCHREALTIME
  shift
  if output=$("$@" 2>&1); then
    printf '  ok    %-14s %5.1f s\n' "$name" "$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN {print b - a}')"
  else
    printf '  FAIL  %-14s %s\n%s\n' "$name" "($*)" "$output"
    failed+=("$name")
  fi
}

check format ruff format --check .
check lint ruff check .
check types mypy --strict
check layers lint-imports
check openapi python -m madang.api.openapi --check
check rights python -m madang.api.rights --check
check translations python -m madang.cli.i18n --check
check secrets python scripts/check_secrets.py
check documents python scripts/check_documents.py
check size python scripts/check_size.py

if ((${#failed[@]})); then
  echo "make check failed: ${failed[*]}"
  exit 1
fi
