"""What is left out of URLs where they identify pictures or are shown, and what never is."""

from __future__ import annotations

import time

import pytest

from batch_removebg.net.urls import clean, host_of, scrubbed

AT = "https://cdn.example/shoes/a%2Fb.jpg"


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Algorithm=AWS4&X-Amz-Credential=AK%2F2026&X-Amz-Expires=60&X-Amz-Signature=feed&X-Amz-Security-Token=t",
        "x-amz-signature=feed",
        "AWSAccessKeyId=AK&Signature=fe%2Fed%3D&Expires=1790000000",
        "Expires=1790000000&Signature=feed~&Key-Pair-Id=APKA",
        "Policy=eyJTdGF0ZW1lbnQi&Signature=feed&Key-Pair-Id=APKA",
        "GoogleAccessId=a%40b&Expires=1790000000&Signature=feed",
        "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Date=20260101T000000Z&X-Goog-Signature=feed",
        "sv=2022-11-02&st=2026-01-01T00%3A00%3A00Z&se=2026-01-02T00%3A00%3A00Z&sr=b&sp=r&spr=https&sig=fe%2Bed",
        "OSSAccessKeyId=AK&Expires=1790000000&Signature=feed",
        "x-oss-signature-version=OSS4&x-oss-credential=AK&x-oss-date=20260101&x-oss-expires=60&x-oss-signature=feed",
        "q-sign-algorithm=sha1&q-ak=AK&q-sign-time=1;2&q-key-time=1;2&q-header-list=host&q-url-param-list=&q-signature=f",
        "hdnts=exp=1790000000~acl=/*~hmac=feed",
        "token=exp=1790000000~acl=/*~hmac=feed",
        "token=HS256-feed&token_path=%2Fshoes%2F&expires=1790000000",
        "md5=feed&expires=1790000000",
        "e=1790000000&token=AK:feed",
        "auth_key=1790000000-0-0-0123456789abcdef0123456789abcdef",
        "token=eyJhbGciOiJIUzI1NiJ9.eyJ1cmwiOiJhIn0.feed",
        "ex=66aa&is=66bb&hm=feed",
        "access_token=feed",
    ],
)
def test_what_signs_a_url_is_left_out_and_what_tells_pictures_apart_stays_as_it_is_spelled(query: str) -> None:
    assert clean(f"{AT}?{query}") == AT
    assert clean(f"{AT}?v=%41&{query}&size=2%2C3#top") == f"{AT}?v=%41&size=2%2C3#top"
    assert scrubbed(f"GET ({AT}?{query.replace('&', '&amp;')}&amp;v=1): 403") == f"GET ({AT}?v=1): 403"


@pytest.mark.parametrize(
    "query",
    ["v=1700000000", "id=7&token=abc", "token=abc", "expires=never&token=a", "x-oss-process=image%2Fresize,w_9", "s=9"],
)
def test_a_parameter_that_may_tell_pictures_apart_stays(query: str) -> None:
    assert clean(f"{AT}?{query}") == f"{AT}?{query}"


def test_a_password_is_left_out_and_so_is_what_the_user_names_whatever_its_case() -> None:
    assert clean("https://me:p%40ss@cdn.example/a.jpg") == "https://cdn.example/a.jpg"
    assert clean(f"{AT}?Session=1&v=2&sessions=3", {"session"}) == f"{AT}?v=2&sessions=3"
    assert clean("me@shop.example?sig=1") == "me@shop.example?sig=1"  # an id, and no URL


def test_a_cell_with_several_urls_keeps_each_of_them() -> None:
    cell = f"{AT}?X-Amz-Signature=1,{AT}?v=2&X-Amz-Signature=2|{AT}"
    assert scrubbed(cell) == f"{AT},{AT}?v=2|{AT}"


def test_a_long_text_takes_no_longer_than_its_length_asks_for() -> None:
    begun = time.process_time()
    scrubbed("x" * 500_000 + "?" + "&" * 10_000)
    assert time.process_time() - begun < 5  # by the square it would be minutes


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://user:w0rd@Img.example/a.jpg", "img.example"), ("http://img.example:81/b.jpg", "img.example:81"),
        ("data:,x", ""), ("http://[::1/a", ""),
    ],
)  # fmt: skip
def test_a_host_is_known_by_name_and_port_without_its_password(url: str, host: str) -> None:
    assert host_of(url) == host
