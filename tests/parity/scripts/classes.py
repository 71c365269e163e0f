"""Classes of the program itself: as items, results and exceptions, and methods of them."""

from dataclasses import dataclass
from multiprocessing import Pool


class NoStarError(Exception):
    pass


@dataclass
class Star:
    name: str
    magnitude: float


@dataclass
class Telescope:
    limit: float

    def observe(self, star):
        if star.magnitude > self.limit:
            raise NoStarError(star.name)
        return Star(star.name, star.magnitude - 1)


def main():
    stars = [Star("a", 1.0), Star("b", 2.5), Star("c", 9.0)]
    telescope = Telescope(5.0)
    with Pool(2) as pool:
        observed = pool.map(telescope.observe, stars[:2])
        print(observed)
        print(all(type(star) is Star for star in observed), observed[0] == Star("a", 0.0))
        try:
            pool.map(telescope.observe, stars)
        except NoStarError as error:
            print("no star", error.args)


if __name__ == "__main__":
    main()
