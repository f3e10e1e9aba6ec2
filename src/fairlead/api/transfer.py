"""Routes that bring images in and out: pull, import, load, save."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec

from fairlead.api.answers import TAR, answer, stream
from fairlead.api.call import Call, Reply, Serve
from fairlead.api.images import tell
from fairlead.api.progress import Progress, told
from fairlead.api.router import Route
from fairlead.api.spool import drain, fill, spool
from fairlead.model.errors import Invalid, Unsupported

AUTH = "x-registry-auth"


class Credentials(msgspec.Struct):
    """Who asks a registry, or how to log in there."""

    username: str | None = None
    password: str | None = None
    auth: str | None = None
    serveraddress: str | None = None
    identitytoken: str | None = None


def credentials(header: str) -> tuple[str, str] | None:
    """User and password of a pull; None for an anonymous one. Raises Invalid."""
    if not header:
        return None
    padded = header + "=" * (-len(header) % 4)
    try:
        raw = base64.urlsafe_b64decode(padded)
        given = msgspec.json.decode(raw, type=Credentials) if raw.strip() else Credentials()
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError, ValueError):
        raise Invalid("invalid X-Registry-Auth header: no JSON in base64") from None
    return (given.username, given.password or "") if given.username else None


def reference(image: str, tag: str) -> str:
    """An image's name with its tag, which may be a digest."""
    if not tag:
        return image
    return f"{image}@{tag}" if ":" in tag else f"{image}:{tag}"


def _spool_root(call: Call) -> Path:
    return Path(call.config.data_root) / "tmp"


async def _pull(call: Call) -> Reply:
    name = reference(call.query.text("fromImage"), call.query.text("tag"))
    auth = credentials(call.request.headers.get(AUTH, ""))

    async def work(progress: Progress) -> None:
        await call.engine.images.pull(name, auth, progress)
        tell(call, "pull", name, name)

    return await told(work)


async def described(call: Call) -> Reply:
    """What a registry has by a name, without fetching it."""
    auth = credentials(call.request.headers.get(AUTH, ""))
    return answer(await call.engine.images.described(call["name"], auth))


async def _import(call: Call) -> Reply:
    query = call.query
    if query.text("fromSrc") != "-":
        raise Unsupported("fairlead fetches no archives: download it, then docker import the file")
    name = reference(query.text("repo"), query.text("tag")) if query.text("repo") else ""

    async def work(progress: Progress) -> None:
        with spool(_spool_root(call)) as path:
            await fill(path, call.request.chunks())
            made = await call.engine.images.import_(
                path, name, query.every("changes"), query.text("message")
            )
        tell(call, "import", made, name)
        progress({"status": made})

    return await told(work)


async def create(call: Call) -> Reply:
    """An image, from a registry or from the body."""
    if call.query.text("fromImage"):
        return await _pull(call)
    if call.query.text("fromSrc"):
        return await _import(call)
    raise Invalid("neither fromImage nor fromSrc says where the image comes from")


def loaded(name: str) -> str:
    """The line for one loaded image."""
    kind = "Loaded image ID" if name.startswith("sha256:") else "Loaded image"
    return f"{kind}: {name}\n"


async def load(call: Call) -> Reply:
    """Images from an archive."""
    quiet = call.query.flag("quiet")

    async def work(progress: Progress) -> None:
        with spool(_spool_root(call)) as path:
            await fill(path, call.request.chunks())
            if quiet:
                names = await call.engine.images.load(path)
            else:
                names = await call.engine.images.load(path, progress)
        for name in names:
            tell(call, "load", name, name)
            progress({"stream": loaded(name)})

    return await told(work)


async def _save(call: Call, names: tuple[str, ...]) -> Reply:
    with ExitStack() as stack:
        path = stack.enter_context(spool(_spool_root(call)))
        await call.engine.images.save(names, path)
        for name in names:
            tell(call, "save", call.engine.images.get(name).id, name)
        chunks = _keeping(stack.pop_all(), path)
        # From its first step on the generator owns the file, and closing it removes the file.
        await anext(chunks)
        return stream(chunks, TAR)


async def _keeping(files: ExitStack, path: Path) -> AsyncIterator[bytes]:
    """A file's content; what keeps the file is let go at the end."""
    with files:
        yield b""
        async for chunk in drain(path):
            yield chunk


async def save_one(call: Call) -> Reply:
    """One image as an archive."""
    return await _save(call, (call["name"],))


async def save_many(call: Call) -> Reply:
    """Several images in one archive."""
    names = tuple(n for n in call.query.every("names") if n)
    if not names:
        raise Invalid("no image is named", hint="add names=IMAGE for each")
    return await _save(call, names)


async def authenticate(call: Call) -> Reply:
    """Credentials are taken as they are: the registry judges them at the first pull."""
    given = await call.body(Credentials)
    if not (given.username or given.identitytoken):
        raise Invalid("a login needs a user name")
    status = "Login kept; the registry checks it at the first pull"
    return answer({"Status": status, "IdentityToken": ""})


def routes() -> Iterator[Route[Serve]]:
    """The table of what moves images."""
    yield Route("POST", "/images/create", create)
    yield Route("POST", "/images/load", load)
    yield Route("GET", "/images/get", save_many)
    yield Route("GET", "/images/{name}/get", save_one)
    yield Route("GET", "/distribution/{name}/json", described)
    yield Route("POST", "/auth", authenticate)
