"""Where an agent starts: `python start.py RUN ELEMENT [INBOX OUTBOX]`.

Run as a file, so that the pypool beside it is found however the driver's was installed. ELEMENT
is the element's directory in the run directory RUN. With two more arguments, descriptors of
pipes, the agent serves `pypool.local.Pool`.
"""

import os
import sys
from os.path import dirname, realpath

if __name__ == "__main__":
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:  # what is opened next would be taken for it
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.path[0] = dirname(dirname(dirname(realpath(__file__))))
    from pypool.worker.admission import main

    code = main(sys.argv[1:])
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):  # the disk of the log may be full: the exit code is ours
            pass
    os._exit(code)
