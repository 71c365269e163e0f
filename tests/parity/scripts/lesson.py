"""Images of a sky, as in a lesson: tuples of arguments, and every worker used once."""

from multiprocessing import Pool

import numpy as np


def make_image(seed, shape):
    rows, columns = np.indices(shape)
    image = (3.0 * rows + 7.0 * columns + seed) % 5
    for star in range(seed + 1):
        image[(7 * star) % shape[0], (11 * star) % shape[1]] += 1000.0 + seed
    return image


def brightest(arguments):
    seed, shape, threshold = arguments
    image = make_image(seed, shape)
    background = np.median(image)
    found = np.argwhere(image - background > threshold)
    return seed, len(found), float(image.max())


def main():
    jobs = [(seed, (32, 48), 500.0) for seed in range(6)]
    pool = Pool(processes=3, maxtasksperchild=1)
    try:
        results = pool.map_async(brightest, jobs, chunksize=1).get(timeout=10_000)
    except KeyboardInterrupt:
        pool.terminate()
        raise
    else:
        pool.close()
    pool.join()
    for seed, count, peak in results:
        print(f"image {seed}: {count} stars, the brightest has {peak:.0f}")


if __name__ == "__main__":
    main()
