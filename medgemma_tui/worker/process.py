"""The worker as a process: arguments, socket, signals, loading beside the server, and how it ends.

Exit codes: 0 asked to stop, 1 failed, 2 bad arguments, 3 the model cannot be used (starting again would not help),
4 out of memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
import uvloop

from medgemma_tui import crash, demo
from medgemma_tui.exits import ExitCode
from medgemma_tui.model_dir import ModelDirError, inspect
from medgemma_tui.privacy import native_output
from medgemma_tui.privacy.seal import seal
from medgemma_tui.protocol import HealthReason, ModelCard
from medgemma_tui.vram import DEFAULT_WINDOW
from medgemma_tui.worker.faults import OutOfMemory, describe, typed_out_of_memory
from medgemma_tui.worker.server import make_app
from medgemma_tui.worker.service import Ready, Service, Words

if TYPE_CHECKING:  # torch is imported beside the server, not before it
    from medgemma_tui.worker.loader import Plan

log = logging.getLogger(__name__)

DEMO_NAME = "medgemma-tui-demo"
MAX_QUEUE = 256
"""Requests that may wait for a slot; the gateway lets in far fewer."""
SMALL_MODEL = 50_000_000
"""Parameters below which a CPU step is shorter than the threads' meeting at its end: one thread then. Measured on two
busy cores with the demo model: 288 tokens/s on one thread, 25 on two."""
LINGER_S = 2.0
"""Seconds for which a worker that cannot go on still answers /health, so that its reason is read."""
_VRAM_WAIT_S = 5.0
_HARD_END_S = 3.0


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    socket: Path
    model: Path
    demo: bool
    max_model_len: int | None
    slots: int
    threads: int | None
    short_cuts: bool = True


def main(parent: int, arguments: Sequence[str] | None = None) -> None:
    """Run the worker and exit. ``parent`` is the process id of the one that started it: it is not outlived."""
    closed = seal("worker")
    options = parse(arguments)
    crash.install()
    own = native_output.keep_own()
    crash.log_to(own)
    for chatty in ("uvicorn", "httpx", "bitsandbytes", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    faulthandler.enable(own)
    log.info("sealed: %s", closed.summary())
    die_with_parent(parent)
    try:
        listener = listen(options.socket)
    except OSError as error:
        log.error("the socket cannot be made: %s", error.strerror)
        sys.exit(ExitCode.FAILED)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_Process(options).run(listener))
    with contextlib.suppress(FileNotFoundError):
        options.socket.unlink()
    log.info("end, exit code %d", code)
    logging.shutdown()
    os._exit(code)  # torch's own teardown can take seconds, and a load that is under way cannot be interrupted


def parse(arguments: Sequence[str] | None) -> Options:
    """The command line's values; exits with 2 where they are wrong."""
    parser = argparse.ArgumentParser(prog="python -m medgemma_tui.worker")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--max-model-len", type=_positive)
    parser.add_argument("--slots", type=_positive, default=8)
    parser.add_argument("--threads", type=_positive)
    parser.add_argument("--no-short-cuts", dest="short_cuts", action="store_false")
    return Options(**vars(parser.parse_args(arguments)))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def die_with_parent(parent: int) -> None:
    """Ask the kernel to end this process with its parent; ends it now if the parent is gone already."""
    pr_set_pdeathsig = 1
    if ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0) != 0:
        log.warning("PR_SET_PDEATHSIG: %s", os.strerror(ctypes.get_errno()))
    if os.getppid() != parent:
        sys.exit(ExitCode.FAILED)


