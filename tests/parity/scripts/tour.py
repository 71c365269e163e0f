"""One method after the other, as the manual shows them."""

import os
import time
from multiprocessing import Pool
from multiprocessing import TimeoutError as LateError


def cube(number):
    return number**3


def main():
    with Pool(processes=4) as pool:
        print(pool.map(cube, range(10)))

        for number in pool.imap_unordered(cube, range(10)):
            assert number in {n**3 for n in range(10)}
        print("all cubes seen")

        print(pool.apply_async(cube, (20,)).get(timeout=60))
        print(pool.apply_async(os.getpid, ()).get(timeout=60) != os.getpid())

        results = [pool.apply_async(os.getpid, ()) for _ in range(4)]
        print(len([result.get(timeout=60) for result in results]))

        late = pool.apply_async(time.sleep, (30,))
        try:
            late.get(timeout=0.2)
        except LateError:
            print("not yet")

        print("the pool takes more work")
    print("the pool is gone")
    try:
        pool.apply(cube, (1,))
    except ValueError as error:
        print(error)


if __name__ == "__main__":
    main()
