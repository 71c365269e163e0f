"""The shortest program: a pool in a `with`, one map."""

from multiprocessing import Pool


def cube(number):
    return number**3


if __name__ == "__main__":
    with Pool(3) as pool:
        print(pool.map(cube, [1, 2, 3]))
