"""Packs built binaries as they are released, for this machine's processor, into a folder.

    make release-files        (tools package BOOTSTRAP STREAMSEAL FOLDER)

The function's package is a zip with `bootstrap` in it, as Lambda takes it; the command line is in a tar.gz with the
licence. The same binaries give the same bytes. A function that asks for a newer C library than Lambda's is refused,
since Lambda could not start it.
"""

import gzip
import io
import pathlib
import platform
import re
import subprocess
import sys
import tarfile
import zipfile

from emulators.procs import ROOT, Failed

# Of Amazon Linux 2023, which `provided.al2023` is.
GLIBC_MAX = (2, 34)
ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
# The machine an ELF file is for, at byte 18.
MACHINES = {"x86_64": 62, "arm64": 183}


def main() -> None:
    """Packs what the arguments name."""
    if len(sys.argv) != 4:
        raise Failed("usage: tools package BOOTSTRAP STREAMSEAL FOLDER")
    bootstrap, streamseal, folder = map(pathlib.Path, sys.argv[1:])
    architecture = ARCHITECTURES[platform.machine()]
    for program in (bootstrap, streamseal):
        require_architecture(program, architecture)
    require_old_library(bootstrap)
    folder.mkdir(parents=True, exist_ok=True)
    made = [
        function_zip(bootstrap, folder / f"streamseal-function-{architecture}.zip"),
        command_line(streamseal, folder / f"streamseal-linux-{architecture}.tar.gz"),
    ]
    for file in made:
        print(f"{file}: {file.stat().st_size:,} bytes")


def require_architecture(program: pathlib.Path, architecture: str) -> None:
    """Fails where the program is for another processor."""
    with program.open("rb") as file:
        head = file.read(20)
    if head[:4] != b"\x7fELF" or int.from_bytes(head[18:20], "little") != MACHINES[architecture]:
        raise Failed(f"{program} is no program for {architecture}")


def require_old_library(program: pathlib.Path) -> None:
    """Fails where the program needs a C library that Lambda has not."""
    needed = glibc_needed(program)
    if needed > GLIBC_MAX:
        shown, most = (".".join(map(str, version)) for version in (needed, GLIBC_MAX))
        raise Failed(f"{program} needs glibc {shown}, and Lambda has {most}: build it where the C library is older")


def glibc_needed(program: pathlib.Path) -> tuple[int, ...]:
    """The newest version of glibc that the program asks for."""
    listed = subprocess.run(
        ["readelf", "--version-info", "--wide", program], check=True, text=True, capture_output=True
    )
    return newest(listed.stdout)


def newest(listed: str) -> tuple[int, ...]:
    """The newest version of glibc in what `readelf` prints."""
    return max(
        (tuple(map(int, found.split("."))) for found in re.findall(r"\bGLIBC_([0-9.]+[0-9])", listed)), default=(0,)
    )


def function_zip(bootstrap: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """The package as Lambda takes it. Its entry has a date of its own, so that the same binary gives the same bytes."""
    entry = zipfile.ZipInfo("bootstrap", date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = 0o100755 << 16
    with zipfile.ZipFile(target, "w") as file:
        file.writestr(entry, bootstrap.read_bytes(), compresslevel=9)
    return target


def command_line(streamseal: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """The command line with the licence."""
    files = (("streamseal", streamseal, 0o755), ("LICENSE", ROOT / "LICENSE", 0o644))
    with (
        target.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, content, mode in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = content.stat().st_size, mode
            archive.addfile(entry, io.BytesIO(content.read_bytes()))
    return target
