#!/usr/bin/env bash
# All tests, in two runs side by side: most of their time they wait for a disk, a timer or another process.
# With arguments: one run of pytest with these.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ $# -gt 0 ]]; then
  exec pytest "$@"
fi

beside=(tests/unit tests/contract tests/integration/faults)
report=$(mktemp)
trap 'rm -f "$report"' EXIT
nice -n 5 pytest -o cache_dir=.pytest_cache/beside "${beside[@]}" >"$report" 2>&1 &
other=$!
trap 'kill -INT "$other" 2>/dev/null; wait "$other"; exit 130' INT TERM

failed=0
pytest tests "${beside[@]/#/--ignore=}" || failed=$?
wait "$other" || failed=$?
printf '\n%s\n' "${beside[*]}, which ran at the same time:"
cat "$report"
exit "$failed"
