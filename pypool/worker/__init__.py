"""What runs on the nodes: the agent in an array element, and its workers.

Imports `rundir`, `pickling` and `errors`, nothing else of ours: a thousand agents load this from
a shared disk at once.
"""
