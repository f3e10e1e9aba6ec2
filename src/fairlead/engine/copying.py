"""docker cp: into and out of containers, whether they run or not."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from fairlead.engine.mounts import as_mounts
from fairlead.engine.record import Container, Record
from fairlead.runtime import rootfs
from fairlead.runtime.rootfs import PathStat, Place, Roots


class Copying:
    """Looks into the file systems of containers. A stopped one is mounted meanwhile."""

    def __init__(self, roots: Roots, files: Callable[[Record], Mapping[str, str]]) -> None:
        self._roots = roots
        self._files = files
        """Our own files in a container, /etc/hosts and such: target and source."""

    @asynccontextmanager
    async def _place(self, container: Container) -> AsyncIterator[Place]:
        container.visitors += 1
        try:
            async with container.lock:
                root = await self._roots.mount(container.id, container.record.image)
            pid = container.record.state.pid if container.running else None
            record = container.record
            yield Place(pid, root, as_mounts(record.mounts, self._files(record)))
        finally:
            container.visitors -= 1
            async with container.lock:
                gone = container.record.removing
                if not container.visitors and not container.running and not gone:
                    await self._roots.unmount(container.id)

    async def stat(self, container: Container, path: str) -> PathStat:
        """What there is at a path. Raises NotFound."""
        async with self._place(container) as place:
            return await rootfs.stat(place, path)

    async def get(self, container: Container, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
        """What there is at a path, and a tar of it. Raises NotFound."""
        stat = await self.stat(container, path)
        return stat, self._tar(container, path)

    async def _tar(self, container: Container, path: str) -> AsyncIterator[bytes]:
        async with self._place(container) as place:
            _, chunks = await rootfs.get(place, path)
            async for chunk in chunks:
                yield chunk

    async def put(
        self,
        container: Container,
        path: str,
        chunks: AsyncIterable[bytes],
        *,
        no_overwrite_dir_non_dir: bool = False,
        copy_owner: bool = False,
    ) -> None:
        """Unpack a tar into a directory. Raises NotFound."""
        async with self._place(container) as place:
            await rootfs.put(
                place,
                path,
                chunks,
                no_overwrite_dir_non_dir=no_overwrite_dir_non_dir,
                copy_owner=copy_owner,
            )
