"""The engine on this machine, behind the same protocol as a remote server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from secrets import token_hex
from time import monotonic

import anyio

from batch_removebg.engine.process import Engine
from batch_removebg.engine.weights import Weights
from batch_removebg.errors import ItemError, OutputBroken, PredictionLost, SourceError, WorkFailed
from batch_removebg.model import (
    Capabilities,
    CreateRequest,
    Matte,
    Prediction,
    PredictionPage,
    Reference,
    Status,
    Upload,
)

_INPUT = "local:input/"
_OUTPUT = "local:output/"


class LocalProvider:
    """Predictions by an engine of this run: ended when `create` returns, kept until they are fetched.

    Nothing is billed, and nothing outlives the process: `get` of an earlier run's id raises PredictionLost.
    """

    name = "local"
    capabilities = Capabilities(files=True, list=False, cancel=True, billed=False)

    def __init__(
        self,
        model: Weights,
        engine: Engine,
        *,
        loaded: Callable[[str], Awaitable[object]] | None = None,
    ) -> None:
        """`engine` has the network of `model`; opened at the first create, it tells `loaded` what that runs on."""
        self.version, self.proxy = model.version, model.shown
        self._engine = engine
        self._loaded = loaded
        self._open = False
        self._opening = anyio.Lock()
        self._inputs: dict[str, bytes] = {}
        self._outputs: dict[str, Matte | Reference] = {}

    async def open(self) -> None:
        """Load the network, at the first call; raises SettingsError where it can't be."""
        async with self._opening:
            if not self._open:
                used = await self._engine.open()
                if self._loaded is not None:
                    await self._loaded(used)
                self._open = True

    async def create(self, request: CreateRequest) -> Prediction:
        """Predict from an uploaded proxy; it has succeeded, or failed with the reason; raises WorkFailed, Stopping."""
        await self.open()
        name, begun = token_hex(13), monotonic()
        try:
            proxy = self._inputs.pop(request.image, None)
            if proxy is None:
                raise SourceError("the image is not an upload of this process")
            self._outputs[name] = await self._engine.matte(proxy)
        except WorkFailed:
            raise
        except ItemError as error:
            return Prediction(name, Status.FAILED, error=str(error))
        return Prediction(name, Status.SUCCEEDED, output=_OUTPUT + name, image=request.image, held=monotonic() - begun)

    async def get(self, prediction_id: str) -> Prediction:
        """A prediction whose output hasn't been fetched yet; raises PredictionLost for any other."""
        if prediction_id not in self._outputs:
            raise PredictionLost(f"prediction {prediction_id} ended with the process that made it")
        return Prediction(prediction_id, Status.SUCCEEDED, output=_OUTPUT + prediction_id)

    async def cancel(self, prediction_id: str) -> None:
        """Drop its output."""
        self._outputs.pop(prediction_id, None)

    async def list(self, *, created_after: datetime | None = None, cursor: str | None = None) -> PredictionPage:
        """Always empty: a create here never goes missing, so nobody has to look for one."""
        return PredictionPage(())

    async def upload(self, data: bytes, *, filename: str, content_type: str) -> Upload:
        """Keep a proxy in memory until the prediction that names it."""
        url = _INPUT + token_hex(13)
        self._inputs[url] = data
        return Upload(url)

    async def fetch(self, url: str) -> Matte | Reference:
        """The matte, handed over once; raises OutputBroken where it is gone."""
        matte = self._outputs.pop(url.removeprefix(_OUTPUT), None)
        if matte is None:
            raise OutputBroken(f"{url} is not an output of this process, or was fetched before")
        return matte

    async def abandon(self) -> None:
        """Break off what has begun, which costs nothing."""
        self._engine.close()

    async def aclose(self) -> None:
        """Free all memory."""
        self._inputs.clear()
        self._outputs.clear()
        self._engine.close()
