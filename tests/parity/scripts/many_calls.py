"""Different functions by one helper: apply_async, imap and imap_unordered side by side."""

from multiprocessing import Pool


def call(function, arguments):
    return f"{function.__name__}{arguments} = {function(*arguments)}"


def call_pair(pair):
    return call(*pair)


def times(first, second):
    return first * second


def plus(first, second):
    return first + second


def main():
    with Pool(4) as pool:
        calls = [(times, (number, 7)) for number in range(5)]
        calls += [(plus, (number, 8)) for number in range(5)]

        handles = [pool.apply_async(call, pair) for pair in calls]
        in_order = pool.imap(call_pair, calls)
        in_any_order = pool.imap_unordered(call_pair, calls)

        for handle in handles:
            print(handle.get())
        for line in in_order:
            print(line)
        for line in sorted(in_any_order):
            print(line)
        for line in pool.map(call_pair, calls):
            print(line)


if __name__ == "__main__":
    main()
