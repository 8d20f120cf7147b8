"""Evidence of our own making: what is accepted for a policy and a session, and each single thing that is not."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from syft_ext.attestation.appraise import appraise
from syft_ext.attestation.azure.maa_policy import MaaReferences
from syft_ext.attestation.binding import Binding
from syft_ext.attestation.confidential_space.policy import SpaceImage, SpaceReferences, SpaceVariable
from syft_ext.attestation.evidence import Evidence, Reason
from syft_ext.attestation.nitro.policy import NitroImage, NitroReferences
from syft_ext.attestation.pins import PinnedKey
from syft_ext.attestation.policy import AttestationPolicy
from syft_ext.attestation.simulator.policy import SimulatorReferences
from syft_ext.attestation.texts import base64url_encoded
from syft_ext.errors import EvidenceRefused
from syft_ext.identity import Identity
from tests.attestation.made import (
    AT,
    BINDING,
    Chain,
    azure_claims,
    key_set_of,
    made_nitro,
    made_simulated,
    made_token,
    our_roots,
    rsa_key,
    space_claims,
    thumbprint_of,
)

NITRO_CHAIN, GOOGLE_CHAIN = Chain(), Chain(elliptic=False)
DOMAIN = Identity.generate()
PIN = PinnedKey(thumbprint=thumbprint_of(rsa_key("issuer")), not_before=0, not_after=2**32)
IMAGE = SpaceImage(
    digest="sha256:" + "ab" * 32,
    arguments=("serve",),
    environment=(SpaceVariable("HOSTNAME"), SpaceVariable("MODE", "measured")),
    overridden=("MODE",),
)
POLICY = AttestationPolicy(
    production=True,
    nitro=NitroReferences(images=(NitroImage(pcr0=b"\1" * 48, pcr1=b"\2" * 48, pcr2=b"\3" * 48),)),
    confidential_space=SpaceReferences(images=(IMAGE,), audience="grid:domain", keys=(PIN,)),
    azure_maa=MaaReferences(
        issuer="https://tenant.weu.attest.azure.net",
        keys=(PIN,),
        policy_hashes=("hash",),
        measurements=(b"\xab" * 48,),
        types=("tdxvm",),
    ),
)
SIMULATED = AttestationPolicy(
    production=False,
    allow_simulator=True,
    simulator=SimulatorReferences(keys=(bytes.fromhex(DOMAIN.verify_key),), workloads=(b"w" * 32,)),
)


def judged(
    evidence: Evidence,
    policy: AttestationPolicy = POLICY,
    at: datetime = AT,
    binding: Binding = BINDING,
) -> str:
    """The reason why evidence is refused; empty: it is not."""
    with our_roots(NITRO_CHAIN, GOOGLE_CHAIN):
        try:
            result = appraise(evidence, policy, at, binding)
        except EvidenceRefused as error:
            return str(error.extra["reason"])
    assert not result.debug and result.kind == evidence.kind
    return ""


def varied(references: str, **fields: Any) -> AttestationPolicy:
    """The policy with other reference values."""
    values = msgspec.structs.replace(getattr(POLICY, references), **fields)
    return msgspec.structs.replace(POLICY, **{references: values})


# --- Nitro


@pytest.mark.parametrize("tagged", [False, True])
def test_a_document_is_accepted(tagged: bool) -> None:
    assert judged(made_nitro(NITRO_CHAIN, tagged=tagged)) == ""


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"pcrs": {0: bytes(48), 1: b"\2" * 48, 2: b"\3" * 48}}, Reason.DEBUG),
        ({"pcrs": {0: b"\1" * 48, 1: b"\2" * 48}}, Reason.DEBUG),
        ({"pcrs": {0: b"\1" * 48, 1: b"\2" * 48, 2: b"\4" * 48}}, Reason.POLICY_WORKLOAD),
        ({"pcrs": {32: b"\1" * 48}}, Reason.MALFORMED),
        ({"pcrs": {0: b"\1" * 32}}, Reason.MALFORMED),
        ({"pcrs": {}}, Reason.MALFORMED),
        ({"pcrs": {"0": b"\1" * 48}}, Reason.MALFORMED),
        ({"digest": "SHA256"}, Reason.UNSUPPORTED),
        ({"module_id": ""}, Reason.MALFORMED),
        ({"module_id": ...}, Reason.MALFORMED),
        ({"surplus": 1}, Reason.MALFORMED),
        ({"timestamp": True}, Reason.MALFORMED),
        ({"timestamp": 2**63}, Reason.MALFORMED),
        ({"timestamp": int((AT - timedelta(minutes=6)).timestamp() * 1000)}, Reason.POLICY_AGE),
        ({"timestamp": int((AT + timedelta(minutes=2)).timestamp() * 1000)}, Reason.POLICY_AGE),
        ({"cabundle": []}, Reason.MALFORMED),
        ({"cabundle": None}, Reason.MALFORMED),
        ({"certificate": b""}, Reason.MALFORMED),
        ({"user_data": BINDING.digest + b"\0"}, Reason.BINDING),
        ({"user_data": BINDING.digest[:32]}, Reason.BINDING),
        ({"user_data": None}, Reason.BINDING),
        ({"public_key": b"x" * 32}, Reason.BINDING),
        ({"nonce": b"x" * 32}, Reason.BINDING),
        ({"nonce": ...}, Reason.BINDING),
    ],
)
def test_a_document_with_something_else_is_refused(fields: dict[str, Any], reason: Reason) -> None:
    assert judged(made_nitro(NITRO_CHAIN, **fields)) == reason


def test_a_document_of_another_chain_is_refused() -> None:
    root, middle, leaf = NITRO_CHAIN.certificates
    other = Chain()
    assert judged(made_nitro(other)) == Reason.ROOT
    assert judged(made_nitro(NITRO_CHAIN, certificate=other.certificates[2])) == Reason.CHAIN
    assert judged(made_nitro(NITRO_CHAIN, cabundle=[root, other.certificates[1]])) == Reason.CHAIN
    assert judged(made_nitro(NITRO_CHAIN, cabundle=[root, middle, middle])) == Reason.CHAIN
    assert judged(made_nitro(NITRO_CHAIN, cabundle=[middle, root])) == Reason.ROOT
    assert judged(made_nitro(NITRO_CHAIN, cabundle=[root])) == Reason.CHAIN
    assert judged(made_nitro(NITRO_CHAIN, cabundle=[root, middle, leaf])) == Reason.CHAIN
    assert judged(made_nitro(other, cabundle=[root, middle], certificate=leaf)) == Reason.SIGNATURE
    assert judged(made_nitro(NITRO_CHAIN, headers={1: -7})) == Reason.UNSUPPORTED
    assert judged(made_nitro(NITRO_CHAIN, headers={1: -35, 4: b"k"})) == Reason.UNSUPPORTED
    assert judged(made_nitro(NITRO_CHAIN, unprotected={4: b"k"})) == Reason.MALFORMED


@pytest.mark.parametrize(
    "wrong",
    [
        {"authority": False},
        {"leaf_authority": True},
        {"critical": True},
        {"issuer": rsa_key("stranger")},
    ],
    ids=lambda wrong: ", ".join(wrong),
)
def test_a_chain_whose_certificates_may_not_issue_is_refused(wrong: dict[str, Any]) -> None:
    chain = Chain(**wrong)
    with our_roots(chain), pytest.raises(EvidenceRefused) as caught:
        appraise(made_nitro(chain), POLICY, AT, BINDING)
    assert caught.value.extra["reason"] == Reason.CHAIN


def test_an_expired_leaf_is_refused() -> None:
    chain = Chain(until=AT - timedelta(seconds=1))
    with our_roots(chain), pytest.raises(EvidenceRefused) as caught:
        appraise(made_nitro(chain), POLICY, AT, BINDING)
    assert caught.value.extra["reason"] == Reason.EXPIRED


def test_registers_of_who_started_it_are_held_against_the_policy() -> None:
    document = made_nitro(NITRO_CHAIN)
    for name, value in (("roles", b"\4" * 48), ("instances", b"\5" * 48)):
        assert judged(document, varied("nitro", **{name: (value,)})) == ""
        assert judged(document, varied("nitro", **{name: (b"x" * 48,)})) == Reason.POLICY_LAUNCH
    assert judged(document, varied("nitro", signers=(b"x" * 48,))) == Reason.POLICY_LAUNCH


# --- tokens


def google(change: Callable[[dict[str, Any]], Any] = lambda _: None, **made: Any) -> Evidence:
    """A token of Confidential Space, by a key of a set, with its claims changed."""
    claims = space_claims()
    change(claims)
    return made_token("confidential-space-oidc", claims, **made)


def azure(change: Callable[[dict[str, Any]], Any] = lambda _: None, **made: Any) -> Evidence:
    """A token of Azure's verifier, with its claims changed."""
    claims = azure_claims()
    change(claims)
    return made_token("azure-maa", claims, **made)


