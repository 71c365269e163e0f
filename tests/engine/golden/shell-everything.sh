#!/bin/bash
# pypool: one array element of the run below, workers: 4. Its argument is the token of the
# submission, which names a directory in elements/. An element that had an agent is left alone.
pypool_element="elements/$1/${PYPOOL_ELEMENT}"
set -- # what setup reads would take it for its own
trap '' USR1 # "the end is near" is for the agent
module load gcc
export CACHE="$TMPDIR"

for pypool_word in TERM USR1 USR2 XCPU; do trap "kill -$pypool_word \$! 2>/dev/null || :" $pypool_word; done
exec /python /start.py '/shared/run of 100%' "$pypool_element" &
agent=$!; until wait "$agent"; ended=$?; ! kill -0 "$agent" 2>/dev/null; do :; done
{ : # none of these that fails ends this shell, whatever was set before
cp -r results /shared

} || :; exit "$ended"
