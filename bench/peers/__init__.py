"""The pools that are measured, each behind the same few words.

A module here is run by the Python of its peer's own environment, which has that library, numpy and
cloudpickle and nothing of the suite's: so none of these may import what lies above this folder.
"""
