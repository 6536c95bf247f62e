"""Writes what each binary is made of, as CycloneDX 1.5: target/sbom/BINARY-TARGET.cdx.json, one file for each
processor.

cargo-cyclonedx describes each crate. It reads `cargo metadata`, which takes more for built than is (what tests need,
and what an optional feature might pull in), and so the list is compared with `cargo tree`, which resolves features as
the build does: what is not built is left out, what only runs at build time (build scripts, derive macros and what
they need) gets the scope `excluded`, what is linked `required`. A crate of the one that the other does not know is an
error. The same commit gives the same bytes.

    make sbom
"""

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

VERSION = "0.5.9"
TARGETS = ["aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"]
# With the feature that each is built with.
BINARIES = {"bootstrap": "lambda", "streamseal": "cli"}
ROOT = pathlib.Path(__file__).resolve().parents[2]

Json = dict[str, Any]


def run(*command: str, **more: Any) -> str:
    """What the command writes."""
    done = subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE, **more)
    return str(done.stdout)


def features(binary: str) -> list[str]:
    """The arguments of cargo that name the features of a binary."""
    return ["--no-default-features", "--features", BINARIES[binary]]


def crates(binary: str, target: str, edges: str) -> set[str]:
    """`name@version` of what cargo builds along these edges, without ourselves."""
    what = [*features(binary), "--target", target, "-e", edges]
    tree = run("cargo", "tree", "--locked", *what, "--prefix", "none", "--format", "{p}")
    words = (line.split() for line in tree.splitlines() if line.strip())
    return {f"{name}@{version.removeprefix('v')}" for name, version, *_ in words if name != "streamseal"}


def described(binary: str, target: str, epoch: str) -> Json:
    """cargo-cyclonedx's description, which it can only write beside Cargo.toml; and what else it writes there goes."""
    try:
        what = ["--format", "json", "--spec-version", "1.5", "--describe", "binaries", *features(binary)]
        env = {**os.environ, "SOURCE_DATE_EPOCH": epoch}
        run("cargo", "cyclonedx", "--quiet", *what, "--target", target, env=env)
        text = (ROOT / f"{binary}_bin.cdx.json").read_text()
        value: Json = json.loads(text.replace(f"path+file://{ROOT}#", "").replace("?download_url=file://.", ""))
        return value
    finally:
        for file in ROOT.glob("*_bin.cdx.json"):
            file.unlink()


def reduced(bom: Json, built: set[str], linked: set[str]) -> Json:
    """The description without what is not built, each crate with its scope."""

    def name(component: Json) -> str:
        return f"{component['name']}@{component['version']}"

    unknown = built - {name(component) for component in bom["components"]}
    if unknown or not linked < built:
        sys.exit(f"sbom: cargo builds what cargo-cyclonedx does not describe: {sorted(unknown)}")
    bom["components"] = [component for component in bom["components"] if name(component) in built]
    for component in bom["components"]:
        component["scope"] = "required" if name(component) in linked else "excluded"
    kept = {component["bom-ref"] for component in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
    bom["dependencies"] = [
        {**of, **({"dependsOn": [ref for ref in of["dependsOn"] if ref in kept]} if "dependsOn" in of else {})}
        for of in bom["dependencies"]
        if of["ref"] in kept
    ]
    unlicensed = [name(component) for component in bom["components"] if not component.get("licenses")]
    unhashed = [name(component) for component in bom["components"] if not component.get("hashes")]
    if unlicensed or unhashed or str(ROOT) in json.dumps(bom):
        sys.exit(f"sbom: no licence {unlicensed}, no checksum {unhashed}, or a path of this machine")
    return bom


def main() -> None:
    """Writes every file."""
    try:
        version = run("cargo", "cyclonedx", "--version", stderr=subprocess.DEVNULL).split()[-1]
    except subprocess.CalledProcessError:
        version = "missing"
    if version != VERSION:
        install = f"cargo install --locked cargo-cyclonedx@{VERSION}"
        sys.exit(f"sbom: cargo-cyclonedx {VERSION} is needed and {version} is here: {install}")
    epoch = run("git", "log", "-1", "--format=%ct").strip()
    place = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "sbom"
    place.mkdir(parents=True, exist_ok=True)
    for binary in BINARIES:
        for target in TARGETS:
            built, linked = crates(binary, target, "normal,build"), crates(binary, target, "normal,no-proc-macro")
            bom = reduced(described(binary, target, epoch), built, linked)
            file = place / f"{binary}-{target}.cdx.json"
            file.write_text(json.dumps(bom, indent=1, ensure_ascii=False) + "\n")
            print(
                f"{file}: {len(linked)} crates linked, {len(built - linked)} more at build time, as `cargo tree` has it"
            )
