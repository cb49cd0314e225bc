"""A Ray cluster as `ray_pool` sees it: the room on its nodes, and actors that are started, asked and killed."""

from __future__ import annotations

import asyncio
import importlib
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from subprocess import PIPE, Popen
from typing import Any, TypeVar

from batch_removebg.errors import INSTALL, ClusterLost, SettingsError
from batch_removebg.resources import cores

T = TypeVar("T")

# Else Ray prints into stdout and over the progress line, and answers signals to the run with a trace of its own stack.
_QUIET = {
    **dict.fromkeys(("RAY_USAGE_STATS_ENABLED", "RAY_DEDUP_LOGS", "RAY_SCHEDULER_EVENTS"), "0"),
    "RAY_ENABLE_AUTO_CONNECT": "0",  # else it starts a cluster here where the connection to another has ended
    **dict.fromkeys(("RAY_IGNORE_UNHANDLED_ERRORS", "RAY_DISABLE_FAILURE_SIGNAL_HANDLER"), "1"),
}
_ALIVE, _DRAINING = 0, 3  # in Ray's messages: GcsNodeInfo.GcsNodeState, NodeSnapshot.State


class Gone(Exception):
    """The actor has died, or was killed."""


class Silent(Exception):
    """The actor can't be reached; it may come back, and what was asked of it may have been done."""


# Processes that Ray starts for itself outlive the one that has started them, where that is killed: here they are one
# group, with a process that ends it as soon as its input is closed. Their folder is removed in the end; its name is
# short, since paths of sockets in it have 107 bytes at most. Ray's own, /tmp/ray, may be missing, or be others'.
_HEAD = """
import os, sys, tempfile
with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as place:
    os.environ["RAY_TMPDIR"] = place
    from ray.cluster_utils import Cluster
    args = {"num_cpus": int(sys.argv[1]), "include_dashboard": False, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=args)
    print(cluster.address, flush=True)
    sys.stdin.read()
    cluster.shutdown()
os.killpg(0, 9)
"""


def installed(address: str) -> Any:
    """Ray; raises SettingsError where it is missing."""
    os.environ.update(_QUIET)
    try:
        if address.startswith("ray://"):
            importlib.import_module("grpc")
        return importlib.import_module("ray")
    except ImportError as error:
        client = " and pip install 'ray[client]'" if address.startswith("ray://") else ""
        raise SettingsError(f"--workers {address} needs Ray: {INSTALL.format('ray')}{client}") from error


@contextmanager
def joined(address: str, gpus: float) -> Iterator[Cluster]:
    """The cluster at HOST:PORT or ray://HOST:PORT; `ray`: one on this machine, which ends with the block or program.

    Blocks for seconds. Raises SettingsError.
    """
    ray = installed(address)
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    with _here() if address == "ray" else nullcontext(address) as place:
        init = partial(ray.init, place, log_to_driver=False, logging_level="CRITICAL")
        try:
            with ThreadPoolExecutor(1) as aside:  # in the main thread it would take the handler of SIGTERM
                aside.submit(init).result()
        # Another version of Ray or Python, too.
        except (ImportError, OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            remedy = "a cluster that wants a token needs RAY_AUTH_MODE=token, and its RAY_AUTH_TOKEN"
            raise SettingsError(f"--workers {address}: {' '.join(str(error).split())}; {remedy}") from error
        try:
            if gpus and address == "ray" and not ray.cluster_resources().get("GPU"):
                raise SettingsError("--device cuda with --workers ray: Ray sees no GPU on this machine")
            yield Cluster(ray, gpus)
        finally:
            ray.shutdown()


@contextmanager
def _here() -> Iterator[str]:
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _HEAD, str(cores())]
    head = Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=found, start_new_session=True, text=True)  # noqa: S603
    try:
        assert head.stdout and head.stderr  # noqa: S101, PT018  # pipes
        if not (address := head.stdout.readline().strip()):
            why = (head.stderr.read().splitlines() or ["it was killed"])[-1]
            raise SettingsError(f"Ray doesn't start on this machine: {why}")
        yield address
    finally:
        head.communicate()


