"""Hypothesis strategies over the adversary: sets of events, messages, clocks and settings close to every bound."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from orders_platform_tests import adversary
from orders_platform_tests.oracle import Content

# A busy machine is no reason to fail: neither the time of one example nor that of drawing it is a property.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)

_draws = st.randoms(use_true_random=False)


@st.composite
def event_sets(draw: st.DrawFn, max_size: int = 12) -> list[Content]:
    """Return accepted contents of one order, some with the same event id and another content, some repeated."""
    random = draw(_draws)
    # Half of the sets stay in one currency, or nearly all of them would be currency_mismatch.
    one_currency = random.randrange(2) == 0
    contents: list[Content] = []
    for _ in range(draw(st.integers(1, max_size))):
        if contents and random.randrange(8) == 7:
            contents.append(adversary.changed(random, random.choice(contents)))
        else:
            contents.append(adversary.content(random))
        if one_currency and "currency" in contents[-1]:
            contents[-1]["currency"] = "EUR"
    return contents


@st.composite
def messages(draw: st.DrawFn, nastiness: int = 4) -> bytes:
    """Return a message that is an event written in some way, up to `nastiness` of its fields or bytes spoilt."""
    random = draw(_draws)
    return adversary.message(random, adversary.content(random), nastiness)


@st.composite
def written_contents(draw: st.DrawFn) -> tuple[Content, bytes]:
    """Return a content, and one of the many ways to write it as a message that must be accepted."""
    random = draw(_draws)
    content = adversary.content(random)
    return content, adversary.message(random, content, nastiness=0)


clocks_ms = st.sampled_from(adversary.CLOCKS_MS)
live_clocks_ms = st.sampled_from([clock for clock in adversary.CLOCKS_MS if clock is not None])
tolerances = st.sampled_from(adversary.TOLERANCES)
windows_ms = st.sampled_from(adversary.WINDOWS_MS)

# Anything that JSON can say, to stand where the contract expects something else.
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