def test_tokens_are_accepted() -> None:
    assert judged(google()) == ""
    assert judged(azure()) == ""
    assert judged(made_token("confidential-space-pki", space_claims(), chain=GOOGLE_CHAIN)) == ""


@pytest.mark.parametrize("make", [google, azure])
def test_a_token_of_another_key_is_refused(make: Callable[..., Evidence]) -> None:
    stranger = rsa_key("stranger")
    assert judged(make(key=stranger)) == Reason.SIGNATURE
    assert judged(make(kid="other")) == Reason.ENDORSEMENT_MISSING
    assert judged(make(kid=None)) == Reason.MALFORMED
    assert judged(make(jku="https://attacker.example/certs", key=stranger)) == Reason.SIGNATURE
    # A set of the sender's own: the signature holds, and the policy does not know the key.
    assert judged(make(key=stranger, key_set=key_set_of(stranger))) == Reason.ROOT
    for algorithm in ("none", "HS256", "RS384", "PS256"):
        assert judged(make(alg=algorithm)) == Reason.UNSUPPORTED
    assert judged(make(crit=["exp"])) == Reason.MALFORMED


@pytest.mark.parametrize(
    "fields",
    [
        {"n": "AQAB"},
        {"e": "Aw"},
        {"e": "AQABAA"},
        {"n": 1},
        {"use": "enc"},
        {"alg": "RS512"},
        {"kty": "EC"},
        {"kid": 1},
        {"kid": "other"},
    ],
    ids=str,
)
def test_a_key_set_without_a_good_key_is_refused(fields: dict[str, Any]) -> None:
    assert judged(google(key_set=key_set_of(rsa_key("issuer"), **fields)))


