"""Objects in buckets of S3 and its like, Google, and Azure: obstore does it, and here is what its answers mean."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from batch_removebg import errors

if TYPE_CHECKING:
    from obstore import Attributes, ObjectMeta, PutMode
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

_PAGE = 1000  # keys, as many as stores give at once
_SCHEMES = ("s3://", "gs://", "az://")
_NO_PARTS = frozenset({"", ".", ".."})
_BUCKET = re.compile(r"\w+://[\w.$-]+", re.ASCII)
_ENDPOINT = re.compile(r"(AWS|AZURE|GOOGLE)_\w*(ENDPOINT|BASE_URL)\w*")
_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for what is public",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or GOOGLE_SKIP_SIGNATURE=true for what is public",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_SKIP_SIGNATURE=true for what is public",
}
_ANSWER = re.compile(
    r"non-2xx status code: (\d+)(?:.*?<Code>(\w+)</Code>)?(?:.*?<Region>([\w-]+)</Region>)?", re.DOTALL
)
_PATH = re.compile(r'(?<=Path ").*?(?=")', re.DOTALL)
_HINT = re.compile(  # `alone`: a machine was asked for its own keys, in vain
    r"(?P<alone>//169\.254\.|//metadata\.|token request|Account must)|(?P<elsewhere>without LOCATION)"
    r"|(?P<clear>builder error)|(?P<unreachable>kind: Connect)"
)
_NO_KEYS = (  # None: a HEAD is refused without a word
    r".* (401 \w+|400 (None|Expired\w+|InvalidToken|TokenRefresh\w+)|403 (InvalidAcc|Signature|Authent|RequestT)\w+) .*"
    r"|.* alone"
)
_NO_BUCKET = r".* (NoSuchBucket|ContainerNotFound|Invalid(Bucket|Resource)Name) .*"
_ELSEWHERE = r".* (301|AuthorizationHeaderMalformed|IllegalLocation\w+) .*|.* elsewhere"
_MEANINGS: tuple[tuple[str, type[errors.BatchError], str], ...] = (
    (r".* (429|503) .*", errors.RateLimited, "{said}"),
    (r".* (BadDigest|XAmzContent\w+Mismatch|IncompleteBody|RequestTimeout) .*", errors.ConnectionFailed, "{said}"),
    (r".* (408|5\d\d) .*", errors.ServerError, "{said}"),
    (_NO_KEYS, errors.KeyRejected, "{said}: its keys are missing, wrong or expired; set {keys}"),
    (_NO_BUCKET, errors.SettingsError, "there is no bucket {bucket}; check its name, and the account"),
    (_ELSEWHERE, errors.SettingsError, "{bucket} is in another region; set AWS_REGION to {region}"),
    ("FileNotFound.*", errors.SourceError, "does not exist: {url}"),
    ("Permission.*", errors.SettingsError, "{said}: your keys don't allow that, or nothing is there; have it allowed"),
    ("(AlreadyExists|Precondition).*", errors.Taken, "{url} was written by another"),
    ("Not(Supported|Implemented).*", errors.SettingsError, "{bucket} can't do what is needed"),
    (
        "(InvalidPath|Value).*",
        errors.SourceError,
        "{path!r} is no key that can be read; rename it, or name prefixes beside it",
    ),
    (".* clear", errors.SettingsError, "{bucket}: its endpoint isn't https; AWS_ALLOW_HTTP=true allows that"),
    (r"\w+ \d.*", errors.SourceError, "{said}"),
    (".* unreachable", errors.Unreachable, "{said}"),
    (".*", errors.ConnectionFailed, "{said}"),
)
"""What the first means that fits `CLASS STATUS CODE HINT`, since the text itself may hold what lets somebody in."""


class Stored(NamedTuple):
    """What a store says of an object."""

    key: str
    size: int  # bytes
    etag: str | None
    metadata: Mapping[str, str] = {}


def is_object(text: str) -> bool:
    """Whether a text is the URL of an object, of a bucket, or of what is below a prefix."""
    return text[:5].lower().startswith(_SCHEMES)


def divided(url: str) -> tuple[str, str]:
    """The bucket's URL, and the key, which is what follows as it stands, `?` and `%` included."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme.lower()}://{bucket}", key


def object_problem(url: str) -> str | None:
    """Why no object that can be read has this URL; None where one may."""
    bucket, key = divided(url)
    if not _BUCKET.fullmatch(bucket):
        return f"names no bucket; write {bucket.partition(':')[0]}://BUCKET/KEY"
    if not _NO_PARTS.isdisjoint(key.split("/")):
        return "is no key: a part of it is empty, `.` or `..`"
    if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", key):
        return "is no key: it holds a control character, or isn't UTF-8"
    return "is no key: it is longer than 1024 bytes" if len(key.encode()) > 1024 else None


def opened(url: str) -> tuple[Store, str]:
    """The store of a URL's bucket, and the key or prefix after it; asks nothing yet, and raises SettingsError."""
    bucket, key = divided(url)
    if not _BUCKET.fullmatch(bucket):
        shown = re.sub(r"(?s)(?<=://).*@", "", url)  # a password may hold any sign
        raise errors.SettingsError(f"{shown} {object_problem(url)}")
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError as error:
        raise errors.SettingsError(f"{bucket} needs an extra: {errors.INSTALL.format('cloud')}") from error
    # What is given here stands in the place of all that the environment says of the client.
    hosts = [urlsplit(text).hostname for name, text in os.environ.items() if _ENDPOINT.fullmatch(name)]
    plain = any(name.endswith("_ALLOW_HTTP") and text.lower() in {"1", "true"} for name, text in os.environ.items())
    near = not {"localhost", "127.0.0.1", "::1"}.isdisjoint(hosts)
    client: ClientConfig = {"timeout": "300s", "read_timeout": "60s", "allow_http": plain or near}
    lasting: RetryConfig = {"max_retries": 30, "backoff": {"init_backoff": timedelta(seconds=2)}}  # 1 to 3 minutes
    retries: list[RetryConfig] = [{"max_retries": 2}, lasting]
    more: dict[str, Any] = {"config": {"checksum_algorithm": "SHA256"}} if bucket.startswith("s3:") else {}
    try:
        stores = [from_url(bucket, client_options=client, retry_config=each, **more) for each in retries]
    except (BaseError, ValueError) as error:
        raise _meaning(error, bucket) from error
    return Store(bucket, *stores), key


