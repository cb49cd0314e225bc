"""The network in a process of its own: what hangs or crashes there costs one picture at most."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from batch_removebg.errors import SettingsError, WorkFailed
from batch_removebg.model import Matte, Reference
from batch_removebg.resources import Cpu, Resident, cores

from .devices import NO_MEMORY, Device, Precision, ahead
from .weights import Weights

if TYPE_CHECKING:  # it is heavy, and the process alone needs it
    from .network import Network

Load = Callable[[], "Network"]
PATIENCE = 120.0  # seconds for a picture, and for loading the network, which takes most where it must be compiled
_loading = Lock()
_loaded: list[Network] = []  # in the process: the network, once it is there


class Engine(Protocol):
    """Gives mattes of proxies, several at a time."""

    async def open(self) -> str:
        """What the network runs on, such as `openvino CPU bf16`; raises SettingsError where it can't be loaded."""

    async def matte(self, small: bytes) -> Matte | Reference:
        """The matte of an encoded proxy; raises SourceError, PredictionFailed, WorkFailed, and Stopping at the end."""

    def close(self) -> None:
        """Free all memory; what still works raises Stopping."""


class NetworkProcess:
    """An Engine in a process that begins at the first call, and is replaced where it ends."""

    def __init__(self, load: Load, cpu: Cpu, batch: int = 1) -> None:
        """`load` is called in the process: a function that can be pickled, which finds the weights on the disk.

        `batch`: pictures that its device takes at a time; while it has those, the next are read.
        """
        self._load, self._process = load, Resident(cpu, cores() + ahead(batch))
        self.close, self.lend = self._process.close, self._process.lend

    async def open(self) -> str:
        """See Engine."""
        try:
            return await self._process.run(PATIENCE, used, self._load)
        except WorkFailed as error:
            raise SettingsError(f"the network {str(error).partition(':')[0]}; perhaps {NO_MEMORY}") from error

    async def matte(self, small: bytes) -> Matte:
        """See Engine."""
        return await self._process.run(PATIENCE, _matte, self._load, small)


class Kept:
    """Engines that stay loaded from run to run, until `close`: one for each network."""

    def __init__(self) -> None:
        self._kept: dict[object, NetworkProcess] = {}

    def __call__(self, load: partial[Network], cpu: Cpu, batch: int = 1) -> Engine:
        """The Engine of that for one run, which may close it."""
        engine = self._kept.setdefault(load.args, NetworkProcess(load, cpu, batch))
        engine.lend(cpu)
        return _Lent(engine)

    def close(self) -> None:
        """Free all memory."""
        for engine in self._kept.values():
            engine.close()


class _Lent:
    def __init__(self, engine: NetworkProcess) -> None:
        self.open, self.matte = engine.open, engine.matte

    def close(self) -> None:
        """See Engine; who keeps it closes it."""


def opened(model: Weights, device: Device, precision: Precision, *, batched: bool = False) -> Network:
    """See `network.opened`."""
    from .network import opened

    return opened(model, device, precision, batched=batched)


def network(load: Load) -> Network:
    """The one network of this process, loaded at the first call."""
    with _loading:
        if not _loaded:
            _loaded.append(load())
        return _loaded[0]


def used(load: Load) -> str:
    """What that runs on."""
    return network(load).used


def _matte(load: Load, small: bytes) -> Matte:
    from .network import matte

    return matte(network(load), small)
