"""Replays are attested by ssh keys, and a policy says whose attestations count."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redgreen_sandbox import TOP, Done, Sandbox, fix_product, guard, make_sandbox, target
from replay_fixture import record_pair

from redgreen.codes import ProofVerdict
from redgreen.commands.attest import attest
from redgreen.commands.replays import replay
from redgreen.errors import RegistryError
from redgreen.evidence import journal
from redgreen.evidence.policy import read_policy
from redgreen.evidence.replayed import ReplayRecord
from redgreen.evidence.replays import append_replay
from redgreen.evidence.sealed import SealedRun, load_replay, load_run
from redgreen.evidence.signature import encode, open_key
from redgreen.evidence.signature import sign as sign_message

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="there is no ssh-keygen here")

LOG = "plans/active/DEMO-001/reports/attestations.jsonl"
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://git.example.org",
    "GITHUB_REPOSITORY": "team/demo",
    "GITHUB_RUN_ID": "77",
    "GITHUB_WORKFLOW_REF": "team/demo/.github/workflows/attest.yml@refs/heads/main",
    "GITHUB_SHA": "a" * 40,
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("attest") / "repo"
    entry = target(extra="product: [product.py]\n    protects: [held]")
    sandbox, _, green = record_pair(root, entry, guard())
    assert green.is_valid
    assert green.result.proof == "PROVEN"
    sandbox.commit("evidence")
    return sandbox.root


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys of ci, ann and eve, and one of ann's with a passphrase."""
    folder = tmp_path_factory.mktemp("keys")
    for name, secret in (("ci", ""), ("ann", ""), ("eve", ""), ("locked", "secret")):
        words = ["-q", "-t", "ed25519", "-N", secret, "-C", f"{name}@example.org", "-f", str(folder / name)]
        subprocess.run(["ssh-keygen", *words], check=True, stdin=subprocess.DEVNULL)
    return folder


@pytest.fixture
def sandbox(recorded: Path, tmp_path: Path) -> Sandbox:
    shutil.copytree(recorded, tmp_path / "repo", symlinks=True)
    return Sandbox(tmp_path / "repo")


def find_green(sandbox: Sandbox) -> SealedRun:
    return load_run(max(sandbox.project.list_folders()))


def signer(keys: Path, name: str = "ci", more: str = "") -> str:
    """An entry of a policy."""
    public = " ".join((keys / f"{name}.pub").read_text(encoding="ascii").split()[:2])
    return f'[[signers]]\nprincipal = "{name}@example.org"\nkey = "{public}"\n{more}\n'


def write_policy(sandbox: Sandbox, *signers: str, require: str = "") -> None:
    sandbox.write("redgreen-policy.toml", "".join(signers) + (f"[require]\n{require}\n" if require else ""))


def sign(sandbox: Sandbox, keys: Path, name: str = "ci", **changes: object) -> None:
    """Attest what the replay of the GREEN showed, or with changes what it might have shown, as of 2031."""
    green = find_green(sandbox)
    record = load_replay(green)
    assert record is not None
    values = {"when": "2031-05-06T07:08:09+00:00"} | changes
    changed: ReplayRecord = replace(record, **values)  # type: ignore[arg-type]  # fields of the record, by name
    attest(sandbox.project, green, changed, open_key(keys / name))


def check(sandbox: Sandbox) -> Done:
    return sandbox.run("verify", "--no-git", "--policy")


def read_payload(line: str) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(base64.b64decode(json.loads(line)["payload"]))
    return payload


