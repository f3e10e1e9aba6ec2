"""Names of containers: which are allowed, and ones for those that come without."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from fairlead.model.errors import Invalid

ALLOWED = "[a-zA-Z0-9][a-zA-Z0-9_.-]"
_NAME = re.compile(f"/?{ALLOWED}+")

_ADJECTIVES = """
airy amber ample balmy bold breezy briny bright calm candid civil clear coastal cosy crisp deft
eager early easy even fair fleet fond free fresh gentle glad golden grand handy hardy hearty keen
kind lively loyal lucid lunar mellow merry mild neat nimble noble open patient placid plain polite
quick quiet rapid ready robust rosy sandy sharp silent silver sleek snug solid spry stable starry
steady still stout sturdy sunny sure swift tidal tidy trim true trusty upbeat vivid warm wavy wise
zesty
"""

_NOUNS = """
albatross anchor auk ballast barge barnacle beacon bollard bosun bowline brig buoy burgee cairn
canoe capstan cleat clipper cockle compass coral cormorant cove current curlew cutter davit deck
delta dinghy dock dolphin drift dune eddy eider estuary fathom ferry fjord flare float frigate gale
galley gannet gull gunwale halyard harbour hawser heron hull inlet isle jetty kayak keel kelp ketch
knot lagoon lantern ledge lighthouse locker lugger marina marlin mast moor mussel narrows oar otter
paddle pelican petrel pier pilot plover pontoon porpoise port puffin quay raft reef rigging rudder
sail sandbar schooner seal shackle shoal skiff sloop sonar spar spray squall stern strait tern
thwart tide tiller trawler tug wake wharf whelk winch yawl
"""


def checked(name: str) -> str:
    """The name without its leading slash. Raises Invalid."""
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"Invalid container name ({name}), only {ALLOWED} are allowed",
            hint="start with a letter or digit and use at least two characters",
        )
    return name.removeprefix("/")


def invent(choose: Callable[[Sequence[str]], str], taken: Callable[[str], bool]) -> str:
    """A name that nobody has: adjective_noun, with a number once those run out."""
    for attempt in range(1000):
        name = f"{choose(_ADJECTIVES.split())}_{choose(_NOUNS.split())}"
        if attempt > 4:
            name += str(attempt - 4)
        if not taken(name):
            return name
    raise AssertionError("a thousand names are taken")
