"""Pools of many agents, simulated: the real rules, with agents, tasks and file systems made up.

`dealing` plays lists against the dealer alone; `pools` has the mailboxes, too, and who looks into
them when.
"""
