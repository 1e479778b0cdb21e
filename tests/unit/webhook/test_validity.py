"""How long a certificate is valid, read from its bytes."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injection_webhook.validity import Validity, of_certificate

# openssl req -x509 -newkey ed25519 -days 36500 -subj /CN=a: its end is after 2049, so it has both forms of a time.
LONG = base64.b64decode(
    "MIIBLjCB4aADAgECAhQ29dMIqP3vcT6j6jLTvBN4yJ1TrDAFBgMrZXAwDDEKMAgGA1UEAwwBYTAgFw0yNjExMzAxNzE5NTFaGA8y"
    "MTI2MTEwNjE3MTk1MVowDDEKMAgGA1UEAwwBYTAqMAUGAytlcAMhAIRQBB44Z7gbCgXMQuCaZefwfnYsWCgZ6s1YPRPj5n4Wo1Mw"
    "UTAdBgNVHQ4EFgQUBiqC+lnir7Jx40vpQAP+dNo6BUYwHwYDVR0jBBgwFoAUBiqC+lnir7Jx40vpQAP+dNo6BUYwDwYDVR0TAQH/"
    "BAUwAwEB/zAFBgMrZXADQQAMvTiMPpHqOXuxTmLK3CEBiH0wfy7yz35ISfkPrmD/ZtQBYjmKk4EBDHHNH8w849nK9kjf7LAc0623"
    "efAc3LkB"
)
# The serial number, the algorithm, the issuer, then the times.
HEAD = bytes.fromhex("020101 3005 0603 2b6570 3000".replace(" ", ""))


def der(*times: bytes) -> bytes:
    """A certificate that has nothing after its validity, and no version."""
    validity = b"".join(times)
    signed = HEAD + bytes([0x30, len(validity)]) + validity
    inner = bytes([0x30, len(signed)]) + signed
    return bytes([0x30, len(inner)]) + inner


def utc(text: bytes) -> bytes:
    return bytes([0x17, len(text)]) + text


def test_a_certificate_says_its_times() -> None:
    """As openssl shows them."""
    assert of_certificate(LONG) == Validity(1796059191, 4949659191)


def test_years_of_two_digits_are_of_two_centuries() -> None:
    """From 50 on they are of the last."""
    assert of_certificate(der(utc(b"500101000000Z"), utc(b"491231235959Z"))) == Validity(-631152000, 2524607999)


def test_it_covers_both_ends() -> None:
    """And nothing beyond them."""
    assert [Validity(10, 20).covers(now) for now in (9.9, 10, 20, 20.1)] == [False, True, True, False]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x84\xff\xff\xff\xff",
        LONG[:40],
        der(),
        der(utc(b"500101000000Z")),
        der(utc(b"5001010000Z"), utc(b"491231235959Z")),
        der(b"\x04\x01x", utc(b"491231235959Z")),
        der(utc(b"\xff" * 13), utc(b"491231235959Z")),
    ],
)
def test_what_is_no_certificate_is_refused(data: bytes) -> None:
    """With one error, whatever is wrong."""
    with pytest.raises(ValueError, match="it is not a certificate"):
        of_certificate(data)


@given(st.binary(max_size=100), st.integers(0, len(LONG)))
def test_any_bytes_are_a_certificate_or_not(noise: bytes, at: int) -> None:
    """Nothing else is raised, and no length makes it run on."""
    try:
        of_certificate(LONG[:at] + noise)
    except ValueError:
        return
