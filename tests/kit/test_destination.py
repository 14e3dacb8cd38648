"""Addresses of others are read strictly, and what is inside a network is known as such."""

from ipaddress import ip_address

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinghan.kit.destination import Destination, UrlMalformed, is_internal, parse_url


@pytest.mark.parametrize(
    ("text", "destination", "host_header"),
    [
        ("http://shop.example", ("http", "shop.example", 80, "/"), "shop.example"),
        ("HTTPS://Shop.Example:443/", ("https", "shop.example", 443, "/"), "shop.example"),
        ("http://a:8080/n?x=1#top", ("http", "a", 8080, "/n?x=1"), "a:8080"),
        ("https://a.example?q=%2F/%zz", ("https", "a.example", 443, "/?q=%2F/%zz"), "a.example"),
        ("http://192.0.2.7:80/", ("http", "192.0.2.7", 80, "/"), "192.0.2.7"),
        ("http://[2001:DB8::1]:81/", ("http", "2001:db8::1", 81, "/"), "[2001:db8::1]:81"),
        ("http://my_shop-1.1e.x-n/@b:c", ("http", "my_shop-1.1e.x-n", 80, "/@b:c"), None),
        ("http://a//b/../c", ("http", "a", 80, "//b/../c"), "a"),
        ("http://a:00080", ("http", "a", 80, "/"), "a"),
    ],
)
def test_ordinary_addresses_are_read(
    text: str, destination: tuple[str, str, int, str], host_header: str | None
) -> None:
    read = parse_url(text)
    assert read == Destination(*destination)
    assert host_header in (None, read.host_header)


@pytest.mark.parametrize(
    "text",
    [
        *("", "shop.example", "//shop.example", "ftp://a", "file:///etc/passwd", "javascript:a"),
        *("http:a", "http:/a", "http:///a", "http://", "http://?", "http://:80/"),
        *("http://user@a/", "http://user:word@a/", "http://a@b", "http://@a/", "http://a%40b/"),
        *("http://a:0/", "http://a:65536/", "http://a:/", "http://a:-1/", "http://a:8a/"),
        *("http://2130706433/", "http://0177.0.0.1/", "http://127.1/", "http://0x7f.0.0.1/"),
        *("http://0x7f000001/", "http://127.0.0.0x1/", "http://1.2.3.4.5/", "http://a.0x/"),
        *("http://256.0.0.1/", "http://127.0.0.01/", "http://a.1/"),
        *("http://[::1/", "http://::1/", "http://[::1]a/", "http://[::1%25lo]/", "http://[a]/"),
        *(
            "http://a b/",
            "http://a\\b/",
            "http://a\t/",
            "http://a/\n",
            "http://a/\x00",
            " http://a",
        ),
        *("http://店.example/", "http://a/é", "http://a/\u2028", "http://１/", "http://\u017f/"),
        *("http://-a/", "http://a-/", "http://a..b/", "http://.a/", "http://a./", "http://*/"),
        *("http://" + "a" * 64, "http://" + "a." * 130 + "a", "http://a/" + "b" * 504),
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(UrlMalformed, match="at most 512 characters") as refusal:
        parse_url(text, field="notify_url")
    assert refusal.value.field == "notify_url"


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\#")))
def test_every_target_that_is_read_can_be_sent(rest: str) -> None:
    read = parse_url(f"http://shop.example/{rest}"[:512])
    sent = httpx.URL(scheme="http", host="192.0.2.1", port=80, raw_path=read.target.encode())
    assert sent.host == "192.0.2.1"
    assert sent.raw_path.startswith(b"/")


@given(st.text(max_size=60))
def test_no_text_is_more_than_refused(text: str) -> None:
    try:
        assert parse_url(text).scheme in {"http", "https"}
    except UrlMalformed as refusal:
        assert refusal.http_status == 400  # noqa: PT017 (either outcome is right)


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1"),
        *("127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192"),
        *("192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.9"),
        *("224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
        *("::", "::1", "::ffff:127.0.0.1", "::ffff:93.184.216.34", "::7f00:1", "64:ff9b::7f00:1"),
        *("64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1"),
        *("fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1"),
    ],
)
def test_internal_addresses_are_known(address: str) -> None:
    assert is_internal(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", "93.184.216.34", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1"),
        *("198.17.255.255", "223.255.255.255", "168.63.129.17", "2606:4700::1111", "2400::1"),
    ],
)
def test_public_addresses_are_known(address: str) -> None:
    assert not is_internal(ip_address(address))
