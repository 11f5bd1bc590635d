"""Where webhooks may go."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from notify.addresses import fault_of_url, is_allowed

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fd12::1", "ff02::1", "2001:db8::1"),
        # IPv4 in disguise.
        *("::ffff:10.0.0.1", "::ffff:127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1"),
        *("2001:0:7f00:1::", "64:ff9b:1::a00:1", "nonsense", ""),
    ],
)
def test_not_into_private_networks(address: str) -> None:
    assert not is_allowed(address, ())


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34"])
def test_to_the_internet(address: str) -> None:
    assert is_allowed(address, ())


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "fd00::1"])
def test_where_the_operator_allows(address: str) -> None:
    assert is_allowed(address, LOOPBACK)
    assert not is_allowed("10.0.0.1", LOOPBACK)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook",
        "https://example.com:8443/hook?a=b",
        "https://93.184.216.34/",
        "https://[2606:4700::1111]/",
        "http://127.0.0.1:9000/hook",
        "https://127.1.2.3/",
    ],
)
def test_urls_that_may_be(url: str) -> None:
    assert fault_of_url(url, LOOPBACK) == ""


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "http://localhost/hook",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "https:///hook",
        "example.com",
        "//example.com/",
        "https://ada:secret@example.com/",
        "https://@example.com/",
        "https://example.com/#part",
        "https://example.com:99999/",
        "https://example.com:0/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/",
        "https://[::1]/",
        "https://exa mple.com/",
        "https://example.com\\@127.0.0.1/",
        "https://exämple.com/",
        "https://example.com/\n",
        "https://example.com/" + "x" * 2048,
        "http://93.184.216.34/",
        # Addresses in other clothes.
        *("https://2130706433/", "https://127.1/", "https://0x7f000001/", "https://0177.0.0.1/"),
        *("https://127.0.0.1./", "https://example.0x7f/", "https://1.2.3.4.5/"),
    ],
)
def test_urls_that_may_not_be(url: str) -> None:
    assert fault_of_url(url, LOOPBACK) != ""


def test_nothing_of_ours_without_permission() -> None:
    assert fault_of_url("http://127.0.0.1:9000/hook", ()) != ""
    assert fault_of_url("https://127.0.0.1:9000/hook", ()) != ""
