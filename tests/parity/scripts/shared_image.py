"""An initializer puts a large array into a global, which the mapped function reads."""

from multiprocessing import Pool

import numpy as np

image = None
scale = 1


def set_up(array, factor):
    global image, scale
    image = array
    scale = factor


def row_total(row):
    return scale * int(image[row].sum())


if __name__ == "__main__":
    array = np.arange(400).reshape(20, 20)
    with Pool(2, initializer=set_up, initargs=(array, 10)) as pool:
        totals = pool.map(row_total, range(20))
        one = pool.apply(row_total, (3,))
        rest = list(pool.imap(row_total, range(4, 8), chunksize=2))
    print(sum(totals), 10 * array.sum())
    print(one == totals[3], rest == totals[4:8])
    print("here", image, scale)
