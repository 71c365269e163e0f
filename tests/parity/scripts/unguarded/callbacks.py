"""Callbacks of a script without a guard."""

from multiprocessing import Pool

found = []


def weigh(number):
    return number * number


with Pool(2) as pool:
    handles = [pool.apply_async(weigh, (n,), callback=found.append) for n in range(5)]
    for handle in handles:
        handle.wait()
    print(pool.starmap(pow, [(2, 3), (3, 2)]))
print(sorted(found))
