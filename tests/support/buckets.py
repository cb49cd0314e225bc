"""Buckets in memory, and a store of S3's kind that answers as its keys say."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from batch_removebg.errors import SettingsError
from batch_removebg.storage.objects import Store, divided

obstore = pytest.importorskip("obstore", reason="pip install obstore")


class Buckets(dict[str, Any]):
    """Buckets by URL, in the place of those that the program would open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("batch_removebg.workers.reading.opened", self.opened)
        monkeypatch.setattr("batch_removebg.manifest.reader.opened_store", self.opened)

    def opened(self, url: str) -> tuple[Any, str]:
        bucket, key = divided(url)
        if bucket not in self:
            raise SettingsError(f"there is no bucket {bucket}")
        return self[bucket], key

    def put(self, url: str, data: bytes) -> None:
        bucket, key = divided(url)
        if bucket not in self:
            self[bucket] = Store(bucket, obstore.store.MemoryStore())
        self[bucket]._store.put(key, data)


class _Handler(BaseHTTPRequestHandler):
    """Answers `/bucket/STATUS-CODE`, `torn`, and `ok`, of ten bytes."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        found = re.search(r"/(\d{3})-(\w*)", self.path)
        status, code = (int(found[1]), found[2]) if found else (200, "")
        body = f"<Error><Code>{code}</Code><Region>eu-west-3</Region></Error>".encode() if found else b"0123456789"
        self.send_response(status)
        self.send_header("ETag", '"one"')
        self.send_header("Last-Modified", "Fri, 27 Nov 2026 22:16:55 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:4] if "torn" in self.path else body)
        if "torn" in self.path:
            self.close_connection = True

    do_HEAD = do_GET  # the name that http.server wants


@contextmanager
def answering() -> Iterator[str]:
    """The endpoint of a store that answers so, as long as the block lasts."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
