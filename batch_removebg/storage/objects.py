"""Objects in buckets of S3 and its like, Google, and Azure: obstore does it, and here is what its answers mean."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from batch_removebg import errors

if TYPE_CHECKING:
    from obstore import Attributes, ObjectMeta, PutMode
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

_URL = re.compile(r"(s3|gs|az)://", re.IGNORECASE)
_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for what is public",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or GOOGLE_SKIP_SIGNATURE=true for what is public",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_SKIP_SIGNATURE=true for what is public",
}
_ENDPOINT = re.compile(r"(AWS|AZURE|GOOGLE)_\w*(ENDPOINT|BASE_URL)\w*")
_ANSWER = re.compile(
    r"non-2xx status code: (\d+)(?:.*?<Code>(\w+)</Code>)?(?:.*?<Region>([\w-]+)</Region>)?", re.DOTALL
)
_NO_KEYS = re.compile(
    r".*(Expired|InvalidToken|TokenRefresh|InvalidAccessKey|SignatureDoesNotMatch|TimeTooSkewed|AuthenticationFailed).*"
    r"|InvalidAuthenticationInfo"
)
_NOBODYS = re.compile(r"performing \w+ http://(169\.254\.|metadata\.)|token request|Account must be")
"""A machine's own keys were asked for in vain."""
_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|Invalid(Bucket|Resource)Name")
_ELSEWHERE = re.compile(r"AuthorizationHeaderMalformed|PermanentRedirect|IllegalLocation\w+")
_UNHARMED = (
    "BadDigest",
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
    "IncompleteBody",
    "RequestTimeout",
)
"""What came to a store wasn't what was sent; nothing is kept of it."""


class Stored(NamedTuple):
    """What a store says of an object."""

    key: str
    size: int  # bytes
    etag: str | None
    modified: float  # seconds since 1970
    metadata: Mapping[str, str] = {}


def is_object(text: str) -> bool:
    """Whether a text is the URL of an object, of a bucket, or of what is below a prefix."""
    return _URL.match(text) is not None


def divided(url: str) -> tuple[str, str]:
    """The bucket's URL, and the key, which is what follows as it stands, `?` and `%` included."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme.lower()}://{bucket}", key


def key_problem(key: str) -> str | None:
    """Why nothing that can be read has this key; None where something may."""
    if not {"", ".", ".."}.isdisjoint(key.split("/")):
        return "is no key: a part of it is empty, `.` or `..`"
    if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", key):
        return "is no key: it holds a control character, or isn't UTF-8"
    return "is no key: it is longer than 1024 bytes" if len(key.encode()) > 1024 else None


def opened(url: str) -> tuple[Store, str]:
    """The store of a URL's bucket, and the key or prefix after it; asks nothing yet, and raises SettingsError."""
    bucket, key = divided(url)
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError as error:
        raise errors.SettingsError(f"{bucket} needs an extra: {errors.INSTALL.format('cloud')}") from error
    if not re.fullmatch(r"\w+://[\w.-]+", bucket, re.ASCII):
        raise errors.SettingsError(f"{url} names no bucket; write {bucket.partition('://')[0]}://BUCKET/KEY")
    # What is given here stands in the place of all that the environment says of the client.
    hosts = [urlsplit(text).hostname for name, text in os.environ.items() if _ENDPOINT.fullmatch(name)]
    plain = any(name.endswith("_ALLOW_HTTP") and text.lower() in {"1", "true"} for name, text in os.environ.items())
    near = not {"localhost", "127.0.0.1", "::1"}.isdisjoint(hosts)
    client: ClientConfig = {"timeout": "300s", "read_timeout": "60s", "allow_http": plain or near}
    quick: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}
    patient: RetryConfig = {"retry_timeout": timedelta(seconds=120)}
    try:
        more: dict[str, Any] = {"config": {"checksum_algorithm": "SHA256"}} if bucket.startswith("s3:") else {}
        one, lasting = (from_url(bucket, client_options=client, retry_config=each, **more) for each in (quick, patient))
    except (BaseError, ValueError) as error:
        raise _meaning(error, bucket) from error
    return Store(bucket, one, lasting), key


