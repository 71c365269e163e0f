#!/bin/bash
# pypool: one array element of the run below, workers: 1. Its argument is the token of the
# submission, which names a directory in elements/. An element that had an agent is left alone.
pypool_element="elements/$1/${PYPOOL_ELEMENT}"
set -- # what setup reads would take it for its own
trap '' USR1 # "the end is near" is for the agent

exec /python /start.py '/shared/run of 100%' "$pypool_element"