def test_weak_keys_are_refused() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    assert judged(google(key=weak, key_set=key_set_of(weak))) == Reason.UNSUPPORTED


def test_a_key_is_pinned_for_a_time() -> None:
    pin = msgspec.structs.replace(PIN, not_after=int(AT.timestamp()) - 1)
    for token, references in ((google(), "confidential_space"), (azure(), "azure_maa")):
        assert judged(token, varied(references, keys=(pin,))) == Reason.ROOT
    assert judged(google(), varied("confidential_space", keys=())) == Reason.ROOT


def test_a_token_under_another_root_is_refused() -> None:
    other = Chain(elliptic=False)  # of the same names and keys
    assert judged(made_token("confidential-space-pki", space_claims(), chain=other)) == Reason.ROOT
    root, middle, leaf = (base64.b64encode(one).decode() for one in GOOGLE_CHAIN.certificates)
    for chain in (
        [leaf, root],
        [leaf, middle],
        [leaf],
        [],
        None,
        [root, middle, leaf],
    ):
        assert judged(made_token("confidential-space-pki", space_claims(), chain=GOOGLE_CHAIN, x5c=chain))


def _set(*path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(claims: dict[str, Any]) -> None:
        for step in path[:-1]:
            claims = claims[step]
        if value is ...:
            del claims[path[-1]]
        else:
            claims[path[-1]] = value

    return change


NOW = int(AT.timestamp())
CONTAINER = ("submods", "container")


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("iss",), "https://accounts.google.com", Reason.INTEGRITY),
        (("aud",), "grid:other", Reason.POLICY_LAUNCH),
        (("aud",), ["grid:domain"], Reason.MALFORMED),
        (("exp",), NOW, Reason.EXPIRED),
        (("nbf",), NOW + 1, Reason.NOT_YET_VALID),
        (("exp",), NOW + 3601, Reason.INTEGRITY),
        (("exp",), 1e9, Reason.MALFORMED),
        (("exp",), 10**17, Reason.MALFORMED),
        (("exp",), ..., Reason.MALFORMED),
        (("iat",), NOW - 301, Reason.INTEGRITY),
        (("secboot",), False, Reason.INTEGRITY),
        (("secboot",), "true", Reason.MALFORMED),
        (("oemid",), 1, Reason.INTEGRITY),
        (("hwmodel",), "GCP_AMD_SEV", Reason.POLICY_PLATFORM),
        (("swname",), "GCE", Reason.INTEGRITY),
        (("swversion",), ["beta"], Reason.MALFORMED),
        (("dbgstat",), "enabled", Reason.DEBUG),
        (("submods", "confidential_space"), {}, Reason.DEBUG),
        (("submods", "confidential_space", "support_attributes"), ["USABLE"], Reason.POLICY_PLATFORM),
        (("submods", "confidential_space", "monitoring_enabled"), {"memory": True}, Reason.POLICY_PLATFORM),
        (("tdx", "gcp_attester_tcb_status"), "OutOfDate", Reason.TCB_STATUS),
        (("tdx", "gcp_attester_tcb_date"), "2024-03-13T00:00:00Z", Reason.POLICY_AGE),
        (("tdx", "gcp_attester_tcb_date"), "2024-03-13T00:00:00", Reason.MALFORMED),
        (("tdx",), ..., Reason.POLICY_PLATFORM),
        ((*CONTAINER, "image_digest"), "sha256:" + "00" * 32, Reason.POLICY_WORKLOAD),
        ((*CONTAINER, "image_digest"), "sha512:00", Reason.MALFORMED),
        ((*CONTAINER, "args"), ["serve", "--debug"], Reason.POLICY_LAUNCH),
        ((*CONTAINER, "env", "MODE"), "open", Reason.POLICY_LAUNCH),
        ((*CONTAINER, "env", "SURPLUS"), "1", Reason.POLICY_LAUNCH),
        ((*CONTAINER, "env_override", "HOSTNAME"), "host-1", Reason.POLICY_LAUNCH),
        ((*CONTAINER, "env_override", "MODE"), "open", Reason.POLICY_LAUNCH),
        ((*CONTAINER, "cmd_override"), ["sh"], Reason.POLICY_LAUNCH),
        ((*CONTAINER, "restart_policy"), "Always", Reason.POLICY_LAUNCH),
        (("eat_nonce",), base64url_encoded(b"x" * 64).decode(), Reason.BINDING),
        (("eat_nonce",), [base64url_encoded(BINDING.digest).decode(), "another"], Reason.BINDING),
        (("eat_nonce",), BINDING.digest.hex(), Reason.BINDING),
        (("eat_nonce",), [], Reason.BINDING),
    ],
)
def test_a_token_of_confidential_space_with_something_else_is_refused(
    path: tuple[str, ...], value: Any, reason: Reason
) -> None:
    assert judged(google(_set(*path, value=value))) == reason


