"""Signatures by ssh keys: made and checked by `ssh-keygen`, which is never given the chance to ask for anything."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from redgreen.errors import RedgreenError, RegistryError, ReportError, VerifyError

__all__ = ["Key", "encode", "open_key", "sign", "take_fingerprint", "verify"]

NAMESPACE: Final = "redgreen"
BEGIN: Final = "-----BEGIN SSH SIGNATURE-----"
END: Final = "-----END SSH SIGNATURE-----"
PATIENCE_S: Final = 60.0  # an agent may wait for a touch


@dataclass(frozen=True, slots=True)
class Key:
    """A key that can sign: its file, its fingerprint, and whose it is (its comment; without one, its fingerprint).

    The file of a public key stands for the private one in an agent.
    """

    file: Path
    keyid: str
    principal: str


def encode(payload_type: str, payload: bytes) -> bytes:
    """Return what is signed of a payload: its type and its bytes, each with its length (the PAE of DSSE 1)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def open_key(file: Path) -> Key:
    """Open a key and sign once with it, so that what is wrong with it shows before anything else is done.

    Raises:
        RegistryError: There is no such file, it is no key, or it cannot be used without asking for something.
        ReportError: `ssh-keygen` is not installed.
    """
    if not file.is_file():
        raise RegistryError(f"{file}: there is no such key; `ssh-keygen -t ed25519 -f FILE` makes one")
    file = file.resolve()
    done = _call(ReportError, "-l", "-f", str(file))
    words = done.stdout.decode(errors="replace").split()
    if done.returncode or len(words) < 3:
        raise RegistryError(f"{file}: it is no ssh key: {_find_reason(done)}")
    keyid, comment = words[1], " ".join(words[2:-1])
    key = Key(file, keyid, keyid if comment == "no comment" else comment)
    sign(key, b"")
    return key


def sign(key: Key, message: bytes) -> str:
    """Sign a message and return the signature (an SSHSIG) in base64.

    Raises:
        RegistryError: The key cannot be used without asking for something, or its file is refused.
        ReportError: `ssh-keygen` is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="rg-sign-") as name:
        place = Path(name) / "message"
        place.write_bytes(message)
        done = _call(ReportError, "-Y", "sign", "-n", NAMESPACE, "-f", str(key.file), str(place))
        made = place.with_suffix(".sig")
        if done.returncode or not made.is_file():
            reason = _find_reason(done)
            if "passphrase" in reason:
                reason = "it has a passphrase, which is never asked for; load it into ssh-agent and name its .pub file"
            raise RegistryError(f"{key.file}: it cannot sign: {reason}")
        armored = made.read_text(encoding="ascii").strip()
        return "".join(armored.removeprefix(BEGIN).removesuffix(END).split())


def verify(principal: str, public_key: str, message: bytes, signature: str) -> bool:
    """Return whether a signature, in base64, was made by the public key over exactly this message.

    Raises:
        VerifyError: `ssh-keygen` is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="rg-verify-") as name:
        allowed, signed = Path(name) / "allowed_signers", Path(name) / "message.sig"
        allowed.write_text(f'{principal} namespaces="{NAMESPACE}" {public_key}\n', encoding="utf-8")
        signed.write_text("\n".join([BEGIN, *textwrap.wrap(signature, 70), END, ""]), encoding="utf-8")
        words = ("-Y", "verify", "-n", NAMESPACE, "-f", str(allowed), "-I", principal, "-s", str(signed))
        return _call(VerifyError, *words, stdin=message).returncode == 0


def take_fingerprint(public_key: str) -> str:
    """Return the fingerprint of a public key as `ssh-keygen -l` shows it.

    Raises:
        ValueError: It is not `TYPE BASE64`, with or without a comment.
    """
    kind, _, rest = public_key.partition(" ")
    blob = base64.b64decode(rest.partition(" ")[0], validate=True)
    if not kind or blob[:4] != len(kind).to_bytes(4) or not blob[4:].startswith(kind.encode()):
        raise ValueError("is not a public ssh key, as in the .pub file")
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _call(missing: type[RedgreenError], *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run `ssh-keygen` without a terminal, so that it cannot wait for an answer."""
    environ = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "SSH_ASKPASS")}
    environ |= {"LC_ALL": "C", "SSH_ASKPASS_REQUIRE": "never"}
    try:
        return subprocess.run(
            ["ssh-keygen", *words],
            env=environ,
            input=stdin,
            capture_output=True,
            check=False,
            start_new_session=True,
            timeout=PATIENCE_S,
        )
    except FileNotFoundError:
        raise missing("ssh-keygen is not installed; it comes with OpenSSH 8.2 or newer") from None
    except subprocess.TimeoutExpired:
        raise missing(f"ssh-keygen did not end within {PATIENCE_S:g} s: does its agent wait for somebody?") from None


def _find_reason(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines()]
    return next((line for line in lines if line and not line.startswith("@")), f"exit code {done.returncode}")
