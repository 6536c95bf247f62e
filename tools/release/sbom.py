#!/usr/bin/env python3
"""Writes what the function's binary is made of, as CycloneDX 1.5: one file for each processor, target/sbom/bootstrap-TARGET.cdx.json.

cargo-cyclonedx describes each crate. It reads `cargo metadata`, which takes more for built than is (what tests need, and what
an optional feature might pull in), and so the list is held to `cargo tree`, which resolves features as the build does: what is not
built is left out, what only runs at build time (build scripts, derive macros and what they need) gets the scope `excluded`, what is linked
`required`. A crate of the one that the other does not know is an error. The same commit gives the same bytes.

    tools/sbom
"""

import json
import os
import pathlib
import subprocess
import sys

VERSION = "0.5.9"
TARGETS = ["aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"]
FEATURES = ["--no-default-features", "--features", "lambda"]
ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(*command, **more):
    return subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE, **more).stdout


def crates(target, edges):
    """`name@version` of what cargo builds along these edges, without ourselves."""
    tree = run("cargo", "tree", "--locked", *FEATURES, "--target", target, "-e", edges, "--prefix", "none", "--format", "{p}")
    words = (line.split() for line in tree.splitlines() if line.strip())
    return {f"{name}@{version.removeprefix('v')}" for name, version, *_ in words if name != "streamseal"}


def described(target, epoch):
    """cargo-cyclonedx's description, which it can only write beside Cargo.toml; and what else it writes there goes."""
    place = {name: ROOT / f"{name}_bin.cdx.json" for name in ("bootstrap", "streamseal")}
    try:
        run("cargo", "cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5", "--describe", "binaries",
            *FEATURES, "--target", target, env={**os.environ, "SOURCE_DATE_EPOCH": epoch})
        return json.loads(place["bootstrap"].read_text().replace(f"path+file://{ROOT}#", "").replace("?download_url=file://.", ""))
    finally:
        for file in place.values():
            file.unlink(missing_ok=True)


def main():
    try:
        version = run("cargo", "cyclonedx", "--version", stderr=subprocess.DEVNULL).split()[-1]
    except subprocess.CalledProcessError:
        version = "missing"
    if version != VERSION:
        sys.exit(f"sbom: cargo-cyclonedx {VERSION} is needed and {version} is here: cargo install --locked cargo-cyclonedx@{VERSION}")
    epoch = run("git", "log", "-1", "--format=%ct").strip()
    place = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "sbom"
    place.mkdir(parents=True, exist_ok=True)
    for target in TARGETS:
        built, linked = crates(target, "normal,build"), crates(target, "normal,no-proc-macro")
        bom = described(target, epoch)
        name = lambda component: f"{component['name']}@{component['version']}"
        unknown = built - {name(component) for component in bom["components"]}
        if unknown or not linked < built:
            sys.exit(f"sbom: cargo builds what cargo-cyclonedx does not describe: {sorted(unknown)}")
        bom["components"] = [component for component in bom["components"] if name(component) in built]
        for component in bom["components"]:
            component["scope"] = "required" if name(component) in linked else "excluded"
        kept = {component["bom-ref"] for component in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
        bom["dependencies"] = [
            {**of, **({"dependsOn": [ref for ref in of["dependsOn"] if ref in kept]} if "dependsOn" in of else {})}
            for of in bom["dependencies"] if of["ref"] in kept
        ]
        unlicensed = [name(component) for component in bom["components"] if not component.get("licenses")]
        unhashed = [name(component) for component in bom["components"] if not component.get("hashes")]
        if unlicensed or unhashed or str(ROOT) in json.dumps(bom):
            sys.exit(f"sbom: without a licence {unlicensed}, without a checksum {unhashed}, or with a path of this machine")
        file = place / f"bootstrap-{target}.cdx.json"
        file.write_text(json.dumps(bom, indent=1, ensure_ascii=False) + "\n")
        print(f"{file}: {len(linked)} crates linked, {len(built - linked)} more at build time, as `cargo tree` has it")


main()
