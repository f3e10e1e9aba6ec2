"""What Docker 20.10 hosts wrote into a store: dumps of a real cluster of two."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).parent / "data"

TWO_CONTAINERS = "two-containers.txt"
SEVERAL_NETWORKS = "several-networks.txt"

OV1 = "0ee20e462259db36cfefbf631c35101c5b5f2c9ddb5931bc1f11d552681ec36c"
OV3 = "aca15840a8465ef108e2970d8b6e373797d4d251b9d3a3742418652e1df6c07c"
OVI = "d3e983ffd8e5dda8edf1a5766a0aa3d21d3e77297835a7f5fb5924b4e51bdd83"
CA = "b457cd64be115e029867da24111806a15280f22686dac449b639d17c22216b52"
CB = "91d76da791d56cb421f8877e328ba54fb9ec1f0d36275833b8ec5462cdf94640"


def dump(name: str) -> dict[str, bytes]:
    """Every key of a dump and its value, folders left out."""
    found: dict[str, bytes] = {}
    for line in (DATA / name).read_text().splitlines():
        key, *rest = line.split(" ", 2)
        if len(rest) == 2 and rest[0].startswith("ttl="):
            found[key.strip("/")] = rest[1].encode()
    return found
