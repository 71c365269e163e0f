"""Who gets what, and what becomes of what was lost: pure decisions, no input, no output, no clock.

`deal` is the way in. The dispatcher, the simulator and the property tests drive the same code.
"""
