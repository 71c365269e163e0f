"""What is raised where, and how long one waits: a tour of the exceptions."""

import multiprocessing
import time
from multiprocessing import Pool


def inverse(number):
    if number == 5:
        raise ZeroDivisionError("nothing inverts it")
    return 1 / (number - 5)


def late_cube(number):
    time.sleep(0.1)
    return number**3


def told(call, *arguments):
    try:
        return call(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def main(pool):
    print("apply", told(pool.apply, inverse, (5,)))
    print("map", told(pool.map, inverse, range(10)))
    print("imap", told(list, pool.imap(inverse, range(10))))
    print("map_async", told(pool.map_async(inverse, range(10)).get))

    results = pool.imap(inverse, range(10))
    for number in range(10):
        print(number, told(next, results))
    print("after the last", told(next, results).__class__.__name__)

    waited = pool.apply_async(late_cube, (3,))
    while True:
        try:
            print("at last", waited.get(0.02))
            break
        except multiprocessing.TimeoutError:
            waited.wait(0.02)

    cubes, several = pool.imap(late_cube, range(4)), []
    while True:
        try:
            several.append(cubes.next(timeout=0.02))
        except StopIteration:
            break
        except multiprocessing.TimeoutError:
            pass
    print(several)

    pool.close()
    pool.join()
    print("closed", told(pool.map, inverse, [1]))


if __name__ == "__main__":
    with Pool(2) as pool:
        main(pool)
