"""Generates gen/ from protos/: Python stubs, type stubs and the descriptor set for Envoy. Besides,
stubs of the services that Envoy calls, from third_party/envoy.

Usage: python tools/gen.py [OUTPUT_FOLDER]      (default: gen; `make gen-check` writes elsewhere
and compares). The descriptor set holds comments (for the generated documentation) and
google/rpc/error_details.proto (without it Envoy drops the body of an error).
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
DESCRIPTOR_SET = "holdfast.binpb"


def run(arguments: list[str]) -> None:
    """Runs protoc and stops at its first error."""
    if protoc.main(["protoc", *arguments]) != 0:
        sys.exit("protoc failed; its message is above")


def site_packages() -> Path:
    """Where googleapis-common-protos keeps google/api and google/rpc."""
    spec = find_spec("google.rpc")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations))).parent.parent


def _names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.proto"))]


def main() -> None:
    """Generates everything below the output folder."""
    output = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "gen").resolve()
    output.mkdir(parents=True, exist_ok=True)
    protos = ROOT / "protos"
    envoy = ROOT / "third_party" / "envoy"
    names, foreign = _names(protos), _names(envoy)
    well_known = find_spec("grpc_tools")
    assert well_known is not None
    assert well_known.origin is not None
    includes = [
        f"-I{protos}",
        f"-I{site_packages()}",
        f"-I{Path(well_known.origin).parent / '_proto'}",
    ]
    outputs = [f"--{kind}_out={output}" for kind in ("python", "grpc_python")]
    outputs += [f"--{kind}_out=quiet:{output}" for kind in ("mypy", "mypy_grpc")]
    # By path: the environment that runs this need not be active.
    programs = Path(sys.executable).parent
    plugins = [
        f"--plugin={name}={programs / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    run([*includes, *plugins, *outputs, *names])
    # Their module path is ours: `envoy` is the package that brings Envoy.
    run([f"-I{envoy}", *includes, *plugins, *outputs, *foreign])
    run(
        [
            *includes,
            "--include_imports",
            "--include_source_info",
            f"--descriptor_set_out={output / DESCRIPTOR_SET}",
            *names,
            "google/rpc/error_details.proto",
        ]
    )


if __name__ == "__main__":
    main()
