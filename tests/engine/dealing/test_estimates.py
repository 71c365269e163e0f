"""What a task takes: learned evenly from all that were told of."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pypool.engine.dealing.estimates import Done, Estimates, seconds_in, tasks_in

told = st.lists(st.tuples(st.integers(1, 30), st.floats(0, 10)), min_size=1, max_size=30)


@settings(deadline=None, database=None)
@given(told)
def test_what_is_remembered_is_spread_over_all_tasks(sizes):
    """However many were told of together."""
    done, each = [], []
    for count, seconds in sizes:
        done.append(Done(len(each), len(each) + count, seconds))
        each += [seconds] * count
    assert tasks_in(done) == len(each)
    assert abs(seconds_in(done) - sum(each)) < 1e-6
    estimates = Estimates()
    estimates.add("f", done)
    assert list(estimates._seconds["f"]) == each[:: max(1, len(each) // 16)][-64:]


def test_the_median_of_the_last_ones():
    estimates = Estimates()
    assert estimates.get("f") is None
    estimates.add("f", [Done(0, 1000, 1.0)])
    estimates.add("f", [Done(1000, 1001, 9.0)])
    assert estimates.get("f") == 1.0
    for _ in range(4):
        estimates.add("f", [Done(0, 64, 2.0)])
    assert estimates.get("f") == 2.0
