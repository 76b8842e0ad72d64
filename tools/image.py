"""Build the container image with the engine that is there (see `engine`).

TAG and BASE_IMAGE may be set in the environment. Where the usual base image is neither there nor to be pulled, one is
made from Debian's packages: Python, and the certificates that this machine trusts.

Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from engine import Engine, NoEngineError, answers, get, install, require_leave

ROOT = Path(__file__).resolve().parent.parent
TAG = "airbyte/destination-qdrant:dev"

#: The base image of our own making; the release of Debian that the usual one is made of.
OWN_BASE = "destination-qdrant-base:bookworm"
_RELEASE = "bookworm"
#: A registry that is there has sent some 50 MB by then.
_PULL_SECONDS = 600
_PACKAGES = "python3,python3-venv,ca-certificates"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_BASE_RECIPE = "FROM scratch\nADD base.tar /\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"

#: How this machine reaches others, as far as a build has to know; only names, so that no value is in a list of processes.
_NETWORK = tuple(name for proxy in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY") for name in (proxy, proxy.lower()))
_PASSED_ON = (*_NETWORK, "PIP_INDEX_URL")


def usual_base() -> str:
    """The base image that the Dockerfile names."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    return str(re.findall(r"^ARG BASE_IMAGE=(\S+)", dockerfile, re.MULTILINE)[0])


def build(engine: Engine, base: str, tag: str) -> None:
    """Build the image from what is in the work tree.

    Raises:
        CalledProcessError: the engine has said why.
    """
    arguments = [f"BASE_IMAGE={base}", *(name for name in _PASSED_ON if os.environ.get(name))]
    words = [word for argument in arguments for word in ("--build-arg", argument)]
    _engine(engine, "build", *engine.network, *words, "--tag", tag, str(ROOT))


def choose_base(engine: Engine) -> str:
    """The base image: the one that is asked for, else the usual one, else our own.

    Raises:
        NoEngineError: our own would be needed, and cannot be made here.
    """
    asked, usual = os.environ.get("BASE_IMAGE"), usual_base()
    if asked:
        return asked
    if _has(engine, usual) or answers(engine.command, "pull", usual, seconds=_PULL_SECONDS):
        return usual
    if _has(engine, OWN_BASE):
        print(f"{usual} cannot be pulled; using {OWN_BASE}, which was made here.", flush=True)
        return OWN_BASE
    print(f"{usual} cannot be pulled; making {OWN_BASE} from Debian's packages ...", flush=True)
    make_base(engine)
    return OWN_BASE


def _has(engine: Engine, image: str) -> bool:
    return answers(engine.command, "inspect", "--type", "image", image)


def make_base(engine: Engine) -> None:
    """Make `OWN_BASE`.

    Raises:
        NoEngineError: this user may not, or debootstrap cannot be had.
        CalledProcessError: a step failed and has said why.
    """
    if shutil.which("debootstrap") is None:
        require_leave()
        install("debootstrap", "debian-archive-keyring")
    if os.geteuid():
        raise NoEngineError(
            "the base image cannot be pulled, and only root can make one; set BASE_IMAGE to one that is here"
        )
    with tempfile.TemporaryDirectory(prefix="destination-qdrant-base-", dir="/var/tmp") as folder:
        tree, context = Path(folder, "tree"), Path(folder, "context")
        context.mkdir()
        # In a mount namespace of its own: whatever goes wrong, nothing stays mounted below the folder that is removed then.
        _run(
            "unshare",
            "--mount",
            "debootstrap",
            "--variant=minbase",
            "--force-check-gpg",
            f"--include={_PACKAGES}",
            _RELEASE,
            str(tree),
            *_mirror(),
        )
        if _CERTIFICATES.exists():
            shutil.copy(_CERTIFICATES, tree / _CERTIFICATES.relative_to("/"))
        unneeded = [
            f"--exclude=./{path}"
            for path in (
                "var/cache/apt/*",
                "var/log/*",
                "etc/apt/sources.list",
                "var/lib/apt/lists/*",
                "usr/share/doc/*",
                "usr/share/man/*",
            )
        ]
        _run("tar", "--directory", str(tree), *unneeded, "--create", "--file", str(context / "base.tar"), ".")
        (context / "Dockerfile").write_text(_BASE_RECIPE, encoding="utf-8")
        _engine(engine, "build", "--quiet", "--tag", OWN_BASE, str(context))


def _mirror() -> list[str]:
    """Where this machine takes Debian's packages from; nothing where only debootstrap knows."""
    if shutil.which("apt-get") is None:
        return []
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", f"Codename: {_RELEASE}"]
    found = subprocess.run(asked, check=False, capture_output=True, text=True)  # noqa: S603 -- our own words
    return found.stdout.split()[:1]


def _engine(engine: Engine, *words: str) -> None:
    environment = {**os.environ}
    if engine.command == "buildah":
        environment.setdefault("BUILDAH_ISOLATION", "chroot")  # works also where namespaces are refused
    _run(engine.command, *words, environment=environment)


def _run(*command: str, environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, env=environment)  # noqa: S603 -- our own words


def main() -> int:
    """Build it; exit 1 where that is not possible."""
    tag = os.environ.get("TAG") or TAG
    try:
        engine = get()
        base = choose_base(engine)
        print(f"Building {tag} on {base} with {engine.command} ...", flush=True)
        build(engine, base, tag)
    except NoEngineError as error:
        print(f"NO IMAGE: {error}.", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"NO IMAGE: {error.cmd[0]} failed with exit code {error.returncode}, see above.", file=sys.stderr)
        return 1
    print(f"{tag} is built.")
    if base == OWN_BASE:
        print("It trusts the certificates of this machine and gets no updates: for tests, not for a registry.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