class Store:
    """A bucket.

    All its methods raise RetryError for what may pass, KeyRejected where keys are missing or expired, SettingsError for
    no such bucket, no permission and another region, SourceError for a key that is none.
    """

    def __init__(self, url: str, store: ObjectStore, lasting: ObjectStore | None = None) -> None:
        """`lasting`: the same, with retries for minutes, for listings, which can't be taken up again."""
        self._url, self._store, self._lasting = url, store, lasting or store
        self._etag = "version" if url.startswith("gs:") else "e_tag"  # Google's conditions are about generations

    async def get(self, key: str, limit: int) -> tuple[bytes, Stored]:
        """An object of at most `limit` bytes; raises SourceError where it is larger, or isn't there."""
        with self._told(key):
            found = await self._store.get_async(key)
            if (stored := self._stored(found.meta)).size > limit:
                raise errors.SourceError(f"is larger than {limit >> 20} MiB; raise --max-size")
            return bytes(await found.bytes_async()), stored  # an error where it changes in between

    async def head(self, key: str) -> Stored | None:
        """What is said of an object; None where there is none."""
        try:
            with self._told(key):
                found = await self._store.get_async(key, options={"head": True})
                return self._stored(found.meta, found.attributes)
        except errors.SourceError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

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
        return (put["version"] if self._etag == "version" else put["e_tag"]) or ""

    def listed(self, prefix: str) -> Iterator[Sequence[Stored]]:
        """What is below a prefix, which ends with a folder, page by page in the order of keys; blocks."""
        with self._told(prefix):
            for page in self._lasting.list(prefix or None, chunk_size=1000):
                yield [self._stored(each) for each in page]

    async def delete(self, key: str) -> None:
        """Delete what is under a key, if there is something."""
        with self._told(key):
            await self._store.delete_async(key)

    def _stored(self, meta: ObjectMeta, about: Attributes | None = None) -> Stored:
        etag = meta["version"] if self._etag == "version" else meta["e_tag"]
        return Stored(meta["path"], meta["size"], etag, meta["last_modified"].timestamp(), about or {})

    @contextmanager
    def _told(self, key: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError, ValueError, NotImplementedError) as error:
            raise _meaning(error, f"{self._url}/{key}") from error


def _meaning(error: Exception, url: str) -> errors.BatchError:
    """The error to raise for one of obstore's, whose own text may hold what lets somebody in."""
    from obstore import exceptions as of

    text, bucket = str(error), divided(url)[0]
    answer = _ANSWER.search(text)
    status, code, region = answer.groups("") if answer else ("", "", "")
    said, number = f"{url} ({f'{status} {code}'.strip() or 'no answer'})", int(status or 0)
    unknown = _NO_KEYS.fullmatch(code) or (number < 500 and _NOBODYS.search(text))
    if unknown or number == 401 or (number == 400 and not code):  # a HEAD is refused without a word
        return errors.KeyRejected(f"{said}: its keys are missing, wrong or expired; set {_KEYS[bucket[:2]]}")
    if _NO_BUCKET.fullmatch(code):
        return errors.SettingsError(f"there is no bucket {bucket}; check its name, and the account")
    if _ELSEWHERE.fullmatch(code) or number == 301 or "without LOCATION" in text:
        return errors.SettingsError(f"{bucket} is in another region; set AWS_REGION to {region or 'its own'}")
    if isinstance(error, FileNotFoundError):
        return errors.SourceError(f"does not exist: {url}")
    if isinstance(error, of.PermissionDeniedError):
        return errors.SettingsError(f"{said}: your keys don't allow that, or nothing is there; have it allowed")
    if isinstance(error, (of.AlreadyExistsError, of.PreconditionError)):
        return errors.Taken(f"{url} was written by another")
    if isinstance(error, (of.NotSupportedError, NotImplementedError)):
        return errors.SettingsError(f"{bucket} can't do what is needed")
    if isinstance(error, (of.InvalidPathError, ValueError)):
        return errors.SourceError(key_problem(divided(url)[1]) or f"{url} holds a key that is none, such as `a//b`")
    if "builder error" in text:
        return errors.SettingsError(f"{bucket}: its endpoint isn't https; AWS_ALLOW_HTTP=true allows that")
    if code in _UNHARMED:
        return errors.ConnectionFailed(said)
    if number in (429, 503):
        return errors.RateLimited(said)
    if number >= 500 or number == 408 or not number:
        kind = errors.ServerError if number else errors.ConnectionFailed
        return (errors.Unreachable if "kind: Connect" in text else kind)(said)
    return errors.SourceError(said)
