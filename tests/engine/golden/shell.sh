#!/bin/bash
# pypool: an array element of the run below. By hand: see how shell is asked in the docs;
# an element that had an owner leaves at once.
exec /python /start.py '/work/run of 100%' "elements/$1/${PYPOOL_ELEMENT}"

