"""Programs in sandboxes, the awaited face, and what happens told."""

from __future__ import annotations

import pytest

from tests.library.conftest import Lab

pytestmark = pytest.mark.root


def test_a_program_is_run_as_subprocess_does(lab: Lab) -> None:
    """Input, output, status, folder, environment, a timeout, and what cannot be run."""
    found = lab.py(
        """
with fairlead.open(FOLDER) as host:
    a = host.sandboxes.create("a", hostname="first")
    def run(*words, **how):
        done = a.run(words, capture=True, **how)
        return [done.returncode, done.stdout]
    tell(run("cat", input="hello"))
    tell(run("sh", "-c", "pwd; echo $COLOUR; exit 3", cwd="/tmp", env={"COLOUR": "blue"}))
    tell(run("/no/such/program")[0])
    tell(run("/etc/passwd")[0])
    try:
        a.run(["sleep", "1000"], timeout=0.2)
    except subprocess.TimeoutExpired:
        tell("late")
    try:
        a.run(["false"], check=True)
    except subprocess.CalledProcessError as failed:
        tell(failed.returncode)
"""
    )

    assert found == [[0, "hello"], [3, "/tmp\nblue\n"], 127, 126, "late", 1]


def test_its_files_are_its_own(lab: Lab) -> None:
    """What programs see follows joins and leaves, also those that run; the host sees nothing."""
    found = lab.py(
        """
host_s = [open(path).read() for path in ("/etc/hosts", "/etc/resolv.conf")]
with fairlead.open(FOLDER) as host:
    web = host.networks.create("web", subnet="10.5.0.0/24")
    a = host.sandboxes.create("a", hostname="first", domainname="lab.test", dns=["192.0.2.53"],
                              dns_search=["lab.test"])
    reader = a.popen(["sh", "-c", "while read x; do cat /etc/hosts /etc/resolv.conf; echo end; done"],
                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    def seen():
        reader.stdin.write("go\\n"); reader.stdin.flush()
        return "".join(iter(reader.stdout.readline, "end\\n"))
    text = seen()
    tell(["first" in text, "nameserver 192.0.2.53" in text, "127.0.0.11" in text])
    a.join(web, ip="10.5.0.9")
    text = seen()
    tell(["10.5.0.9\\tfirst.lab.test first" in text, "search lab.test" in text,
          "nameserver 127.0.0.11" in text])
    a.leave(web)
    tell("10.5.0.9" in seen())
    reader.stdin.close(); reader.wait()
    etc = a.etc
    tell(etc.exists())
    a.remove()
    tell(etc.exists())
tell(host_s == [open(path).read() for path in ("/etc/hosts", "/etc/resolv.conf")])
tell("mylab/sandboxes" in open("/proc/self/mountinfo").read())
"""
    )

    assert found == [[False, True, False], [True] * 3, False, True, False, True, False]


def test_the_same_can_be_awaited(lab: Lab) -> None:
    """A loop goes on meanwhile, several things at once are made, and all is as with the other."""
    found = lab.py(
        """
async def main():
    async with fairlead.aopen(FOLDER, temporary=True) as host:
        web = await host.networks.create("web", subnet="10.5.0.0/24")
        boxes = await asyncio.gather(*(host.sandboxes.create(f"s{i}") for i in range(8)))
        await asyncio.gather(*(box.join(web) for box in boxes))
        tell(sorted(str(box.endpoints[0].ipv4) for box in boxes)[0])
        tell(len({box.endpoints[0].ipv4 for box in boxes}))
        first, last = boxes[0], boxes[-1]
        await first.publish("8080:80")
        server = await first.popen(
            [sys.executable, "-c", "import socket; s = socket.create_server(('', 80));"
             "print('ready', flush=True); s.accept()[0].sendall(b'hello')"],
            stdout=asyncio.subprocess.PIPE)
        assert await server.stdout.readline() == b"ready\\n"
        done = await last.run([sys.executable, "-c", HEAR, "s0", "80"], capture=True)
        tell(done.stdout.strip())
        await server.wait()
        tell((await last.run(["cat"], input="x", capture=True)).stdout)
        try:
            await last.run(["sleep", "100"], timeout=0.2)
        except TimeoutError:
            tell("late")
        try:
            await web.remove()
        except fairlead.Forbidden as refusal:
            tell(refusal.status)
        tell([str(await host.plan_repair()), bool(await first.plan_join(await host.networks.create("x")))])
    tell(os.path.exists(FOLDER))
    host = await fairlead.aopen(FOLDER)
    await host.close()

asyncio.run(main())
"""
    )

    assert found == ["10.5.0.2", 8, "hello", "x", "late", 403, ["", True], False]


def test_what_happens_is_told(lab: Lab) -> None:
    """In order, with names, on both faces; who listens comes to an end when the host is closed."""
    found = lab.py(
        """
def words(event):
    return " ".join(filter(None, (event.action, event.network, event.sandbox)))

host = fairlead.open(FOLDER)
events, few = host.events(), host.events()
web = host.networks.create("web")
few.close()
a = host.sandboxes.create("a")
a.join(web)
a.publish("8080:80")
a.remove()
web.remove()
host.close()
tell([words(event) for event in events])
tell([words(event) for event in few])

async def main():
    async with fairlead.aopen(FOLDER, temporary=True) as host:
        events = host.events()
        async def listen():
            return [words(event) async for event in events]
        listening = asyncio.create_task(listen())
        await host.networks.create("web")
    tell(await listening)

asyncio.run(main())
"""
    )

    assert found == [
        [
            "network create web",
            "sandbox create a",
            "join web a",
            "publish a",
            "leave web a",
            "sandbox remove a",
            "network remove web",
        ],
        ["network create web"],
        ["network create web", "network remove web"],
    ]
