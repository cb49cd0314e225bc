"""The network in this process, behind the same protocol as a remote server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from secrets import token_hex

import anyio

from batch_removebg.engine.cutout import PROXY, matte
from batch_removebg.engine.network import Network
from batch_removebg.engine.weights import Weights
from batch_removebg.errors import ItemError, OutputBroken, PredictionLost, SourceError
from batch_removebg.model import (
    Capabilities,
    CreateRequest,
    Matte,
    Prediction,
    PredictionPage,
    ProxySpec,
    Status,
    Upload,
)
from batch_removebg.resources import Cpu

_INPUT = "local:input/"
_OUTPUT = "local:output/"


class LocalProvider:
    """Predictions by a network in this process: ended when `create` returns, kept until they are fetched.

    Nothing is billed, and nothing outlives the process: `get` of an earlier run's id raises PredictionLost.
    """

    name = "local"
    capabilities = Capabilities(files=True, list=False, cancel=True, billed=False)
    proxy: ProxySpec = PROXY

    def __init__(
        self, model: Weights, load: Callable[[], Network], *, loaded: Callable[[str], Awaitable[object]] | None = None
    ) -> None:
        """`load` blocks; it is called once, in a thread, at the first create; `loaded` gets what that runs on."""
        self.version = model.version
        self._load = load
        self._loaded = loaded
        self._cpu = Cpu()
        self._network: Network | None = None
        self._opening = anyio.Lock()
        self._inputs: dict[str, bytes] = {}
        self._outputs: dict[str, Matte] = {}

    async def open(self) -> Network:
        """The network, loaded at the first call; raises SettingsError where it can't be."""
        async with self._opening:
            if self._network is None:
                self._network = await self._cpu.run(self._load)
                if self._loaded is not None:
                    await self._loaded(self._network.used)
            return self._network

    async def create(self, request: CreateRequest) -> Prediction:
        """Run the network on an uploaded proxy; the prediction has succeeded, or failed with the reason."""
        network = await self.open()
        name = token_hex(13)
        try:
            proxy = self._inputs.pop(request.image, None)
            if proxy is None:
                raise SourceError("the image is not an upload of this process")
            self._outputs[name] = await self._cpu.run(matte, network, proxy)
        except ItemError as error:
            return Prediction(name, Status.FAILED, error=str(error))
        return Prediction(name, Status.SUCCEEDED, output=_OUTPUT + name, image=request.image)

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

    async def fetch(self, url: str) -> Matte:
        """The matte, handed over once; raises OutputBroken where it is gone."""
        matte = self._outputs.pop(url.removeprefix(_OUTPUT), None)
        if matte is None:
            raise OutputBroken(f"{url} is not an output of this process, or was fetched before")
        return matte

    async def abandon(self) -> None:
        """Do nothing: an inference that has begun is soon over, and costs nothing."""

    async def aclose(self) -> None:
        """Free all memory."""
        self._inputs.clear()
        self._outputs.clear()
        self._network = None
