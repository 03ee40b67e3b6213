"""The plain engine."""

from ganatomy.execute import Executor, local


def test_results_come_in_shard_order_one_at_a_time() -> None:
    worked: list[range] = []

    def work(shard: range) -> int:
        worked.append(shard)
        return sum(shard)

    results = local(work, [range(3), range(3, 5), range(5, 6)])
    assert next(results) == (1, 3)
    assert worked == [range(3)]
    assert list(results) == [(1, 7), (1, 5)]


def test_it_is_an_executor() -> None:
    assert isinstance(local, Executor)
