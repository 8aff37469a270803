"""Takes looks, keeps many addresses in flight, and hands over their answers."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from functools import partial

from seccheck.model import Reason
from seccheck.permission import UNLIMITED, Limits, parse_address
from seccheck.probes import Answer, Endpoint, Facts, Look, Looks, ProbeFailed
from seccheck.probes.ports.facts import PortsParams
from seccheck.probes.ports.look import BUILT_IN, CHUNK, look, pick_canaries
from seccheck.probes.ports.loop import AT_ONCE, Host, Loop
from seccheck.probes.ports.nmap import CHUNK as NMAP_CHUNK
from seccheck.probes.ports.nmap import Nmap
from seccheck.scope import Context

ENGINE_VARIABLE = "SECCHECK_PORTS_ENGINE"
"""`connect` or `nmap`: the engine for every look. Unset: nmap, where installed, for a large set at an address
without a limit on its pace; held to a pace it looks at one port after the other, and a firewalled address
takes five times as long as with the built-in engine (281 s against 58 s for a thousand ports)."""
_LARGE = {"top-1000", "all"}
_TAKE_EVERY = 0.02


class _Run:
    """One stream of looks."""

    def __init__(
        self,
        hand_over: Callable[[Answer], None],
        context: Context,
        seconds: Callable[[Endpoint, PortsParams], float],
    ) -> None:
        self.hand_over = hand_over
        self.context = context
        self.seconds = seconds
        self.loop = Loop()
        self.choice = os.environ.get(ENGINE_VARIABLE, "")
        self.nmap_path = shutil.which("nmap") if self.choice != BUILT_IN else None

    def begin(self, taken: Look) -> None:
        """Put the look among those in flight, or answer why it can't be."""
        params: PortsParams = taken.params
        try:
            address = str(parse_address(taken.endpoint.address))
            engine = self._engine(params, self.context.permit(address).limits)
        except ValueError as error:
            self.hand_over(Answer(key=taken.key, failed=Reason.OUT_OF_SCOPE, detail=str(error)))
            return
        except ProbeFailed as failure:
            self.hand_over(Answer(key=taken.key, failed=failure.reason, detail=failure.detail))
            return
        chunk = CHUNK if engine == BUILT_IN else NMAP_CHUNK
        looking = look(params, engine=engine, chunk=chunk, canaries=pick_canaries(params))
        seconds = self.seconds(taken.endpoint, params)
        own = self.context.for_one_job()
        self.loop.add(Host(self.loop, address, looking, own, seconds, partial(self._answer, taken.key)))

    def _engine(self, params: PortsParams, limits: Limits) -> str:
        """The name of the engine for these ports; starts nmap's on first use."""
        if self.choice not in {"", BUILT_IN, "nmap"}:
            raise ProbeFailed(Reason.NOT_PROBED, f"{ENGINE_VARIABLE} is {self.choice!r}, not connect or nmap")
        if self.choice == "nmap" and not self.nmap_path:
            raise ProbeFailed(Reason.NOT_PROBED, f"{ENGINE_VARIABLE} asks for nmap, which is not installed")
        unhurried = limits.ports_per_second or limits.connections_at_once < UNLIMITED.connections_at_once
        fitting = not unhurried and not _LARGE.isdisjoint(params.tcp_sets)
        if self.nmap_path and (self.choice == "nmap" or fitting):
            if self.loop.outside is None:
                self.loop.outside = Nmap(self.nmap_path)
            return self.loop.outside.name
        return BUILT_IN

    def _answer(self, key: str, host: Host, outcome: Facts | ProbeFailed) -> None:
        made = host.context.connections
        if isinstance(outcome, ProbeFailed):
            answer = Answer(key=key, failed=outcome.reason, detail=outcome.detail, connections=made)
        else:
            answer = Answer(key=key, facts=outcome, connections=made)
        self.hand_over(answer)


def run(
    looks: Looks,
    hand_over: Callable[[Answer], None],
    context: Context,
    seconds: Callable[[Endpoint, PortsParams], float],
) -> None:
    """Look at the addresses of `looks` until no more come and all are answered."""
    this = _Run(hand_over, context, seconds)
    loop, next_take = this.loop, 0.0
    try:
        while loop.hosts or not looks.closed:
            now = time.monotonic()
            if not loop.hosts or (now >= next_take and len(loop.hosts) < AT_ONCE):
                taken = looks.take(0.0 if loop.hosts else 0.2)
                if taken:
                    this.begin(taken)
                    continue
                next_take = now + _TAKE_EVERY
            if loop.hosts:
                loop.run_once(0.5 if looks.closed else _TAKE_EVERY)
    finally:
        loop.close()
