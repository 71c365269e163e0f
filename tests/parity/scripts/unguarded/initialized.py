"""An initializer, its global and the function that reads it, all without a guard."""

from multiprocessing import Pool

catalogue = {}


def load(names):
    for place, name in enumerate(names):
        catalogue[name] = place


def look_up(name):
    return name, catalogue[name], len(catalogue)


with Pool(2, load, (["vega", "deneb", "altair"],)) as pool:
    for line in pool.map(look_up, ["altair", "vega"]):
        print(*line)
print("here", catalogue)
