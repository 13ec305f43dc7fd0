"""Many pages at once: nobody waits for a connection that never comes back; figures are not counted twice."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from service.runtime import Runtime
from service.web.figures import COSTLY, LASTS, Figures
from tests.browser import serve
from tests.clinic import ANA, enroll, text
from tests.databases import free_port
from tests.web_clinic import RED_FLAG, browser_of

AT_ONCE = 60  # three times the connections of a process


@pytest.fixture
def address(runtime: Runtime):
    enroll(runtime)
    text(runtime, ANA, RED_FLAG)
    port = free_port()
    with serve(runtime, port):
        yield f"http://127.0.0.1:{port}"


def test_sixty_queues_asked_for_at_once_are_all_answered(runtime: Runtime, address: str):
    """Each holds one connection and takes a second for the audit trail: with a pool of twenty they starved
    each other for 30 s and most got 503."""
    kim = browser_of(runtime)
    cookies = {"aftercare": kim.client.cookies["aftercare"]}

    def look(_: int) -> int:
        return httpx.get(f"{address}/", cookies=cookies, timeout=25).status_code

    with ThreadPoolExecutor(AT_ONCE) as crowd:
        assert set(crowd.map(look, range(AT_ONCE))) == {200}
    assert runtime.engine.pool.checkedout() == 0, "every connection came back"  # type: ignore[attr-defined]


def test_a_page_that_fails_gives_its_seat_back(runtime: Runtime, address: str):
    kim = browser_of(runtime)
    cookies = {"aftercare": kim.client.cookies["aftercare"]}
    for path in ["/escalations/nothing", "/?view=nothing", "/audit", "/patients?status=x"] * 5:
        assert httpx.get(address + path, cookies=cookies, timeout=25).status_code in (403, 404)
    assert httpx.get(address, cookies=cookies, timeout=25).status_code == 200
    assert runtime.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


class Watch:
    """A stopwatch that each counting moves on."""

    def __init__(self, cost: float) -> None:
        self.now, self.cost, self.counts = 0.0, cost, 0

    def count(self) -> int:
        self.now += self.cost
        self.counts += 1
        return self.counts


def test_costly_figures_are_kept_for_a_minute_and_cheap_ones_never():
    costly = Watch(COSTLY * 2)
    kept = Figures(lambda: costly.now)
    assert kept.counted("board", costly.count) == 1
    costly.now += LASTS - 1
    assert kept.counted("board", costly.count) == 1
    assert kept.counted("another team", costly.count) == 2, "one team's figures are not another's"
    costly.now += 2
    assert kept.counted("board", costly.count) == 3
    cheap = Watch(COSTLY / 2)
    fresh = Figures(lambda: cheap.now)
    assert [fresh.counted("board", cheap.count) for _ in range(3)] == [1, 2, 3]


def test_while_one_counts_the_others_get_what_was_counted_last():
    watch = Watch(COSTLY)
    kept = Figures(lambda: watch.now)
    assert kept.counted("board", watch.count) == 1
    watch.now += LASTS + 1
    seen = []

    def counting() -> int:
        seen.append(kept.counted("board", watch.count))
        return watch.count()

    assert kept.counted("board", counting) == 2 and seen == [1]


def test_a_counting_that_fails_is_tried_again():
    kept = Figures(lambda: 0.0)
    with pytest.raises(ZeroDivisionError):
        kept.counted("board", lambda: 1 // 0)
    assert kept.counted("board", lambda: 7) == 7
