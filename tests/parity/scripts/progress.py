"""A count of what is done, while results come in any order."""

import sys
from multiprocessing import Pool


def reduce_frame(frame):
    return frame, sum(number * frame for number in range(100))


def main():
    frames = range(1, 41)
    found = {}
    with Pool(4) as pool:
        for done, (frame, value) in enumerate(pool.imap_unordered(reduce_frame, frames), 1):
            found[frame] = value
            sys.stdout.write(f"\r{done}/{len(frames)}")
            sys.stdout.flush()
    print()
    print(found == {frame: 4950 * frame for frame in frames})


if __name__ == "__main__":
    main()
