"""The three tiers."""

import pytest

from kpbook import tier


def test_smoke_is_the_default(monkeypatch):
    monkeypatch.delenv("KPBOOK_TIER", raising=False)
    assert tier.pick(smoke=1, laptop=2, paper=3) == 1


@pytest.mark.parametrize(("name", "size"), [("laptop", 2), ("paper", 3)])
def test_the_variable_chooses(monkeypatch, name, size):
    monkeypatch.setenv("KPBOOK_TIER", name)
    assert tier.name() == name
    assert tier.pick(smoke=1, laptop=2, paper=3) == size


def test_an_unknown_tier_lists_the_tiers(monkeypatch):
    monkeypatch.setenv("KPBOOK_TIER", "labtop")
    with pytest.raises(ValueError, match=r"KPBOOK_TIER: got 'labtop'.*Did you mean 'laptop'"):
        tier.name()
