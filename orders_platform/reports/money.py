"""Amounts in minor units as people write them."""

# Digits of the minor unit where they are not two (ISO 4217).
_DIGITS = (
    dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0)
    | dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3)
    | {"CLF": 4, "UYW": 4}
)


def money(amount_minor: int, currency: str | None, *, code: bool = False, whole: bool = False) -> str:
    """Return an amount in the currency's major unit, `1,234.50`; with its code in front if asked, and cut to whole
    units for a chart."""
    digits = _DIGITS.get(currency or "", 2)
    units, part = divmod(abs(amount_minor), 10**digits)
    sign = "-" if amount_minor < 0 and (units or not whole) else ""
    text = f"{sign}{units:,}" + (f".{part:0{digits}d}" if digits and not whole else "")
    return f"{currency} {text}" if code and currency else text
