"""Secrets in text and in stored values."""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.redaction import RedactingFormatter, redacted, storable

SECRET = "S3cr3t"
SHOWN = {
    "login": f"https://user:{SECRET}@host.org/stac does not answer",
    "token as user": f"https://{SECRET}@host.org/stac",
    "slash in a password": f"postgresql+psycopg://user:a/{SECRET}@host/lakes",
    "at in a password": f"postgresql://user:a@{SECRET}@host/lakes",
    "parameter of a database": f"postgresql://host/lakes?user=u&password={SECRET}",
    "signed": f"https://a.blob.core.windows.net/c/x.tif?sv=1&sig={SECRET}%3D: HTTP 403",
    "unknown parameter": f"https://host/stac?pass-phrase-of-mine={SECRET}",
    "fragment": f"https://host/stac#access_token={SECRET}",
    "request line": f'"GET /stac?mine={SECRET} HTTP/1.1" 200',
    "url of urllib3": f"Max retries exceeded with url: /stac?mine={SECRET} (Caused by x)",
    "path": f"/vsicurl/c/x.tif?sig={SECRET}",
    "connection string": f"host=h user=u password={SECRET} dbname=x",
    "environment": f"AWS_SECRET_ACCESS_KEY={SECRET}",
    "header": f"Authorization: Bearer {SECRET}",
    "headers": f"{{'Authorization': 'Basic {SECRET}', 'Range': 'bytes=0-1'}}",
    "settings": json.dumps({"password": SECRET}),
    "subscription": f"Ocp-Apim-Subscription-Key={SECRET}",
}


@pytest.mark.parametrize("text", SHOWN.values(), ids=SHOWN)
def test_no_secret_is_shown(text: str) -> None:
    assert SECRET not in redacted(text)
    assert redacted(redacted(text)) == redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "item: asset B02 at https://host/a/B02.tif cannot be read: HTTP 404 Not Found (4 tries)",
        "/data/what?/a#b/B02.tif is not here",
        "file:///data/a#b=c/B02.tif",
        "postgresql+psycopg:///lakes",
        "write to someone@example.org, or see https://host/#/docs",
        "bytes=0-32767 were requested",
        "the token service answers; the password is wrong",
    ],
)
def test_other_text_is_unchanged(text: str) -> None:
    assert redacted(text) == text


def test_the_place_stays_in_a_message() -> None:
    assert redacted(f"https://u:{SECRET}@host:80/stac?a=b: opening it failed") == (
        "https://***@host:80/stac opening it failed"
    )


@pytest.mark.parametrize(
    ("href", "kept"),
    [
        (f"https://a.blob.core.windows.net/c/x.tif?st=1&se=2&sp=r&sig={SECRET}", "https://a.blob.core.windows.net/c/x.tif"),
        (f"https://b.s3.amazonaws.com/x.tif?X-Amz-Date=1&X-Amz-Signature={SECRET}", "https://b.s3.amazonaws.com/x.tif"),
        (f"https://host/get?file=x.tif&token={SECRET}", "https://host/get?file=x.tif"),
        (f"https://u:{SECRET}@host/x.tif", "https://host/x.tif"),
        ("https://host/get?file=x.tif&st=1", "https://host/get?file=x.tif&st=1"),
        ("/data/what?/x.tif", "/data/what?/x.tif"),
    ],
)  # fmt: skip
def test_stored_addresses_keep_what_finds_the_file(href: str, kept: str) -> None:
    assert storable({"assets": {"a": {"href": href}}}) == {"assets": {"a": {"href": kept}}}


def test_stored_values_are_valid_json_for_postgresql() -> None:
    stored = storable({"a": [math.nan, math.inf, 1.5, True, None], "b\x00": "c\x00d", "password": SECRET})
    assert stored == {"a": [None, None, 1.5, True, None], "b": "cd", "password": "***"}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(f"https://{SECRET}@h/x"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(values)
def test_any_value_can_be_stored_and_stays_as_it_is_stored(value: Any) -> None:
    stored = storable(value)
    text = json.dumps(stored, allow_nan=False)
    assert SECRET not in text and "\\u0000" not in text
    assert storable(stored) == stored


def test_log_lines_and_their_tracebacks() -> None:
    try:
        raise OSError(f"https://h/x?sig={SECRET}")
    except OSError:
        record = logging.getLogger("x").makeRecord(
            "x", logging.ERROR, __file__, 1, "at %s", (f"https://u:{SECRET}@h",), __import__("sys").exc_info()
        )
    line = RedactingFormatter().format(record)
    assert SECRET not in line and "OSError: https://h/x" in line
