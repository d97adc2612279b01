#!/usr/bin/env bash
# Dial Offhook once with SIPp: call, talk for eight seconds, hang up.
#
#   scripts/call.sh [HOST:PORT [NUMBER]]
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:-127.0.0.1:5060}
number=${2:-+15559876543}
sipp=.venv/share/offhook/tools/bin/sipp
echo "Dialling $number at $target: it rings, is answered, and hangs up after eight seconds."
if "$sipp" -sf scripts/call.xml -s "$number" -i 127.0.0.1 -m 1 -d 8000 -timeout 40 -timeout_error -nostdin "$target" \
    >/dev/null 2>&1; then
    echo "The call went through. See it with: .venv/bin/offhook events list"
else
    echo "The call failed. Is 'make run' running, and is $target where it takes calls?" >&2
    exit 1
fi
