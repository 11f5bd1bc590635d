"""Settings that every process shares, read once in `__main__`: nothing else sees the environment.

Each service subclasses `Settings` with its own fields. Every variable is `HOLDFAST_<FIELD>`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

#: Number of partitions of an installation. Fixed for its life: ids carry the partition.
PARTITIONS = 64

#: Whom tokens of the command line name: bench, load, replay, demo. No user has such an id.
OPERATOR = "usr_operator"
#: The highest limit of calls per minute.
LIMIT_MAX = 600_000

#: What the servers of one installation are called; also their sockets, certificates and metrics.
SERVICES = ("authz", "settler", "accounts", "payments", "gateway", "notify", "stats")

#: A server runs in one of two; a restart starts the other one first.
SLOTS = ("a", "b")


class Settings(BaseSettings):
    """Where things are and who we are. No secret is ever a setting: secrets are files (0600)."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_", extra="ignore", frozen=True)

    home: Path = Field(
        default=Path(".holdfast"),
        description="State of the installation: data, certificates, secrets, logs.",
    )
    run_dir: Path | None = Field(
        default=None,
        description="Short private folder (0700) of the sockets; the supervisor chooses it.",
    )
    postgres_dsn: str | None = Field(
        default=None,
        description="Owner's DSN of a PostgreSQL that already runs; none: one is started.",
    )
    redis_url: str | None = Field(
        default=None,
        description="URL of a money Valkey/Redis that already runs; none: one is started.",
    )
    cache_url: str | None = Field(
        default=None,
        description="URL of a cache Valkey/Redis that already runs; none: one is started.",
    )
    trust_domain: str = Field(
        default="holdfast.local",
        description="SPIFFE trust domain of services and networks.",
    )
    secrets: Literal["files", "environment", "vault"] = Field(
        default="files",
        description="Where secrets come from: files below home (0600), variables"
        " HOLDFAST_SECRET_<NAME>, or Vault; what is not there is read from files.",
    )
    vault_url: str = Field(
        default="https://127.0.0.1:8200",
        description="Vault or OpenBao, with HOLDFAST_SECRETS=vault.",
    )
    vault_token_file: Path = Field(
        default=Path("vault-token"),
        description="File with its token, which an agent renews; relative to home.",
    )
    vault_mount: str = Field(default="secret", description="Its KV version 2 secrets engine.")
    vault_folder: str = Field(default="holdfast", description="Folder of our secrets there.")
    objects: Literal["folder", "s3"] = Field(
        default="folder",
        description="Where documents lie, sealed: `documents/` below home, or a bucket of S3.",
    )
    s3_bucket: str = Field(default="", description="Its name, with HOLDFAST_OBJECTS=s3.")
    s3_prefix: str = Field(
        default="holdfast/",
        pattern=r"^[A-Za-z0-9_./-]{0,100}$",
        description="What the names of our files in it begin with.",
    )
    s3_region: str = Field(default="us-east-1", description="Its region.")
    s3_url: str = Field(
        default="", description="Where something else than AWS speaks S3; none: AWS."
    )
    jwks_cache_s: int = Field(
        default=60,
        ge=1,
        le=3600,
        description="How long Envoy keeps the token keys, s; a new key signs after twice that.",
    )
    instance: str = Field(
        default="",
        description="Name of this process, e.g. authz-0; the supervisor sets it.",
    )
    slot: Literal["a", "b"] = Field(
        default="a",
        description="Which of its two endpoint slots this server takes.",
    )
    latency_target_ms: int = Field(
        default=30,
        ge=1,
        le=10_000,
        description="Card networks' calls are shed while a tenth of them takes longer than this:"
        " raise it if an external decision is asked and takes its time.",
    )
    usage_edge_percent: int = Field(
        default=100, ge=0, le=100, description="Share of requests at the edge in the usage log."
    )
    usage_network_percent: int = Field(
        default=0, ge=0, le=100, description="Share of calls of networks in the usage log."
    )
    webhook_networks: str = Field(
        default="",
        pattern=r"^[0-9a-fA-F.:/, ]*$",
        description="Networks of our own that webhooks may go to all the same, with commas between"
        " them, e.g. `127.0.0.0/8`; by number also without TLS.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least severe log line that is written."
    )

    trusted_hops: int = Field(
        default=0,
        ge=0,
        le=8,
        description="Proxies of your own in front of the edge: so many entries of X-Forwarded-For"
        " are believed.",
    )
    limits: Literal["on", "off"] = Field(
        default="on", description="Whether calls of the edge are counted and limited."
    )
    limit_operator_per_minute: int = Field(
        default=LIMIT_MAX,
        ge=0,
        le=LIMIT_MAX,
        description="Calls per minute of the command line itself (bench, load, replay, demo);"
        " 0: any number.",
    )
    limit_principals: dict[str, Annotated[int, Field(ge=0, le=LIMIT_MAX)]] = Field(
        default_factory=dict,
        description="Users with a limit of their own, in calls per minute, as JSON:"
        ' `{"usr_…": 1000}`; 0: any number.',
    )
    envoy_memory_mb: int = Field(
        default=1024,
        ge=64,
        description="Memory that Envoy may take, in MiB: near it, it takes no new connections, then"
        " no new calls.",
    )
    edge_connections: int = Field(
        default=4000,
        ge=1,
        description="Most connections of web clients at once, of HTTPS and plain HTTP each.",
    )
    network_connections: int = Field(
        default=1000, ge=1, description="Most connections of card networks at once."
    )
    network_calls_per_second: int = Field(
        default=20_000, ge=1, description="Most calls per second of one such connection."
    )

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @property
    def principal_limits(self) -> dict[str, int]:
        """Calls per minute of callers that have a limit of their own; 0: any number."""
        return {OPERATOR: self.limit_operator_per_minute, **self.limit_principals}

    @property
    def run_path(self) -> Path:
        """The folder of the sockets."""
        if self.run_dir is None:
            raise ValueError(
                "HOLDFAST_RUN_DIR is not set: start the process through `holdfast up`, or set it to"
                " a short private folder for its sockets"
            )
        return self.run_dir

    def socket_of(self, instance: str, slot: str = "a") -> Path:
        """The gRPC socket of one server's slot."""
        return self.run_path / f"{instance}.{slot}.sock"

    @property
    def socket(self) -> Path:
        """The gRPC socket of this process."""
        return self.socket_of(self.instance, self.slot)

    def limits_socket_of(self, instance: str, slot: str = "a") -> Path:
        """Where one slot answers Envoy how often a caller may call."""
        return self.run_path / f"{instance}.{slot}.limits.sock"

    @property
    def metrics_socket(self) -> Path:
        """The Prometheus socket of this process, scraped through Envoy's metrics listener."""
        return self.metrics_socket_of(self.instance, self.slot)

    def metrics_socket_of(self, instance: str, slot: str = "a") -> Path:
        """The Prometheus socket of one slot: while a service is restarted it has two processes."""
        return self.run_path / f"{instance}.{slot}.metrics.sock"

    def egress_socket(self, service: str) -> Path:
        """Envoy's plain listener through which `service` calls other services (mTLS behind it)."""
        return self.run_path / f"egress-{service}.sock"

    def secret_path(self, name: str) -> Path:
        """File of one secret (0600), e.g. `postgres-authz`, `valkey-money-authz`."""
        return self.home / "secrets" / name

    def secret(self, name: str) -> str:
        """Reads one secret; the error names the file and not its content."""
        path = self.secret_path(name)
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            raise FileNotFoundError(f"secret {path} is missing: run `holdfast up` once") from None
