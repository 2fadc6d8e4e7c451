#!/bin/sh
# reported.sh PATTERN COMMAND...
#
# Runs a program that contains a deliberate fault. Fails unless the program fails and says PATTERN, for then nothing
# watches it, and a suite that passes proves nothing.
pattern=$1
shift
output=$("$@" 2>&1)
status=$?
if [ $status -ne 0 ] && printf '%s\n' "$output" | grep -Eq "$pattern"; then
    echo "ok reported: $pattern"
else
    printf '%s\n' "$output"
    echo "not ok: not reported as '$pattern', exit status $status: $*"
    exit 1
fi
