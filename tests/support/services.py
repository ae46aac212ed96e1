"""HTTP services as adapters see them: well, impatient, and every way in which one can be away."""

import pytest

from qold.adapters.http_service import HttpService

IMPATIENT = {"connect_s": 2.0, "answer_s": 0.3}


def away(*, without=()):
    """Parameters (way, how) of `StandIn.behave` that mean `Unavailable`, besides a closed port."""
    cases = {
        "500": ("status", {"status": 500}),
        "503": ("status", {"status": 503}),
        "599": ("status", {"status": 599}),
        "408": ("status", {"status": 408}),
        "425": ("status", {"status": 425}),
        "429": ("status", {"status": 429}),
        "301 to somewhere": ("status", {"status": 301, "location": "/devices/1"}),
        "307 to itself": ("status", {"status": 307, "location": "/sms"}),
        "304": ("status", {"status": 304}),
        "a page in HTML": ("html", {}),
        "not HTTP": ("garbage", {}),
        "nothing but a status": ("garbage", {"content": "HTTP/1.1 200"}),
        "a bad length": ("garbage", {"content": "HTTP/1.1 200 OK\r\nContent-Length: x,9\r\n\r\n"}),
        "a bad chunk": (
            "garbage",
            {"content": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"},
        ),
        "bad gzip": (
            "garbage",
            {"content": "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"},
        ),
        "two mebibytes": (
            "garbage",
            {"content": f"HTTP/1.1 200 OK\r\nContent-Length: {2**21}\r\n\r\n" + " " * 2**21},
        ),
        "a closed connection": ("refuse", {}),
        "nothing": ("hang", {}),
        "nothing, but takes it": ("silent", {}),
        "half, but takes it": ("cut", {}),
        "headers a byte at a time": ("trickle", {}),
        "a body a byte at a time": ("trickle-body", {}),
    }
    return [pytest.param(*case, id=name) for name, case in cases.items() if name not in without]


def impatient(stand_in, path="", **kwargs):
    """A client that gives up soon."""
    return HttpService(f"http://{stand_in.netloc}{path}", **{**IMPATIENT, **kwargs})


def patient(stand_in, path="", **kwargs):
    """A client as the application has it."""
    return HttpService(f"http://{stand_in.netloc}{path}", **kwargs)
