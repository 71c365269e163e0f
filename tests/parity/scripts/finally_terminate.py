"""A pool that is made outside of `with`, and ended in `finally`."""

from multiprocessing import Pool


def work(number):
    return number + FACTOR


FACTOR = 100


def main():
    pool = Pool(2)
    try:
        first = pool.map(work, range(3))
        second = pool.map(work, range(3), 1)
        print(first, second)
    except KeyboardInterrupt:
        print("interrupted")
    finally:
        pool.terminate()
        pool.join()


if __name__ == "__main__":
    main()