def test_what_else_the_policy_says_of_confidential_space() -> None:
    token = google()
    for name, good, bad in (
        ("projects", ("project",), ("other",)),
        ("service_accounts", ("worker@project", "another"), ("another",)),
    ):
        assert judged(token, varied("confidential_space", **{name: good})) == ""
        assert judged(token, varied("confidential_space", **{name: bad})) == Reason.POLICY_LAUNCH
    assert judged(token, varied("confidential_space", min_version=250801)) == Reason.POLICY_PLATFORM
    named = varied("confidential_space", hardware=("GCP_AMD_SEV",))
    assert judged(google(_set("hwmodel", value="GCP_AMD_SEV")), named) == ""
    assert judged(token, at=AT + timedelta(seconds=301)) == Reason.POLICY_AGE


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("iss",), "https://other.weu.attest.azure.net", Reason.ROOT),
        (("iss",), "https://tenant.weu.attest.azure.net.evil.example", Reason.INTEGRITY),
        (("exp",), NOW, Reason.EXPIRED),
        (("nbf",), NOW + 1, Reason.NOT_YET_VALID),
        (("iat",), NOW - 301, Reason.POLICY_AGE),
        (("x-ms-attestation-type",), "sgx", Reason.UNSUPPORTED),
        (("x-ms-attestation-type",), "azurevm", Reason.UNSUPPORTED),
        (("x-ms-compliance-status",), "azure-signed-policy", Reason.INTEGRITY),
        (("x-ms-policy-hash",), "other", Reason.POLICY_LAUNCH),
        (("attester_tcb_status",), "OutOfDate", Reason.TCB_STATUS),
        (("dbgstat",), "enabled", Reason.DEBUG),
        (("tdx_td_attributes_debug",), True, Reason.DEBUG),
        (("tdx_td_attributes_migratable",), True, Reason.INTEGRITY),
        (("tdx_mrtd",), "cd" * 48, Reason.POLICY_WORKLOAD),
        (("tdx_mrtd",), "AB" * 48, Reason.MALFORMED),
        (("tdx_mrtd",), "ab", Reason.MALFORMED),
        (("x-ms-runtime", "vm-configuration", "secure-boot"), False, Reason.POLICY_LAUNCH),
        (("x-ms-runtime", "user-data"), "00" * 64, Reason.BINDING),
        (("x-ms-runtime", "user-data"), ..., Reason.BINDING),
        (("x-ms-runtime", "user-data"), "no hex", Reason.BINDING),
    ],
)
def test_a_token_of_azure_with_something_else_is_refused(
    path: tuple[str, ...], value: Any, reason: Reason
) -> None:
    assert judged(azure(_set(*path, value=value))) == reason


