"""A ledger of a store that acknowledges before things can be read."""

from local.bench import patience
from local.bench.patience import until_clean


def test_what_comes_late_is_not_missing():
    answers = [("2 missing",), ("1 missing",), ()]
    assert until_clean(lambda: answers.pop(0)) == ()
    assert not answers


def test_what_never_comes_is_told(monkeypatch):
    monkeypatch.setattr(patience, "LEDGER_S", 0.0)
    assert until_clean(lambda: ("1 missing",)) == ("1 missing",)
