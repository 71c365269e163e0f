"""CPython's own tests of multiprocessing's Pool, run against the pools of pypool."""
