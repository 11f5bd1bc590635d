"""Scenario: what the edge costs: the same purchases past Envoy, and through more and more of it.

For each step Envoy's configuration is written again with fewer filters at the edge, and Envoy is
restarted. Everything else is as it always is. The steps take turns, round after round: what a
machine lends changes from minute to minute, so each is compared with the other of the same round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from loadtest import messages
from loadtest.drive import Run, drive
from loadtest.job import Target
from loadtest.mesh import Mesh, open_mesh
from loadtest.percentiles import median
from loadtest.session import DEPTH_FEW, Session, line, summary
from runtime.mesh_client import TokenSource
from runtime.settings import OPERATOR

#: Calls per second at which latency is compared.
RATE = 500
_ROLE = "merchant"
_TOKEN = "jwt_authn"  # noqa: S105  a filter
_POLICY = ("rbac",)
_LIMITS = (
    "set-address",
    "ext_authz",
    "check-session",
    "local_ratelimit",
    "ratelimit",
    "ratelimit.guarded",
)
#: Step → filters that are left out.
STEPS = {
    "listener": (_TOKEN, *_POLICY, *_LIMITS),
    "token": (*_POLICY, *_LIMITS),
    "policy": _LIMITS,
    "limits": (),
}
_PREFIX = "envoy.filters.http."


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One round of one step."""

    #: As many calls as there can be.
    most: Run
    #: At `RATE`.
    steady: Run


async def edge(session: Session) -> None:
    """Measures each step in turn, the worker's own socket first, as often as `--runs` says."""
    options, runs = session.options, dict[str, list[Measured]]()
    async with open_mesh(workers=options.workers) as mesh:
        cards = await mesh.open_accounts(options.accounts_few)
        await mesh.settle()
        settings = mesh.stack.settings
        numbers = range(options.workers)
        direct = Target(sockets=tuple(str(settings.socket_of(f"authz-{n}")) for n in numbers))
        identity = [("x-auth-subject", OPERATOR), ("x-auth-roles", _ROLE)]
        path = mesh.stack.home.root / "envoy" / "envoy.yaml"
        whole = path.read_text()
        for _ in range(options.runs):
            one = await _measure(session, mesh, cards, "direct", direct, headers=identity)
            runs.setdefault("direct", []).append(one)
            for name, left_out in STEPS.items():
                if not _write(path, whole, left_out, identity if name == "listener" else []):
                    continue
                await mesh.stack.restart("envoy")
                token = TokenSource(settings, roles=(_ROLE,)).token()
                headers = [("authorization", f"Bearer {token}")]
                one = await _measure(session, mesh, cards, name, mesh.edge, headers=headers)
                runs.setdefault(name, []).append(one)
        await session.check_books(mesh, "edge")
    found = {name: _together(several) for name, several in runs.items()}
    if "limits" in runs:
        found["limits"]["loss"] = loss = _loss(runs["policy"], runs["limits"])
        session.say(f"edge: limits take {loss:.1%} of its rate, the median of {options.runs}")
    session.document["edge"] = found


def _together(several: Sequence[Measured]) -> dict[str, Any]:
    """The rounds of one step as one: medians."""
    steady = [one.steady for one in several]
    used = [run.cpu_us_per_call() for run in steady]
    latencies = [asdict(run.latency) for run in steady]
    return {
        **summary([one.most for one in several]),
        "at_rate": {
            "rate": RATE,
            "errors": sum(run.errors for run in steady),
            "cpu_us_per_call": {name: median(one[name] for one in used) for name in used[0]},
            **{name: median(one[name] for one in latencies) for name in latencies[0]},
        },
    }


def _loss(before: Sequence[Measured], after: Sequence[Measured]) -> float:
    """The share of the rate that a step takes, round by round; the median."""
    pairs = zip(before, after, strict=True)
    return round(median(1 - two.most.rate_per_s / one.most.rate_per_s for one, two in pairs), 3)


async def _measure(
    session: Session,
    mesh: Mesh,
    cards: list[str],
    name: str,
    target: Target,
    *,
    headers: list[tuple[str, str]],
) -> Measured:
    """The most with few callers, then latency and CPU per call at one rate."""
    sent = [*messages.grpc_headers(messages.AUTHORIZE, tls=not target.sockets), *headers]
    options = session.options
    runs = []
    for fields in (
        {"depth": DEPTH_FEW, "seconds": options.warmup_s},
        {"depth": DEPTH_FEW, "seconds": options.seconds},
        {"steps": ((RATE, options.sweep_seconds),)},
    ):
        batch = messages.purchases(cards)
        job = messages.job(target, sent, batch, **fields)
        run = await drive(job, batch.tails, watched=mesh.processes)
        mesh.answered.add(run)
        runs.append(run)
    _, most, steady = runs
    session.say(f"edge, {name}, {DEPTH_FEW} in flight: {line(most)}")
    session.say(f"edge, {name}, {RATE}/s: {line(steady)}")
    return Measured(most=most, steady=steady)


def _write(
    path: Path, whole: str, left_out: tuple[str, ...], identity: list[tuple[str, str]]
) -> bool:
    """Writes the configuration without these filters at the edge; with an identity for those who
    then have none. False: there is nothing that this step would add.
    """
    document = yaml.safe_load(whole)
    manager = next(
        one["filter_chains"][0]["filters"][0]["typed_config"]
        for one in document["static_resources"]["listeners"]
        if one["name"] == "edge_https"
    )
    filters = manager["http_filters"]
    names = {one["name"].removeprefix(_PREFIX) for one in filters}
    if not left_out and not names & set(_LIMITS):
        return False
    for one in filters:
        if one["name"] == f"{_PREFIX}{_TOKEN}" and _TOKEN in left_out:
            # It stays, for Envoy counts as ready once it has the keys; but it asks for nothing.
            one["typed_config"]["rules"] = []
    leaving = set(left_out) - {_TOKEN}
    kept = [one for one in filters if one["name"].removeprefix(_PREFIX) not in leaving]
    if identity:
        # Behind the filter for tokens, which removes the headers that it would set.
        kept.insert(-1, _stating(identity))
    manager["http_filters"] = kept
    path.write_text(yaml.safe_dump(document))
    return True


def _stating(identity: list[tuple[str, str]]) -> dict[str, Any]:
    kind = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
    return {
        "name": f"{_PREFIX}header_mutation",
        "typed_config": {
            "@type": kind,
            "mutations": {
                "request_mutations": [
                    {"append": {"header": {"key": key, "value": value}}} for key, value in identity
                ]
            },
        },
    }
