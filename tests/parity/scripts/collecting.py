"""Callbacks collect results and errors in lists, until the pool is joined."""

from multiprocessing import Pool

results = []
failures = []


def collect(result):
    results.append(result)


def note(error):
    failures.append(f"{type(error).__name__}({error.args[0]})")


def measure(star, exposure=1.0, *, filter_name="V"):
    if star % 4 == 3:
        raise ValueError(star)
    return star, star * exposure, filter_name


if __name__ == "__main__":
    pool = Pool(3)
    for star in range(10):
        pool.apply_async(
            measure,
            args=(star, 0.5),
            kwds={"filter_name": "BVR"[star % 3]},
            callback=collect,
            error_callback=note,
        )
    pool.close()
    pool.join()
    for result in sorted(results):
        print(*result)
    print(sorted(failures))
