"""starmap with zip, repeat and a partial; starmap_async beside it."""

from functools import partial
from itertools import product, repeat
from multiprocessing import Pool


def distance(ra, dec, epoch, *, scale=1):
    return scale * (ra * 10 + dec) + epoch


if __name__ == "__main__":
    ras = [1, 2, 3]
    decs = [4, 5, 6]
    with Pool(2) as pool:
        print(pool.starmap(distance, zip(ras, decs, repeat(2000))))
        print(pool.starmap(partial(distance, scale=2), product(ras, decs, [0]), chunksize=2))
        later = pool.starmap_async(distance, [(ra, 0, 0) for ra in ras])
        print(later.get(60))
