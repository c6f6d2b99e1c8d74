#!/bin/sh
# Say of each dump in a folder what happened, and fail for what is no known issue.
# Usage: triage.sh DUMPS REPORTS KNOWN
set -u
dumps=$1 reports=$2 known=$3
mkdir -p "$reports"
worst=0
for dump in "$dumps"/*; do
    [ -f "$dump" ] || continue
    name=$reports/$(basename "$dump")
    kdbg triage "$dump" --known "$known" --fail-on new \
        -o "$name.html" -o "$name.xml" -o "$name.sarif" -o "$name.md" -o "$name.json" --format text
    status=$?
    # 3: something new; 1: it could not be opened; 2: this script is wrong. The worst of them ends the job.
    [ "$status" -ne 0 ] && worst=$status
    if [ -n "${GITHUB_STEP_SUMMARY:-}" ] && [ -f "$name.md" ]; then
        cat "$name.md" >>"$GITHUB_STEP_SUMMARY"
    fi
done
exit "$worst"
