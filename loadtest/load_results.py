"""What Locust's process hands to the one that judges: one JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from loadtest.load_answers import Answers
from loadtest.load_samples import Samples, Summary
from runtime.latency import summary_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Times, failures and answers."""

    by_name: Mapping[str, Summary]
    overall: Summary
    #: What failed, and how often.
    failures: Mapping[str, int]
    answers: Answers
    #: What actors could make no sense of.
    errors: Sequence[str]
    #: How late greenlets woke, p50, p95 and p99: what the times contain of Locust's own work.
    lag_ms: Mapping[str, float]

    @classmethod
    def of(
        cls, samples: Samples, answers: Answers, errors: Sequence[str], lags_s: Sequence[float]
    ) -> Results:
        """What has been seen until now."""
        return cls(
            by_name=samples.by_name(),
            overall=samples.overall(),
            failures=dict(samples.texts.most_common()),
            answers=answers,
            errors=list(errors),
            lag_ms=summary_ms(lags_s),
        )

    def write(self, path: Path) -> None:
        """Writes it for `read`."""
        document = {
            "by_name": {name: asdict(one) for name, one in self.by_name.items()},
            "overall": asdict(self.overall),
            "failures": dict(self.failures),
            "answers": self.answers.document(),
            "errors": list(self.errors),
            "lag_ms": dict(self.lag_ms),
        }
        path.write_text(json.dumps(document))

    @classmethod
    def read(cls, path: Path) -> Results:
        """What was written."""
        document = json.loads(path.read_text())
        return cls(
            by_name={name: Summary(**one) for name, one in document["by_name"].items()},
            overall=Summary(**document["overall"]),
            failures=document["failures"],
            answers=Answers.of_document(document["answers"]),
            errors=document["errors"],
            lag_ms=document["lag_ms"],
        )