# --- the simulator


def test_simulated_evidence_is_accepted_only_where_a_policy_allows_it() -> None:
    evidence = made_simulated(DOMAIN)
    assert judged(evidence, SIMULATED) == ""
    assert judged(evidence, POLICY) == Reason.SIMULATED
    # Not even if somebody makes a production policy that a constructor never lets through.
    forced = copy.copy(SIMULATED)
    msgspec.structs.force_setattr(forced, "production", True)
    assert judged(evidence, forced) == Reason.SIMULATED


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (made_simulated(Identity.generate()), Reason.ROOT),
        (made_simulated(DOMAIN, workload=b"x" * 32), Reason.POLICY_WORKLOAD),
        (made_simulated(DOMAIN, binding=b"x" * 64), Reason.BINDING),
        (made_simulated(DOMAIN, at=AT + timedelta(seconds=1)), Reason.NOT_YET_VALID),
        (
            made_simulated(DOMAIN, at=AT - timedelta(seconds=61), lifetime=timedelta(seconds=60)),
            Reason.EXPIRED,
        ),
        (made_simulated(DOMAIN, at=AT - timedelta(seconds=301)), Reason.POLICY_AGE),
    ],
)
def test_simulated_evidence_with_something_else_is_refused(evidence: Evidence, reason: Reason) -> None:
    assert judged(evidence, SIMULATED) == reason


def test_each_byte_of_simulated_evidence_counts() -> None:
    evidence = made_simulated(DOMAIN)
    for place in range(len(evidence.content)):
        changed = bytearray(evidence.content)
        changed[place] ^= 1
        assert judged(msgspec.structs.replace(evidence, content=bytes(changed)), SIMULATED)
        assert judged(msgspec.structs.replace(evidence, content=evidence.content[:place]), SIMULATED)
    assert judged(msgspec.structs.replace(evidence, content=evidence.content + b"\0"), SIMULATED)


@pytest.mark.parametrize("fields", [{"workload": b""}, {"binding": b""}, {"lifetime": timedelta(0)}], ids=str)
def test_evidence_of_other_sizes_is_not_made(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="bytes"):
        made_simulated(DOMAIN, **fields)


# --- every kind


def all_kinds() -> list[tuple[Evidence, AttestationPolicy]]:
    return [
        (made_nitro(NITRO_CHAIN), POLICY),
        (google(), POLICY),
        (azure(), POLICY),
        (made_token("confidential-space-pki", space_claims(), chain=GOOGLE_CHAIN), POLICY),
        (made_simulated(DOMAIN), SIMULATED),
    ]


@pytest.mark.parametrize("field", BINDING.__struct_fields__)
def test_evidence_of_another_session_is_refused(field: str) -> None:
    for evidence, policy in all_kinds():
        other = msgspec.structs.replace(BINDING, **{field: getattr(BINDING, field)[:-1]})
        assert judged(evidence, policy, binding=other) == Reason.BINDING


def test_evidence_under_the_name_of_another_kind_is_refused() -> None:
    made = all_kinds()
    for evidence, policy in made:
        for other, _ in made:
            if other.kind != evidence.kind:
                assert judged(msgspec.structs.replace(evidence, kind=other.kind), policy)


def test_a_policy_without_reference_values_of_the_kind_refuses_it() -> None:
    bare = AttestationPolicy(production=True, nitro=POLICY.nitro)
    for evidence, _ in all_kinds()[1:4]:
        assert judged(evidence, bare) == Reason.POLICY_KIND
    bare = AttestationPolicy(production=True, azure_maa=POLICY.azure_maa)
    assert judged(made_nitro(NITRO_CHAIN), bare) == Reason.POLICY_KIND


def test_no_part_of_it_is_enough() -> None:
    for evidence, policy in all_kinds():
        for end in range(0, len(evidence.content), 5):
            assert judged(msgspec.structs.replace(evidence, content=evidence.content[:end]), policy)


def test_more_than_is_looked_at_is_refused() -> None:
    for evidence, policy in all_kinds():
        padded = evidence.content + bytes(64 * 1024)
        assert judged(msgspec.structs.replace(evidence, content=padded), policy) == Reason.TOO_LARGE
