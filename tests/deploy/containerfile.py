"""The Containerfile, read; and its steps carried out without an engine, in copies of a Debian."""

import re
import shlex
import shutil
from pathlib import Path

HERE = Path(__file__).parents[2] / "deploy/container"


def stages(text):
    """Each stage's image and name, and its instructions: word and rest, lines joined."""
    joined = re.sub(r"\\\n", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    found = []
    for line in filter(None, joined.splitlines()):
        word, rest = line.split(maxsplit=1)
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            found.append((image, name, []))
        else:
            found[-1][2].append((word, rest))
    return found


class Stage:
    """One stage's steps, done in `debian`; `given` is what is said for later: USER, CMD, …"""

    def __init__(self, debian, steps, context, before):
        self.debian, self.context, self.before = debian, Path(context), before
        self.folder, self.given, self.env = "/", {}, {}
        for word, rest in steps:
            getattr(self, f"_{word.lower()}", self._say)(word, rest)

    def place(self, path):
        """Where a path of it lies on this machine."""
        return self.debian.upper / str(Path(self.folder, path)).lstrip("/")

    def _say(self, word, rest):
        self.given[word] = rest

    def _workdir(self, _, rest):
        self.folder = rest
        self.place(rest).mkdir(parents=True, exist_ok=True)

    def _env(self, _, rest):
        name, value = rest.split("=", 1)
        self.env[name] = value

    def _run(self, _, rest):
        self.debian.run("env", "-C", self.folder, "sh", "-c", rest)

    def _copy(self, _, rest):
        *sources, target = shlex.split(rest)
        base = self.context
        if sources[0].startswith("--from="):
            base = self.before[sources.pop(0).removeprefix("--from=")].debian.upper
        for source in (base / each.lstrip("/") for each in sources):
            place = self.place(target)
            if source.is_dir():  # what is in it
                shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy2(source, place / source.name if target.endswith("/") else place)
