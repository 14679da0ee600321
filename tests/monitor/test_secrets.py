"""Nothing that leaves the process holds a password, a token or a signature."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from monitor.archive import signing
from monitor.errors import AssetError
from storage.database import Database
from storage.tables import Base
from tests.support.servers.online import OnlineArchive
from tests.support.workspaces import make_workspace, monitor

SECRET = "S3cr3tOfMine"


def test_a_season_with_secrets_in_every_setting(
    archive_online: OnlineArchive,
    small_archive: Path,
    database: Database,
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Streams, log lines, all tables, exported files and the cube of a season over signed addresses."""
    monkeypatch.setattr(signing, "_tokens", {})  # of other tests in this process
    for name, value in archive_online.environment.items():
        monkeypatch.setenv(name, value)
    for logger in ("urllib3", "pystac_client", "monitor"):
        caplog.set_level(logging.DEBUG, logger)
    url = make_url(database.url).set(password=SECRET).render_as_string(hide_password=False)
    location = f"{archive_online.catalog_url.replace('://', f'://user:{SECRET}@')}?api_key={SECRET}"
    folder = make_workspace(
        workspace / "w",
        small_archive,
        catalog={
            "profile": "planetary-computer",
            "location": location,
            "hosts": archive_online.file_hosts,
        },
        database={"url": url},
        model="index-baseline",
        alerts={
            "to": [f"json://127.0.0.1:9/{SECRET}"],
            "heartbeat": f"http://127.0.0.1:9/{SECRET}",
            "disk_gb": 1e9,
        },
    )
    shown = []
    for words in (
        ["run", "-s", "2021"],
        ["scenes", "-s", "2021", "--json"],
        ["scenes", "-s", "2021"],
        ["plan", "-s", "2021"],
        ["status"],
        ["export", "lakes", str(workspace / "lakes.gpkg")],
        ["export", "masks", str(workspace / "masks"), "-s", "2021"],
    ):
        answer = monitor(*words, "-w", folder)
        assert answer.returncode == 0, answer.stderr
        shown += [answer.stdout, answer.stderr]
    refused = monitor("alerts", "send", "-w", folder)
    assert refused.returncode == 1 and "could not be sent" in caplog.text
    shown += [refused.stdout, refused.stderr]
    assert archive_online.traffic().token_requests, "files were read by signed addresses"
    secrets = (SECRET, "sig=")
    for secret in secrets:
        assert secret not in "".join(shown)
        assert secret not in caplog.text
    with database.connect() as conn:
        rows = [
            str(row[0])
            for table in Base.metadata.tables
            for row in conn.execute(text(f"SELECT row_to_json(t)::text FROM {table} t"))
        ]
        assert any('"command"' in row for row in rows) and any('"item"' in row for row in rows)
    files = [path for path in workspace.rglob("*") if path.is_file() and path.name != "monitor.yaml"]
    assert files
    for secret in secrets:
        assert not [row for row in rows if secret in row]
        assert not [path for path in files if secret.encode() in path.read_bytes()]


def test_the_error_of_a_file_holds_no_signature() -> None:
    error = AssetError(
        "item", "B02", f"https://u:{SECRET}@h/x.tif?sig={SECRET}", f"https://h/x?sig={SECRET} ended"
    )
    assert SECRET not in f"{error} {error.href} {error.cause} {error.args} {error.detached()!r}"
    assert error.href == "https://***@h/x.tif"
