"""Where an agent starts: `python start.py RUN ELEMENT [INBOX OUTBOX]`.

Run as a file, so that the pypool beside it is found however the driver's was installed. ELEMENT
is the element's directory in the run directory RUN. With two more arguments, descriptors of
pipes, the agent serves `pypool.local.Pool`. Whatever stands here is compiled at each start.
"""

import sys
from os.path import dirname, realpath

if __name__ == "__main__":
    sys.path[0] = dirname(dirname(dirname(realpath(__file__))))
    from pypool.worker.admission import start

    start(sys.argv[1:])
