"""What the client's requests say about an address."""

import json

from pycarp.lab.requests import Request, parse, service

A, B = "192.168.1.50", "192.168.1.51"


def request(at_s: float, *, address: str = A, is_ok: bool = True, took_s: float = 0.01) -> Request:
    return Request(at_s=at_s, address=address, is_ok=is_ok, took_s=took_s, is_served=True)


def test_the_gap_lies_between_two_successful_requests() -> None:
    requests = [request(1.0), request(1.1), request(2.0, is_ok=False), request(3.5), request(3.6)]

    assert service(requests, A, 1.0, 3.7).gap_s == 3.5 - 1.1


def test_the_edges_of_the_span_bound_a_gap() -> None:
    assert service([request(1.0)], A, 0.0, 4.0).gap_s == 3.0


def test_requests_to_another_address_do_not_count() -> None:
    found = service([request(1.0, address=B), request(2.0)], A, 0.0, 3.0)

    assert (found.requests, found.gap_s) == (1, 2.0)


def test_failed_and_slow_requests_are_told_apart() -> None:
    found = service([request(1.0, is_ok=False, took_s=1.0), request(2.0, took_s=0.3), request(2.5)], A, 0.0, 3.0)

    assert (found.requests, found.failed, found.slow) == (3, 1, 1)


def test_the_clients_lines_are_put_in_the_order_of_their_beginning() -> None:
    lines = [json.dumps({"at": at_s, "address": A, "ok": True, "s": 0.1, "served": True}) + "\n" for at_s in (2.0, 1.0)]

    assert [each.at_s for each in parse(lines)] == [1.0, 2.0]


def test_a_line_that_is_cut_short_is_left_out() -> None:
    assert parse(['{"at": 1.0, "addr']) == []
