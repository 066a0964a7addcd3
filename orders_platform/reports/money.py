"""Amounts in minor units as people write them."""

# Digits of the minor unit where they are not two (ISO 4217), and who has so many.
_NOT_TWO = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_LONG = 9
_DIGITS = {currency: digits for digits, currencies in _NOT_TWO.items() for currency in currencies.split()}


def digits_of(currency: str | None) -> int:
    """Return how many digits a currency's minor unit has; two where the currency is not known."""
    return _DIGITS.get(currency or "", 2)


def money(amount_minor: int, currency: str | None, *, code: bool = False, whole: bool = False) -> str:
    """Return an amount in the currency's major unit, `1,234.50`; with its code in front if asked, and rounded to
    whole units for a chart."""
    digits = digits_of(currency)
    rounding = 10**digits // 2 if whole else 0
    units, part = divmod(abs(amount_minor) + rounding, 10**digits)
    sign = "-" if amount_minor < 0 and (units or not whole) else ""
    text = f"{sign}{units:,}" + (f".{part:0{digits}d}" if digits and not whole else "")
    return f"{currency} {text}" if code and currency else text


def short(amount_minor: int, currency: str | None) -> str:
    """Return an amount in whole units, in thousands (`35,167k`) where it is long; nothing is a dash."""
    text = money(amount_minor, currency, whole=True)
    if len(text) > _LONG:
        return money(_rounded(amount_minor, 1_000), currency, whole=True) + "k"
    return text if amount_minor else "-"


def _rounded(amount_minor: int, unit: int) -> int:
    return (amount_minor + unit // 2) // unit