class Cluster:
    """Gives actors that have a core each, and so much of GPUs."""

    def __init__(self, ray: Any, gpus: float) -> None:
        self._ray, self._gpus = ray, gpus

        class Actor:  # goes to the nodes by value: they may have another version of this module, or none
            kept: tuple[Any, ...] = ()  # what each function gets first

            def who(self) -> tuple[str, str, str, str]:
                import platform

                try:
                    version = importlib.import_module("batch_removebg").__version__
                except ImportError:
                    version = "missing"
                node = ray.get_runtime_context().get_node_id()
                return node, ray.util.get_node_ip_address(), version, platform.python_version()

            def do(self, asked: bytes) -> bytes:
                from batch_removebg.worker import answered

                function, args, *keep = pickle.loads(asked)  # noqa: S301  # of the run
                answer = answered(function, (*self.kept, *args))
                if keep:
                    _, self.kept = answer
                return pickle.dumps(answer, 5)

            @ray.method(concurrency_group="beside")  # type: ignore[untyped-decorator]
            def ping(self) -> None:
                pass

        needs = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": 0, "max_task_retries": 0, "enable_task_events": False}
        self._class = ray.remote(**needs, concurrency_groups={"beside": 1})(Actor)

    async def rooms(self) -> dict[str, int]:
        """How many actors each node holds, by its id, without nodes that are about to leave; raises ClusterLost."""
        return await _aside(self._look)

    def actor(self) -> Actor:
        """An actor, which starts once it is asked something, and answers once a node has room for it."""
        return Actor(self._ray, self._class.remote)

    def _look(self) -> dict[str, int]:
        head, leaving = getattr(self._ray._private.worker.global_worker, "gcs_client", None), set[str]()
        try:
            if not self._ray.is_initialized():
                raise ConnectionError
            if head is None:  # ray://, which doesn't say who is leaving
                nodes = {node["NodeID"]: node["Resources"] for node in self._ray.nodes() if node["Alive"]}
            else:  # since `nodes` ends the program where the head has been restarted
                found = {key.hex(): node for key, node in head.get_all_node_info().items() if node.state == _ALIVE}
                nodes = {key: dict(node.resources_total) for key, node in found.items()}
                leaving = {key for key, node in found.items() if node.state_snapshot.state == _DRAINING}
            if self._ray.get_runtime_context().get_node_id() not in nodes:
                raise ConnectionError
        except (self._ray.exceptions.RayError, ConnectionError, ValueError) as error:  # of a closed channel
            raise ClusterLost from error
        return {node: room(has, self._gpus) for node, has in nodes.items() if node not in leaving}


async def _aside(function: Callable[[], T]) -> T:
    """What it gives, from a thread that keeps nobody from going on, nor the program from ending."""
    answer: Future[T] = Future()

    def run() -> None:
        with suppress(InvalidStateError):  # cancelled
            try:
                answer.set_result(function())
            except Exception as error:  # noqa: BLE001  # raised by who waits
                answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(answer)


def room(has: dict[str, float], gpus: float) -> int:
    """How many actors a node with such resources holds."""
    return int(min(has.get("CPU", 0), has.get("GPU", 0) / gpus if gpus else float("inf")))


class Actor:
    """A process on some node."""

    def __init__(self, ray: Any, start: Callable[[], Any]) -> None:
        self._ray, self._start = ray, start
        self._handle: Any = None

    async def ask(self, method: str, *args: Any) -> Any:
        """What the method gives; raises Gone, Silent. Arguments and then what it gives travel as bytes."""
        # Pickled here, by a tenth of what it takes Ray, which looks for functions that go by value.
        errors, asked = self._ray.exceptions, [pickle.dumps(args, 5)] if args else []
        try:
            self._handle = self._handle or await _aside(self._start)
            given = await asyncio.wrap_future(getattr(self._handle, method).remote(*asked).future())
        except errors.RayTaskError:  # no death, but a bug
            raise
        except errors.ActorUnavailableError as error:
            raise Silent from error
        except (errors.RayError, ConnectionError) as error:
            raise Gone from error
        except Exception as error:
            if self._ray.is_initialized():
                raise
            raise Gone from error  # ray:// without its head
        return pickle.loads(given) if asked else given  # noqa: S301  # of an actor of the run

    def kill(self) -> None:
        """End it at once."""
        if self._handle is not None:
            with suppress(Exception):  # ray:// without its head: bare ones, too
                self._ray.kill(self._handle)
