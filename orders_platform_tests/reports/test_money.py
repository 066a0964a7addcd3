"""Amounts as people write them."""

import pytest

from orders_platform.reports.money import money, short


@pytest.mark.parametrize(
    ("amount_minor", "currency", "said"),
    [
        (0, "EUR", "-"),
        (49, "EUR", "0"),
        (123_456, "EUR", "1,235"),
        (-123_456, "EUR", "-1,235"),
        (123_456, "JPY", "123,456"),
        (123_456, "KWD", "123"),
        (999_999_949, "EUR", "9,999,999"),
        (1_234_567_890, "EUR", "12,346k"),
        (-1_234_567_890, "EUR", "-12,346k"),
        (35_166_553, "JPY", "35,167k"),
    ],
)
def test_short_amounts(amount_minor: int, currency: str, said: str) -> None:
    assert short(amount_minor, currency) == said


def test_amounts_have_the_digits_of_their_currency() -> None:
    found = [money(-1_234_567, code, code=True) for code in ("EUR", "JPY", "KWD", "CLF")]
    assert found == ["EUR -12,345.67", "JPY -1,234,567", "KWD -1,234.567", "CLF -123.4567"]
