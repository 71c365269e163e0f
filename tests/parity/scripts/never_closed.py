"""A pool that nobody closes: the program ends all the same."""

from multiprocessing import Pool


def work(number):
    return number * 2


if __name__ == "__main__":
    pool = Pool(2)
    print(pool.map(work, range(5)))
    print(sum(pool.imap(work, range(5))))