def listen(path: Path) -> socket.socket:
    """A listening socket at ``path``, mode 0600. A dead one in its place is removed.

    Raises OSError where somebody listens there, or something else is there.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if path.is_socket():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(128)
    return listener


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: they would end the process by the signal, not by an exit code."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Process:
    """The server on the main thread, the loading on another, and how either ends the process."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._service = Service()
        self._server = _Server(
            uvicorn.Config(
                make_app(self._service),
                http="httptools",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._code: ExitCode | None = None

    async def run(self, listener: socket.socket) -> ExitCode:
        """Serve until told to stop; returns the exit code."""
        self._loop = asyncio.get_running_loop()
        crash.watch(self._loop)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop, ExitCode.OK)
        threading.Thread(target=self._load, name="load", daemon=True).start()
        await self._server.serve(sockets=[listener])
        return ExitCode.FAILED if self._code is None else self._code

    def _stop(self, code: ExitCode) -> None:
        if self._code is not None:
            return
        self._code = code
        ready = self._service.ready
        if ready is not None:
            ready.engine.close()
        if code is ExitCode.OK:
            self._service.failed("failed", "the model process is being stopped")
        self._server.should_exit = True
        end = threading.Timer(_HARD_END_S, os._exit, [int(code)])  # a client that does not read holds nothing up
        end.daemon = True
        end.start()

    def _give_up(
        self, ends: ExitCode, reason: HealthReason, detail: str, code: str = "", params: Mapping[str, str] | None = None
    ) -> None:
        """On the loop: say why on /health for a moment, then end."""
        self._service.failed(reason, detail, code, params)
        self._loop.call_later(LINGER_S, self._stop, ends)

    def _fatal(self) -> None:
        """The engine is dead: end as soon as its last events are out."""
        self._service.failed("failed", "the model process failed")
        self._loop.call_later(0.1, self._stop, ExitCode.FAILED)

    # -- in the loading thread -------------------------------------------------------------------------------

    def _load(self) -> None:
        tell = self._loop.call_soon_threadsafe
        try:
            self._bring_up()
        except ModelDirError as error:
            log.error("model_invalid (%s): %s", error.code, error)
            tell(self._give_up, ExitCode.MODEL_INVALID, "model_invalid", error.message(), error.code, error.params)
        except OutOfMemory as error:
            log.error("%s", error)
            tell(self._give_up, ExitCode.OUT_OF_MEMORY, "out_of_memory", str(error), error.code)
        except Exception as error:
            log.error("the model could not be loaded: %s", describe(error))
            tell(self._give_up, ExitCode.FAILED, "failed", f"the model could not be loaded: {type(error).__name__}")

    def _bring_up(self) -> None:
        """From an empty process to a model that answers; tells the service on the way."""
        options, tell = self._options, self._loop.call_soon_threadsafe
        tell(self._service.loading, 0.0)
        began = time.monotonic()
        inspect(options.model)  # before torch is imported: a wrong path is told at once
        import torch

        from medgemma_tui.worker import loader
        from medgemma_tui.worker.decoder import Decoder
        from medgemma_tui.worker.engine import Engine
        from medgemma_tui.worker.grammar import GrammarCompiler
        from medgemma_tui.worker.prompt import PromptRenderer
        from medgemma_tui.worker.thinking import MissingToken, SpecialTokens
        from medgemma_tui.worker.types import DecodeRequest

        tokenizer = loader.load_tokenizer(options.model)
        plan = self._plan()
        small = plan.device.type == "cpu" and plan.directory.parameters < SMALL_MODEL
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        elif small and "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(1)
        native_output.withhold(1, 2)  # from here on a text may come, if only to be counted
        tell(self._service.counting, Words(PromptRenderer(tokenizer), plan.max_model_len))
        loaded = loader.load_model(plan, self._progress)
        try:
            ids = SpecialTokens.from_tokenizer(tokenizer, loaded.eos_ids)
        except MissingToken as error:
            what = {"path": str(options.model), "file": f"tokenizer.json: {error.token}"}
            raise ModelDirError("no_tokenizer", what) from None
        with typed_out_of_memory(plan.device.type):
            decoder = Decoder(
                loaded.model,
                ids,
                slots=options.slots,
                max_model_len=plan.max_model_len,
                max_queue=MAX_QUEUE,
                fast=options.short_cuts,
            )
            warm_up = DecodeRequest("warm-up", tuple(tokenizer.encode("warm-up")), 2)  # the first step is the slowest
            decoder.submit(warm_up)
            while not decoder.idle:
                decoder.step()
            decoder.forget()
        card = self._card(plan)
        ready = Ready(Engine(decoder, tokenizer, self._loop, self._fatal), GrammarCompiler(tokenizer, ids), card)
        tell(self._service.done, ready)
        log.info(
            "%s is loaded in %.1f s: %s on %s, a window of %d tokens, %d slots",
            card.id, time.monotonic() - began, card.quantization, card.device, plan.max_model_len, options.slots,
        )  # fmt: skip

    def _progress(self, percent: float) -> None:
        self._loop.call_soon_threadsafe(self._service.loading, percent)

    def _plan(self) -> Plan:
        """Where the model goes. A worker that was just lost may still hold its memory: that is waited for."""
        from medgemma_tui.worker import loader

        asked = self._options.max_model_len
        deadline = time.monotonic() + _VRAM_WAIT_S
        while True:
            late = time.monotonic() > deadline
            try:
                plan = loader.make_plan(self._options.model, max_model_len=asked, slots=self._options.slots)
            except ModelDirError as error:
                if late or error.code not in ("does_not_fit", "too_small_gpu"):
                    raise
            else:
                usual = min(DEFAULT_WINDOW, plan.directory.context_limit)
                if asked is not None or plan.max_model_len >= usual:
                    return plan
                if late:
                    log.warning("free GPU memory cuts the window to %d tokens; %d are usual", plan.max_model_len, usual)
                    return plan
            time.sleep(0.5)

    def _card(self, plan: Plan) -> ModelCard:
        import torch

        is_demo = self._options.demo or self._options.model == demo.model_dir()
        on_gpu = plan.device.type == "cuda"
        return ModelCard(
            id=DEMO_NAME if is_demo else self._options.model.name,
            created=int(time.time()),
            max_model_len=plan.max_model_len,
            quantization="nf4",
            dtype="bfloat16",
            device=torch.cuda.get_device_name(plan.device) if on_gpu else "cpu",
            demo=is_demo,
            parameters=plan.directory.parameters,
        )