class Store:
    """A bucket.

    All its methods raise RetryError for what may pass, KeyRejected where keys are missing or expired, SettingsError for
    no such bucket, no permission and another region, SourceError for a key that is none.
    """

    def __init__(self, url: str, store: ObjectStore, lasting: ObjectStore | None = None) -> None:
        """`lasting`: the same, with retries for minutes, since a listing that goes on can't wait elsewhere."""
        self._url, self._store, self._lasting = url, store, lasting or store
        # Google's conditions are about generations.
        self._etag: Literal["version", "e_tag"] = "version" if url.startswith("gs:") else "e_tag"

    async def get(self, key: str, limit: int) -> tuple[bytes, Stored]:
        """An object of at most `limit` bytes; raises SourceError where it is larger, or isn't there."""
        with self._told(key):
            found = await self._store.get_async(key)
            if (stored := self._stored(found.meta)).size > limit:
                raise errors.SourceError(f"is larger than {limit >> 20} MiB; raise --max-size")
            return bytes(await found.bytes_async()), stored  # an error where it changes in between

    async def head(self, key: str) -> Stored | None:
        """What is said of an object; None where there is none."""
        with self._told(key), suppress(FileNotFoundError):
            found = await self._store.get_async(key, options={"head": True})
            return self._stored(found.meta, found.attributes)
        return None

    async def put(
        self, key: str, data: bytes, *, media: str = "", metadata: Mapping[str, str] = {}, over: str | None = "any"
    ) -> str:
        """Write an object, and return its etag once the store has it.

        `over`: "any"; None: only where there is none yet; an etag: only over that. Raises Taken where that isn't so.
        """
        update: PutMode = {"version": over} if self._etag == "version" else {"e_tag": over}
        mode: PutMode = "overwrite" if over == "any" else "create" if over is None else update
        about: Attributes = {"Content-Type": media, **metadata} if media else {**metadata}
        with self._told(key):
            put = await self._store.put_async(key, data, attributes=about, mode=mode)
        return put[self._etag] or ""

    def listed(self, prefix: str, after: str = "") -> Iterator[Sequence[Stored]]:
        """What is below a prefix, which ends with a folder, and behind a key: page by page in their order; blocks.

        Keys with an empty part, `.` or `..` come as one that ends there, with a `/`. obstore fails any page that holds
        one; so the rest comes folder by folder, without names beside them that begin with a sign before `/`.
        """
        from obstore.exceptions import InvalidPathError

        start, where = f"{prefix.rstrip('/')}/".lstrip("/"), prefix or None
        with self._told(prefix):
            try:
                next(self._store.list(where, offset=after or None), None)  # soon an error, where nobody answers
                for page in self._lasting.list(where, offset=after or None, chunk_size=_PAGE):
                    yield [self._stored(each) for each in page]
                    after = page[-1]["path"]
                return
            except InvalidPathError as error:
                found = _PATH.search(str(error))
                part = found and found[0].removeprefix(start).partition("/")[0]
                if after >= (behind := f"{start}{part}0"):  # Azure begins anew each time
                    raise
            if part in _NO_PARTS:
                yield [Stored(f"{start}{part}/", 0, None)]
                yield from self.listed(prefix, behind)
                return
            level = self._lasting.list_with_delimiter(where)
            objects = {each["path"]: self._stored(each) for each in level["objects"]}
            for path in sorted([*objects, *(f"{each}/" for each in level["common_prefixes"])]):
                if path in objects or path == "/":  # keys that begin with `/`
                    yield [objects.get(path, Stored(path, 0, None))] if path > after else []
                elif f"{path[:-1]}0" > after:
                    yield from self.listed(path, after)

    async def delete(self, key: str) -> None:
        """Delete what is under a key, if there is something."""
        with self._told(key):
            await self._store.delete_async(key)

    def _stored(self, meta: ObjectMeta, about: Attributes | None = None) -> Stored:
        return Stored(meta["path"], meta["size"], meta[self._etag], about or {})

    @contextmanager
    def _told(self, key: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError, ValueError, NotImplementedError) as error:
            raise _meaning(error, f"{self._url}/{key}") from error


def _meaning(error: Exception, url: str) -> errors.BatchError:
    text, bucket = str(error), divided(url)[0]
    status, code, region = found.groups() if (found := _ANSWER.search(text)) else ("", "", "")
    path, hint = _PATH.search(text), _HINT.search(text)
    seen = f"{type(error).__name__} {status} {code} {hint and hint.lastgroup}"
    kind, told = next((kind, told) for fits, kind, told in _MEANINGS if re.fullmatch(fits, seen))
    said = f"{url} ({' '.join(filter(None, (status, code))) or 'no answer'})"
    keys, region = _KEYS.get(bucket[:2], "its keys"), region or "its own"
    return kind(told.format(said=said, url=url, bucket=bucket, keys=keys, region=region, path=path and path[0]))
