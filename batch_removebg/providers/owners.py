"""Whose answer is it? What was sent and given lately, so that no request is given another's answer. Pure."""

from __future__ import annotations

from collections import OrderedDict

from batch_removebg.hashing import sha256_hex
from batch_removebg.model import Prediction

from . import wire

_REMEMBERED = 10_000  # of each kind


class Owners:
    """An input, an output or a file that belongs to one request belongs to no other."""

    def __init__(self) -> None:
        self._sent: OrderedDict[object, str] = OrderedDict()  # inputs, normalised
        self._inputs: OrderedDict[object, str] = OrderedDict()  # of predictions, by id
        self._outputs: OrderedDict[object, str] = OrderedDict()
        """The owner of each output's URL: its input where that is known, else its prediction."""
        self._files: OrderedDict[object, str] = OrderedDict()
        """Names that files were uploaded under, by name and by URL."""
        self._echoes = False  # the server was seen to repeat an input as it was sent

    def asked(self, image: str) -> None:
        """Record the input of a create that is about to be sent."""
        if image.startswith("http"):
            _put(self._sent, wire.normalised(image), "")

    def owns(self, found: Prediction, *, prediction_id: str | None, image: str | None = None) -> bool:
        """Whether an answer may be to the request for this prediction, or to the create with this `image`."""
        image = image if image is None or image.startswith("http") else sha256_hex(image)
        image = self._inputs.get(prediction_id) if image is None else image
        if image is not None and prediction_id is not None:
            _put(self._inputs, prediction_id, image)
        if found.image is not None and image is not None and found.image[:4] == image[:4] == "http":
            if wire.same_url(found.image, image):
                self._echoes = True
            elif self._echoes or wire.normalised(found.image) in self._sent:
                return False  # one that is rewritten may be ours, but not another's
        if image is None and found.id is not None:
            return True  # of an earlier run, and named
        if image is not None and image.startswith("http") and image not in self._files:
            return True  # two URLs of the user's may lead to one picture, whose output some servers name by its content
        owner = image or prediction_id or ""
        urls = [url for url in (found.output, *found.others) if url is not None and url.startswith("http")]
        return all(_put(self._outputs, url, owner) == owner for url in urls[:1])

    def owns_file(self, name: str, given: object, url: str) -> bool:
        """Whether an answer may be to the upload under that name; `given`: the name in the answer."""
        if isinstance(given, str) and given != name and given in self._files:
            return False
        _put(self._files, name, name)
        return _put(self._files, url, name) == name


def _put(known: OrderedDict[object, str], key: object, value: str) -> str:
    """The value that is known for the key, or this one from now on."""
    found = known.setdefault(key, value)
    if len(known) > _REMEMBERED:
        known.popitem(last=False)
    return found
