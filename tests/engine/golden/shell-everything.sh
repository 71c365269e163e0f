#!/bin/bash
# pypool: one array element of the run below, workers: 4. Its argument is the token of the
# submission, which names a directory in elements/. An element that had an agent is left alone.
pypool_element="elements/$1/${PYPOOL_ELEMENT}"
set -- # what setup reads would take it for its own
module load gcc
export CACHE="$TMPDIR"

trap 'kill -TERM "$!" 2>/dev/null || :' TERM # the agent's affair
exec /python /start.py '/shared/run of 100%' "$pypool_element" &
agent=$!; until wait "$agent"; ended=$?; ! kill -0 "$agent" 2>/dev/null; do :; done
{ : # none of these that fails ends this shell, whatever was set before
cp -r results /shared

} || :; exit "$ended"
