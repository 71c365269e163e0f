"""No guard and no function around it: the pool stands among the other lines of the script."""

from multiprocessing import Pool

offset = 10


def shift(number):
    return number + offset


pool = Pool(2)
print(pool.map(shift, range(4)))
print(sorted(pool.imap_unordered(shift, range(4))))
print(pool.apply(shift, (5,)))
pool.close()
pool.join()
print("done")
