"""What Locust runs: `holdfast load` starts it, with a scenario that names mesh and cardholders.

Locust is gevent: its greenlets take turns in one thread. Importing it patches the standard library;
gRPC has to be told before its first channel is made, or each of its calls blocks everybody.

What that costs, on two busy cores: 0.45 ms of processor per gRPC call, where `grpc.aio` takes 0.25;
the latency that a single caller sees is the same. Each run tells how late its greenlets woke.
"""

from __future__ import annotations

import random
import ssl
import time
from pathlib import Path
from typing import Any

import gevent
from grpc.experimental.gevent import init_gevent
from locust import LoadTestShape, events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from loadtest.load_actors_edge import Cardholder, EdgeActor, Operator
from loadtest.load_actors_network import Merchant, NetworkActor, RepeatingNetwork, Shopper
from loadtest.load_acts import Acts
from loadtest.load_network import Network, WrongAnswerError, connect
from loadtest.load_results import Results
from loadtest.load_samples import Samples
from loadtest.load_scenario import Phase, Scenario
from loadtest.load_town import Town
from runtime import pki
from runtime.mesh_client import TokenSource
from runtime.settings import Settings

__all__ = ["Cardholder", "Day", "Merchant", "Operator", "RepeatingNetwork", "Shopper"]

init_gevent()

#: How often we look whether greenlets wait for the processor, and not for the mesh.
_LAG_EVERY_S = 0.05
#: How long actors may take to finish what they have begun: a call and its repetitions.
_FINISH_TIMEOUT_S = 120.0


class Day(LoadTestShape):
    """Users by the time of day."""

    town: Town

    def tick(self) -> tuple[int, float] | None:
        """How many users there are now; None ends the test."""
        phase = self.town.phase()
        return None if phase is None else self.town.scenario.crowd(phase)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_arguments(parser: LocustArgumentParser) -> None:
    """Where the scenario is."""
    parser.add_argument("--scenario", required=True, type=Path)


@events.init.add_listener  # type: ignore[untyped-decorator]
def prepare(environment: Environment, **_: Any) -> None:
    """Gives the actors what they share, and listens to what happens."""
    assert environment.parsed_options is not None, "Locust was started from the command line"
    scenario = Scenario.read(environment.parsed_options.scenario)
    settings = Settings()
    town = Town(scenario=scenario, random=random.Random())  # noqa: S311  no secrets # nosec B311
    samples = Samples()
    lags_s: list[float] = []
    acts = NetworkActor.acts = EdgeActor.acts = Acts()
    Day.town = NetworkActor.town = EdgeActor.town = town
    NetworkActor.network = EdgeActor.network = Network(
        connect(scenario, settings),
        unanswered=town.answers.unanswered,
        tell=environment.events.request.fire,
    )
    ca = str(pki.ca_path(settings))
    EdgeActor.ssl_context_factory = staticmethod(lambda: ssl.create_default_context(cafile=ca))
    Cardholder.tokens = TokenSource(settings, roles=("auditor",))
    Operator.tokens = TokenSource(settings, roles=("admin",))

    def on_request(name: str, response_time: float, exception: object, **_: Any) -> None:
        timed = not isinstance(exception, WrongAnswerError)
        measured = timed and town.phase() is not Phase.WARM_UP
        samples.add(name, response_time, error=exception, measured=measured)

    def on_start(**_: Any) -> None:
        town.begin()
        gevent.spawn(_watch_lag, town, lags_s)

    def on_stop(**_: Any) -> None:
        acts.finish(timeout_s=_FINISH_TIMEOUT_S)
        Results.of(samples, town.answers, acts.errors, lags_s).write(scenario.results)

    environment.events.request.add_listener(on_request)
    environment.events.test_start.add_listener(on_start)
    environment.events.test_stop.add_listener(on_stop)


def _watch_lag(town: Town, lags_s: list[float]) -> None:
    """How late a greenlet wakes: what every measured time contains of Locust's own work."""
    while (phase := town.phase()) is not None:
        began = time.monotonic()
        gevent.sleep(_LAG_EVERY_S)
        if phase is not Phase.WARM_UP:
            lags_s.append(time.monotonic() - began - _LAG_EVERY_S)
