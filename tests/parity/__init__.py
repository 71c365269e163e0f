"""The same tests over six pools: the standard library's two, and pypool's on each backend.

`multiprocessing.pool` is the specification: a test that one of its pools fails is a wrong test.
Where its two pools differ, a parameter says so, with the reason.
"""
