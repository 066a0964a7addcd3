"""`orders package`: the commit's code as files that an engine takes, and as the folder that an image is built from."""

from pathlib import Path

import click

from orders_platform.cli import output


@click.command("package")
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("dist"),
    show_default=True,
    help="The folder to write to.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def package(to: Path, as_json: bool) -> None:
    """Pack the commit that is checked out: the same commit gives the same bytes.

    A wheel and an archive of dependencies for Spark on Dataproc, `image/` for `podman build`, and the bill of
    materials of both, `bom.json` (CycloneDX). Changes that no commit holds are refused.
    """
    from orders_platform.deploy import image, sbom
    from orders_platform.deploy import package as packing
    from orders_platform.surroundings import ROOT

    made = packing.build(ROOT, to, progress=output.say)
    context = image.prepare(ROOT, to / "image", progress=output.say)
    bill = to / "bom.json"
    bill.write_bytes(sbom.bill_of_materials(made.version, {*made.packages, *context.packages}, context.jar_groups))
    if as_json:
        output.result_json(
            {
                "version": made.version,
                "commit": made.commit,
                "python": made.python,
                "wheel": str(made.wheel),
                "wheel_sha256": made.wheel_sha256,
                "dependencies": str(made.dependencies),
                "dependencies_sha256": made.dependencies_sha256,
                "packages": made.packages,
                "image": str(context.folder),
                "image_packages": context.packages,
                "bill_of_materials": str(bill),
            }
        )
        return
    files = ((made.wheel, made.wheel_sha256), (made.dependencies, made.dependencies_sha256))
    rows = [(str(file), f"{file.stat().st_size / 1e6:.1f} MB", digest) for file, digest in files]
    rows += [(str(place), "", "") for place in (context.folder, bill)]
    output.show(output.table("file", "size", "sha256", rows=rows, right=["size"]))
    output.say(f"Version {made.version}, commit {made.commit[:12]}; the archive is for Python {made.python}.")


commands: list[click.Command] = [package]