def edit_envelope(sandbox: Sandbox, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the first attestation, and seal its line again as its writer would have."""
    log = sandbox.root / LOG
    lines = log.read_text(encoding="utf-8").splitlines()
    envelope = json.loads(lines[0])
    envelope.pop("seal")
    change(envelope)
    log.write_text("".join(f"{line}\n" for line in lines[1:]), encoding="utf-8")
    journal.append(sandbox.project, log, envelope)


def edit_payload(envelope: dict[str, Any], old: str, new: str) -> None:
    text = base64.b64decode(envelope["payload"]).decode()
    assert old in text
    envelope["payload"] = base64.b64encode(text.replace(old, new).encode()).decode()


def test_a_replay_is_attested_and_the_policy_is_met(sandbox: Sandbox, keys: Path) -> None:
    green = find_green(sandbox)
    write_policy(sandbox, signer(keys))
    before = check(sandbox)
    assert before.code == 21
    assert "0 of 1 attestations that the policy asks for: it has none" in before.err
    done = sandbox.run("replay", green.run_id, "--attest", "--key", str(keys / "ci"))
    assert done.code == 0, done.err
    assert "attested by SHA256:" in done.out
    assert check(sandbox).code == 0
    assert sandbox.run("verify").code == 0
    [line] = (sandbox.root / LOG).read_text(encoding="utf-8").splitlines()
    statement = read_payload(line)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"][0] == {"name": green.run_id, "digest": {"sha256": green.seal.manifest_sha256}}
    assert green.result.git is not None
    assert statement["subject"][1]["digest"] == {"gitTree": green.result.git.tree}
    assert statement["predicate"]["builder"] == {"id": "ci@example.org"}
    assert statement["predicate"]["replay"]["verdict"] == "PROVEN"


def test_ssh_keygen_alone_checks_an_attestation(sandbox: Sandbox, keys: Path, tmp_path: Path) -> None:
    sign(sandbox, keys)
    envelope = json.loads((sandbox.root / LOG).read_text(encoding="utf-8"))
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"]
    message = b"DSSEv1 %d %s %d " % (len(kind), kind.encode(), len(payload)) + payload
    armor = "-----{} SSH SIGNATURE-----"
    signature = "\n".join([armor.format("BEGIN"), envelope["signatures"][0]["sig"], armor.format("END"), ""])
    (tmp_path / "sig").write_text(signature, encoding="ascii")
    (tmp_path / "allowed").write_text("ci@example.org " + (keys / "ci.pub").read_text(encoding="ascii"))
    words = ["-Y", "verify", "-n", "redgreen", "-I", "ci@example.org", "-f", "allowed", "-s", "sig"]
    done = subprocess.run(["ssh-keygen", *words], input=message, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_ci_records_with_attest_and_not_without(sandbox: Sandbox, keys: Path) -> None:
    green = find_green(sandbox)
    sandbox.env = {"CI": "true"} | GITHUB
    reports = sandbox.root / "plans/active/DEMO-001/reports"
    before = sorted(reports.iterdir())
    sandbox.run("replay", "--all")
    assert sorted(reports.iterdir()) == before
    sandbox.git("config", "user.signingKey", str(keys / "ci"))
    done = sandbox.run("replay", "--all", "--attest")
    assert done.code == 0, done.err
    assert {path.name for path in reports.iterdir()} - {path.name for path in before} == {
        "attestations.jsonl",
        "replays.jsonl",
    }
    builder = read_payload((sandbox.root / LOG).read_text(encoding="utf-8"))["predicate"]["builder"]
    assert builder["id"] == "https://git.example.org/team/demo/actions/runs/77"
    assert builder["workflow"].endswith("attest.yml@refs/heads/main")
    job = 'identity = {repository = "team/demo", workflow = "team/demo/.github/workflows/attest.yml@*"}'
    write_policy(sandbox, signer(keys, more=job))
    assert check(sandbox).code == 0
    write_policy(sandbox, signer(keys, more=job.replace('"team/demo"', '"other/demo"')))
    assert "which is not the job that it signs for" in check(sandbox).err
    assert green.run_id in done.out


def test_a_verdict_that_is_not_allowed_does_not_count(sandbox: Sandbox, keys: Path) -> None:
    write_policy(sandbox, signer(keys))
    sign(sandbox, keys, verdict=ProofVerdict.UNPROVEN)
    assert "UNPROVEN is attested, allowed is PROVEN (ci@example.org)" in check(sandbox).err


@pytest.mark.parametrize("name", ["eve", "ann"])
def test_another_key_does_not_count(sandbox: Sandbox, keys: Path, name: str) -> None:
    write_policy(sandbox, signer(keys))
    sign(sandbox, keys, name)
    done = check(sandbox)
    assert done.code == 21
    assert "the policy knows no key 'SHA256:" in done.err
    assert sandbox.run("verify", "--no-git").code == 0, "without a policy nobody says whose keys count"


def test_a_signature_of_another_key_does_not_hold_under_a_known_name(sandbox: Sandbox, keys: Path) -> None:
    write_policy(sandbox, signer(keys))
    sign(sandbox, keys, "eve")
    keyid = open_key(keys / "ci").keyid
    edit_envelope(sandbox, lambda envelope: envelope["signatures"][0].update(keyid=keyid))
    assert "the signature of ci@example.org does not hold" in check(sandbox).err


def test_a_changed_payload_does_not_hold(sandbox: Sandbox, keys: Path) -> None:
    write_policy(sandbox, signer(keys))
    sign(sandbox, keys, verdict=ProofVerdict.UNPROVEN)
    edit_envelope(sandbox, lambda envelope: edit_payload(envelope, '"UNPROVEN"', '"PROVEN"'))
    assert "the signature of ci@example.org does not hold" in check(sandbox).err


def test_an_attestation_of_another_run_does_not_count(sandbox: Sandbox, keys: Path) -> None:
    write_policy(sandbox, signer(keys))
    sign(sandbox, keys)
    first = find_green(sandbox)
    sandbox.write("product.py", "def answer():\n    return 41\n")
    sandbox.commit("broken again")
    sandbox.record("red")
    sandbox.write("product.py", "def answer():\n    return 40 + 2\n")
    green = sandbox.record("green")
    done = check(sandbox)
    assert [line.split(": ")[0] for line in done.err.splitlines()] == [sandbox.project.relativize(green.folder)]
    edit_envelope(sandbox, lambda envelope: edit_payload(envelope, first.run_id, green.run_id))
    assert "is about another report or tree" in check(sandbox).err


def test_what_is_attested_must_be_the_pair(sandbox: Sandbox, keys: Path) -> None:
    write_policy(sandbox, signer(keys))
    for changes, told in (
        ({"red": "another"}, "is of another RED"),
        ({"base": "0" * 40}, "is of a replay of other trees"),
        ({"when": "2001-02-03T04:05:06+00:00"}, "is older than the run"),
    ):
        (sandbox.root / LOG).unlink(missing_ok=True)
        sign(sandbox, keys, **changes)
        done = check(sandbox)
        assert done.code == 21
        assert told in done.err


def test_the_newest_attestation_of_a_signer_counts(sandbox: Sandbox, keys: Path) -> None:
    write_policy(sandbox, signer(keys))
    sign(sandbox, keys)
    sign(sandbox, keys, verdict=ProofVerdict.FLAKY, when="2031-05-07T00:00:00+00:00")
    assert "FLAKY is attested" in check(sandbox).err
    sign(sandbox, keys, when="2031-05-08T00:00:00+00:00")
    assert check(sandbox).code == 0


def test_of_two_attestations_of_one_second_the_last_counts(sandbox: Sandbox, keys: Path) -> None:
    write_policy(sandbox, signer(keys))
    sign(sandbox, keys)
    sign(sandbox, keys, verdict=ProofVerdict.FLAKY)
    assert "FLAKY is attested" in check(sandbox).err
    sign(sandbox, keys)
    assert check(sandbox).code == 0


def test_a_key_that_cannot_sign_any_more_leaves_the_ledger_in_order(sandbox: Sandbox, keys: Path) -> None:
    green = find_green(sandbox)
    key = replace(open_key(keys / "ci"), file=keys / "gone")
    with pytest.raises(RegistryError, match="it cannot sign"):
        replay(sandbox.project, green.run_id, everything=False, show=lambda _: None, key=key)
    assert len(journal.read(sandbox.root / LOG.replace("attestations", "replays"))) == 1
    assert sandbox.run("ledger", "--check").code == 0


def test_a_characterisation_counts_only_where_a_stub_is_declared(sandbox: Sandbox, keys: Path, tmp_path: Path) -> None:
    write_policy(sandbox, signer(keys))
    sign(sandbox, keys, verdict=ProofVerdict.CHARACTERISATION)
    assert "CHARACTERISATION is attested" in check(sandbox).err
    entry = target(accept="stub", type="NotImplementedError", match="later", raised_in="product")
    stub = Sandbox(sandbox.root).copy(tmp_path / "stub")
    shutil.rmtree(stub.root / "plans/active/DEMO-001/reports")
    (stub.root / "docs/fix_plan.md").unlink()
    stub.registry(entry, guard())
    stub.write("product.py", "def answer():\n    raise NotImplementedError('later')\n")
    stub.commit("stub")
    stub.record("red")
    fix_product(stub)
    green = stub.record("green")
    assert (green.result.exit_code, green.result.proof) == (0, "CHARACTERISATION")
    assert "it has none" in check(stub).err
    done = stub.run("replay", "--all", "--attest", "--key", str(keys / "ci"))
    assert (done.code, "attested by" in done.out) == (60, True), "whatever it shows is attested"
    assert check(stub).code == 0


def test_a_signer_counts_in_its_time(sandbox: Sandbox, keys: Path) -> None:
    sign(sandbox, keys)  # in 2031
    for more, code in (
        ("until = 2031-01-01", 21),
        ('from = "2032-01-01T00:00:00Z"', 21),
        ('from = "2031-05-06"\nuntil = 2031-05-07T00:00:00Z', 0),
    ):
        write_policy(sandbox, signer(keys, more=more))
        done = check(sandbox)
        assert done.code == code, more
        assert ("was not allowed to sign at 2031-05-06T07:08:09" in done.err) == bool(code)


def test_since_and_initiatives_say_what_needs_an_attestation(sandbox: Sandbox, keys: Path) -> None:
    commit = sandbox.git("rev-parse", "HEAD").strip()
    earlier = sandbox.git("rev-parse", "HEAD~1").strip()
    for require, code in (
        ("since = 2001-01-01", 21),
        ("since = 2099-01-01T00:00:00Z", 0),
        (f'since = "{commit}"', 0),
        (f'since = "{earlier}"', 21),
        ('initiatives = ["OTHER-*"]', 0),
        ('initiatives = ["OTHER-*", "DEMO-*"]', 21),
        ('since = "0123456789"', 29),
    ):
        write_policy(sandbox, signer(keys), require=require)
        assert check(sandbox).code == code, require


def test_only_what_is_looked_at_needs_an_attestation(sandbox: Sandbox, keys: Path) -> None:
    write_policy(sandbox, signer(keys))
    red, green = sorted(sandbox.project.list_folders())
    words = ("verify", "--no-git", "--policy", "redgreen-policy.toml")
    assert sandbox.run(*words, str(red)).code == 0
    done = sandbox.run(*words, str(green))
    assert (done.code, len(done.err.splitlines())) == (21, 1)


def test_a_pair_that_does_not_count_needs_no_attestation(sandbox: Sandbox, keys: Path) -> None:
    write_policy(sandbox, signer(keys))
    green = find_green(sandbox)
    record = load_replay(green)
    assert record is not None
    doubted = replace(record, verdict=ProofVerdict.UNPROVEN, when="2031-05-06T07:08:09+00:00")
    append_replay(sandbox.project, "DEMO-001", doubted)
    assert sandbox.run("ledger", "--rebuild").code == 0
    assert check(sandbox).code == 0


def test_two_signatures_are_those_of_two_signers(sandbox: Sandbox, keys: Path) -> None:
    write_policy(sandbox, signer(keys), signer(keys, "ann"), require="signatures = 2")
    sign(sandbox, keys)
    sign(sandbox, keys, when="2031-05-08T00:00:00+00:00")
    assert "1 of 2 attestations" in check(sandbox).err
    sign(sandbox, keys, "ann")
    assert check(sandbox).code == 0


def test_two_signatures_may_stand_in_one_envelope(sandbox: Sandbox, keys: Path) -> None:
    write_policy(sandbox, signer(keys), signer(keys, "ann"), require="signatures = 2")
    sign(sandbox, keys)

    def sign_too(envelope: dict[str, Any]) -> None:
        key = open_key(keys / "ann")
        signed = sign_message(key, encode(envelope["payloadType"], base64.b64decode(envelope["payload"])))
        envelope["signatures"].append({"keyid": key.keyid, "sig": signed})

    edit_envelope(sandbox, sign_too)
    assert check(sandbox).code == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "signers: there must be at least one"),
        ("[[signers]]\nprincipal = 'a'\n", "signers 1: the key 'key' is missing"),
        ("{ci}colour = 'red'\n", "signers 1: the key 'colour' is unknown"),
        ("{ci}until = 'soon'\n", "signers 1: until: 'soon' must be a date"),
        ("{ci}from = 2030-01-02\nuntil = 2030-01-01\n", "signers 1: until: it must be later"),
        ("{ci}identity = {{repo = 'a'}}\n", "signers 1: identity: the key 'repo' is unknown"),
        ("{ci}{ci}", "signers 2: key: it stands there twice"),
        ("[[signers]]\nprincipal = 'a,*'\nkey = 'ssh-ed25519 AAAA'\n", "signers 1: principal: 'a,*' must be a plain"),
        ("[[signers]]\nprincipal = 'a'\nkey = 'ssh-ed25519 AAAA'\n", "signers 1: key: it is no whole public ssh key"),
        ("[[signers]]\nprincipal = 'a'\nkey = 'PRIVATE'\n", "signers 1: key: it must be a public ssh key"),
        ("{ci}[require]\nsignatures = 2\n", "require: signatures: it must be 1 to 1"),
        ("{ci}[require]\nverdicts = ['GOOD']\n", "require: verdicts: 'GOOD' is not a valid"),
        ("{ci}[require]\nverdicts = []\n", "require: verdicts: there must be at least one"),
        ("{ci}[require]\nsince = 'main'\n", "require: since: 'main' must be a time in ISO format or"),
        ("{ci}[require]\nsince = 2030\n", "require: since: expected a string, found 2030"),
        ("{ci}[need]\n", "the key 'need' is unknown"),
        ("[[signers]\n", "redgreen-policy.toml: "),
    ],
)
def test_mistakes_in_a_policy_are_named_with_file_and_key(sandbox: Sandbox, keys: Path, text: str, told: str) -> None:
    sandbox.write("redgreen-policy.toml", text.format(ci=signer(keys)))
    done = check(sandbox)
    assert done.code == 20
    assert f"redgreen-policy.toml: {told}".replace("toml: redgreen-policy.toml: ", "toml: ") in done.err
    assert len(done.err.splitlines()) == 1


def test_the_policy_of_the_readme_can_be_read(keys: Path, tmp_path: Path) -> None:
    section = (TOP / "redgreen/README.md").read_text(encoding="utf-8").split("\n## Attestation\n")[1]
    [block] = re.findall(r"^    \[\[signers\]\]\n(?:(?:    .*)?\n)+", section, re.MULTILINE)
    public = " ".join((keys / "ci.pub").read_text(encoding="ascii").split()[:2])
    (tmp_path / "policy.toml").write_text(textwrap.dedent(block).replace("ssh-ed25519 AAAA…", public), encoding="utf-8")
    policy = read_policy(tmp_path / "policy.toml")
    assert policy.signers[0].identity is not None
    assert (policy.signers[0].begin, policy.signers[0].until) == ("2030-01-01", "2031-01-01")
    assert policy.require.since_commit == "1f0c9d2e7a35"


def test_a_policy_that_is_not_there_is_an_error(sandbox: Sandbox) -> None:
    assert check(sandbox).code == 20
    assert sandbox.run("verify", "--policy", "other.toml").code == 20


def test_keys_that_cannot_sign_are_refused_before_anything_runs(sandbox: Sandbox, keys: Path, tmp_path: Path) -> None:
    words = ("replay", "--all", "--attest", "--key")
    for key, told in (
        (tmp_path / "none", "there is no such key"),
        (keys / "locked", "it has a passphrase, which is never asked for"),
        (sandbox.write("text", "no key\n"), "it is no ssh key"),
    ):
        done = sandbox.run(*words, str(key))
        assert done.code == 20
        assert told in done.err
        assert "PROVEN" not in done.out
    assert "needs --attest" in sandbox.run("replay", "--all", "--key", str(keys / "ci")).err
    assert "--scratch records nothing" in sandbox.run(*words, str(keys / "ci"), "--scratch").err
    sandbox.env = {"GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    assert "--attest needs a key" in sandbox.run("replay", "--all", "--attest").err
    git = shutil.which("git")
    assert git is not None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").symlink_to(git)
    sandbox.env = {"PATH": str(tmp_path / "bin")}
    done = sandbox.run(*words, str(keys / "ci"))
    assert (done.code, "ssh-keygen is not installed" in done.err) == (28, True)
    assert not (sandbox.root / LOG).exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda envelope: envelope.update(payload="A" * 4_000_004), "its payload has 4,000,004 characters"),
        (lambda envelope: envelope.update(payload="?"), "its payload is not in base64"),
        (lambda envelope: envelope.update(payload="AAAA"), "payload is not JSON"),
        (lambda envelope: envelope.update(payloadType="text/plain"), "payloadType: it must be"),
        (lambda envelope: envelope.update(signatures=[]), "signatures: there are 0"),
        (lambda envelope: envelope["signatures"][0].update(sig="A" * 20_000), "signatures: one has more than"),
        (lambda envelope: envelope.update(signatures=envelope["signatures"] * 17), "signatures: there are 17"),
        (lambda envelope: envelope.update(more=1), "the key 'more' is unknown"),
        (lambda envelope: edit_payload(envelope, "redgreen.invalid", "example.org"), "it is no statement of the type"),
        (lambda envelope: edit_payload(envelope, "2031-05-06T07", "some day"), "when: it is no time"),
    ],
)
def test_what_is_no_attestation_is_named_without_a_policy(
    sandbox: Sandbox, keys: Path, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    sign(sandbox, keys)
    edit_envelope(sandbox, change)
    done = sandbox.run("verify", "--no-git")
    assert done.code == 21
    assert f"{LOG}: line 1: " in done.err
    assert told in done.err
    write_policy(sandbox, signer(keys))
    assert check(sandbox).code == 21


def test_a_log_of_any_size_is_not_read(sandbox: Sandbox, keys: Path) -> None:
    sign(sandbox, keys)
    with (sandbox.root / LOG).open("ab") as stream:
        stream.truncate(1 << 40)  # a sparse file
    assert "it has more than 64,000,000 bytes" in sandbox.run("verify", "--no-git").err


def test_lines_are_sealed_and_may_not_be_lost(sandbox: Sandbox, keys: Path) -> None:
    sign(sandbox, keys)
    sandbox.commit("attested")
    assert sandbox.run("verify", "--against", "HEAD").code == 0
    log = sandbox.root / LOG
    text = log.read_text(encoding="utf-8")
    log.write_text(text.replace("keyid", "keyID"), encoding="utf-8")
    assert "line 1 was changed" in sandbox.run("verify").err
    log.unlink()
    assert "1 of the 1 lines at HEAD are gone or different now" in sandbox.run("verify", "--against", "HEAD").err


def test_the_statement_is_exported_without_a_signature(sandbox: Sandbox) -> None:
    green = find_green(sandbox)
    done = sandbox.run("export", "--in-toto", green.run_id)
    assert done.code == 0
    statement = json.loads(done.out)
    assert statement["predicateType"] == "https://redgreen.invalid/replay/v1"
    assert statement["predicate"]["replay"]["run_id"] == green.run_id
    assert "builder" not in statement["predicate"]
    names = [(each["name"], *each["digest"]) for each in statement["predicate"]["resolvedDependencies"]]
    assert names[1:] == [("RED", "gitTree"), ("RED", "gitCommit"), ("GREEN", "gitCommit")]
    assert sandbox.run("export", "--in-toto", green.run_id, "--json").values()["statement"] == statement
    assert sandbox.run("export", "--in-toto", "none").code == 26
    assert sandbox.run("export", green.run_id).code == 20


def test_what_is_signed_and_printed_holds_no_secret(keys: Path, tmp_path: Path) -> None:
    test = """\
        import os
        from product import answer

        def test_answer():
            assert answer() == 42, f"the answer is not there yet {os.environ['SERVICE_TOKEN']}"
        """
    sandbox = make_sandbox(tmp_path / "repo", target(extra="product: [product.py]\n    pass_env: [SERVICE_TOKEN]"))
    sandbox.env["SERVICE_TOKEN"] = secret = "s3cret-of-the-service-4711"
    sandbox.write("tests/test_demo.py", textwrap.dedent(test))
    sandbox.commit()
    sandbox.record("red")
    fix_product(sandbox)
    green = sandbox.record("green")
    done = sandbox.run("replay", green.run_id, "--attest", "--key", str(keys / "ci"), "--json")
    assert done.code == 0, done.err
    assert secret not in done.out + done.err
    [line] = journal.read(sandbox.root / LOG)
    signed = base64.b64decode(line["payload"]).decode()
    assert "the answer is not there yet" in signed
    assert secret not in signed
