#!/bin/bash
# pypool: one array element of the run below. Its argument is the token of the submission, which
# names a directory in elements/. An element that had an agent already is left alone.
exec /python /start.py '/shared/run of 100%' "elements/$1/${PYPOOL_ELEMENT}"
