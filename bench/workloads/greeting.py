"""An agent that says on its standard output when its hello is written: `greeting.py RUN ELEMENT`.

Who looks for the hello in the file again and again, as the driver does, takes time from the agent
on a machine of few CPUs: of an agent's start of 12 ms that made 16 in every other one.
"""

import os
import sys

if __name__ == "__main__":
    sys.path[0] = __file__.rsplit(os.sep, 3)[0]
    from pypool.worker.admission import start
    from pypool.worker.arrival import Arrival

    say_hello = Arrival.say_hello

    def say_hello_and_so(self: Arrival) -> None:
        """And one byte, for which somebody waits."""
        say_hello(self)
        if not self.mail.stopped:  # or nothing was said
            os.write(1, b"\n")

    Arrival.say_hello = say_hello_and_so  # type: ignore[method-assign]
    start(sys.argv[1:])
