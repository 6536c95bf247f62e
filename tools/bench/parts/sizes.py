"""How large the binaries and the packages are."""

import zipfile

from bench.contestants import PEERS
from bench.world import World


def measure(world: World) -> None:
    """Adds the rows of sizes."""
    sizes: dict[str, list[float]] = {}
    zips: dict[str, list[float]] = {}
    for name in ("before", "streamseal", "floor"):
        if name not in world.contestants:
            continue
        program = world.contestants[name].program
        archive = world.folder / f"{name}.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
            file.write(program, "bootstrap")
        sizes[name], zips[name] = [program.stat().st_size / 1e6], [archive.stat().st_size / 1e6]
    if not world.args.before:
        archive = world.folder / "boto3.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            file.write(PEERS / "handler.py", "handler.py")
        zips["boto3"] = [archive.stat().st_size / 1e6]
        code = "from c7n.mu import custodian_archive as a; z = a(); z.close(); print(z.size)"
        zips["custodian"] = [int(world.make.custodian_says(code)) / 1e6]
    world.table.add("size", "binary", "MB", sizes, digits=2)
    world.table.add("size", "zip (boto3 itself comes with Lambda's Python)", "MB", zips, digits=2)
