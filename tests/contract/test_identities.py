"""Who holds a bearer token: the contract of `Identities` in all its homes, and what is each one's own."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.adapters.embedded.documents import SqliteDocuments
from shared.adapters.google.firebase_identities import FirebaseIdentities
from shared.errors import Conflict, NotFound, Retryable
from shared.handlers import devices
from shared.ports import Caller, Documents, Identities, Role
from shared.repositories import devices as stored
from shared.web.access import TokenHolders
from tests.fakes import ManualClock
from tests.id_tokens import PROJECT, KeyServer, claims, id_token, key, published, raw_token, running_key_server

# --------------------------------------------------------------------------- all homes


@dataclass(frozen=True)
class Home:
    """Identities, and a token of somebody whom they know."""

    identities: Identities
    token: str
    holder: Caller


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    with running_key_server() as served:
        yield served


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def registry(documents: Documents, clock: ManualClock) -> devices.Deps:
    return devices.Deps(documents, clock)


@pytest.fixture(params=["environment", "devices", "firebase"])
def home(request: pytest.FixtureRequest) -> Home:
    made: Home = request.getfixturevalue(f"{request.param}_home")
    return made


@pytest.fixture
def environment_home() -> Home:
    ana = Caller("Ana", Role.OPERATOR, ("gate",))
    return Home(TokenHolders({"a-token-of-anas": ana, "another": Caller("Bo", Role.VIEWER)}), "a-token-of-anas", ana)


@pytest.fixture
def devices_home(tmp_path: Path, clock: ManualClock) -> Iterator[Home]:
    store = SqliteDocuments(tmp_path / "devices.db", ())
    deps = devices.Deps(store, clock)
    _, made = devices.register(devices.Registration("cam-1", "Camera", ("gate",), True), deps)
    assert made is not None
    yield Home(devices.DeviceKeys(lambda: deps), made, Caller("cam-1", Role.DEVICE, ("gate",)))
    store.close()


@pytest.fixture
def firebase_home(keys: KeyServer) -> Home:
    return Home(FirebaseIdentities(PROJECT, keys.url), id_token(), Caller("ana@example.com", Role.OPERATOR, ("gate",)))


def test_the_holder_of_a_token_is_known_again_and_again(home: Home) -> None:
    assert [home.identities.identify(home.token) for _ in range(3)] == [home.holder] * 3


def test_many_threads_may_ask_at_once(home: Home) -> None:
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(home.identities.identify, [home.token, "nobody's"] * 50))
    assert found == [home.holder, None] * 50


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token[:-1],
        lambda token: token + "x",
        lambda token: token.swapcase(),
        lambda token: f" {token}",
        lambda token: f"{token}\n",
        lambda token: token * 2,
    ],
)
def test_almost_is_not_enough(home: Home, change: Callable[[str], str]) -> None:
    assert home.identities.identify(change(home.token)) is None


STRANGE = ["", " ", ".", "..", "a.b.c", "\0", "é", "\ud800", "x" * 1_000_000, "." * 100_000, "null", "{}", "eyJ.eyJ.x"]


@pytest.mark.parametrize("token", STRANGE, ids=lambda token: repr(token[:12]))
def test_a_strange_token_is_nobodys(home: Home, token: str) -> None:
    assert home.identities.identify(token) is None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(token=st.text() | st.from_regex(r"sightline-device-[A-Za-z0-9_-]{43}", fullmatch=True))
def test_no_text_whatever_is_somebodys_or_an_error(home: Home, token: str) -> None:
    assert home.identities.identify(token) is None


# --------------------------------------------------------------------------- devices


def register(registry: devices.Deps, device_id: str = "cam-1", **changes: Any) -> str:
    fields = {"name": "Camera", "beacons": ("gate",), "active": True, **changes}
    _, made = devices.register(devices.Registration(device_id, **fields), registry)
    assert made is not None
    return made


def asked(registry: devices.Deps, token: str) -> Caller | None:
    return devices.DeviceKeys(lambda: registry).identify(token)


class TestDevices:
    """On both homes of the store."""

    def test_each_device_is_known_by_its_own_key(self, registry: devices.Deps) -> None:
        one, other = register(registry, "cam-1"), register(registry, "cam/2", beacons=None)
        assert asked(registry, one) == Caller("cam-1", Role.DEVICE, ("gate",))
        assert asked(registry, other) == Caller("cam/2", Role.DEVICE, None)

    def test_a_key_is_stored_nowhere(self, registry: devices.Deps) -> None:
        made = register(registry)
        document = registry.documents.get(stored.COLLECTION, "cam-1")
        assert document is not None
        assert made not in str(document.data)
        assert made.removeprefix("sightline-device-") not in str(document.data)

    def test_a_rotated_key_opens_nothing_from_that_moment(self, registry: devices.Deps) -> None:
        old = register(registry)
        new = devices.rotate_key("cam-1", registry)
        assert asked(registry, old) is None
        assert asked(registry, new) == Caller("cam-1", Role.DEVICE, ("gate",))

    def test_a_stopped_or_deleted_device_is_unknown_from_that_moment(self, registry: devices.Deps) -> None:
        made = register(registry)
        assert devices.register(devices.Registration("cam-1", "Camera", ("gate",), False), registry)[1] is None
        assert asked(registry, made) is None
        devices.register(devices.Registration("cam-1", "Camera", ("hall",), True), registry)
        assert asked(registry, made) == Caller("cam-1", Role.DEVICE, ("hall",))
        stored.delete(registry.documents, "cam-1")
        assert asked(registry, made) is None

    def test_its_use_is_noted_once_an_hour(self, registry: devices.Deps, clock: ManualClock) -> None:
        made = register(registry)
        seen = []
        for seconds in (0, 10, 3589, 1):
            clock.advance(seconds)
            asked(registry, made)
            seen.append(stored.get(registry.documents, "cam-1")[0].last_used)
        first = seen[0]
        assert first is not None
        assert seen == [first, first, first, first + timedelta(hours=1)]

    def test_of_many_keys_made_at_once_one_works(self, registry: devices.Deps) -> None:
        register(registry)

        def rotate(_: int) -> str | None:
            try:
                return devices.rotate_key("cam-1", registry)
            except Conflict:
                return None

        with ThreadPoolExecutor(8) as threads:
            made = [one for one in threads.map(rotate, range(8)) if one is not None]
        assert len([one for one in made if asked(registry, one) is not None]) == 1

    def test_who_replaces_a_key_that_has_just_been_replaced_is_told(self, registry: devices.Deps) -> None:
        register(registry)
        others: list[str] = []
        racing = Interrupted(registry.documents, lambda: others.append(devices.rotate_key("cam-1", registry)))
        with pytest.raises(Conflict):
            devices.rotate_key("cam-1", devices.Deps(racing, registry.clock))
        assert asked(registry, others[0]) is not None

    def test_registering_at_once_gives_one_key(self, registry: devices.Deps) -> None:
        def once(_: int) -> str | None:
            return devices.register(devices.Registration("cam-1", "Camera", None, True), registry)[1]

        with ThreadPoolExecutor(8) as threads:
            made = [one for one in threads.map(once, range(8)) if one is not None]
        assert len(made) == 1
        assert asked(registry, made[0]) is not None

    def test_a_key_whose_use_was_noted_meanwhile_is_rotated_all_the_same(self, registry: devices.Deps) -> None:
        made = register(registry)
        racing = Interrupted(registry.documents, lambda: asked(registry, made))
        new = devices.rotate_key("cam-1", devices.Deps(racing, registry.clock))
        assert asked(registry, new) is not None

    def test_what_is_not_there_cannot_be_rotated_or_deleted(self, registry: devices.Deps) -> None:
        with pytest.raises(NotFound):
            devices.rotate_key("cam-1", registry)
        with pytest.raises(NotFound):
            stored.delete(registry.documents, "cam-1")

    def test_an_outage_is_not_taken_for_a_wrong_key(self, registry: devices.Deps) -> None:
        made = register(registry)
        with pytest.raises(Retryable):
            asked(devices.Deps(Down(registry.documents), registry.clock), made)


class Interrupted:
    """A store in which something happens between our read and our first write."""

    def __init__(self, inner: Documents, happening: Callable[[], object]) -> None:
        self._inner = inner
        self._happenings = [happening]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def commit(self, writes: Any) -> None:
        while self._happenings:
            self._happenings.pop()()
        self._inner.commit(writes)


class Down:
    """A store that does not answer."""

    def __init__(self, inner: Documents) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        raise Retryable("the store does not answer")


# --------------------------------------------------------------------------- Firebase


@pytest.fixture
def firebase(keys: KeyServer) -> FirebaseIdentities:
    return FirebaseIdentities(PROJECT, keys.url, unknown_key_seconds=0.0)


class TestFirebase:
    @pytest.mark.parametrize(
        ("changes", "caller"),
        [
            ({}, Caller("ana@example.com", Role.OPERATOR, ("gate",))),
            ({"role": "viewer", "beacons": ["gate", "a:b"]}, Caller("ana@example.com", Role.VIEWER, ("gate", "a:b"))),
            ({"role": "admin", "beacons": ...}, Caller("ana@example.com", Role.ADMIN)),
            ({"role": "admin", "beacons": ["gate"]}, Caller("ana@example.com", Role.ADMIN)),
            ({"beacons": ["*"]}, Caller("ana@example.com", Role.OPERATOR)),
            ({"beacons": ...}, Caller("ana@example.com", Role.OPERATOR, ())),
            ({"beacons": "gate"}, Caller("ana@example.com", Role.OPERATOR, ())),
            ({"beacons": {"gate": 1, "*": 1}}, Caller("ana@example.com", Role.OPERATOR, ())),
            ({"beacons": [["gate"], 1, None]}, Caller("ana@example.com", Role.OPERATOR, ())),
            ({"email_verified": False}, Caller("user-1", Role.OPERATOR, ("gate",))),
            ({"email_verified": "true"}, Caller("user-1", Role.OPERATOR, ("gate",))),
            ({"email": ...}, Caller("user-1", Role.OPERATOR, ("gate",))),
        ],
    )
    def test_the_claims_say_who_they_are(
        self, firebase: FirebaseIdentities, changes: dict[str, Any], caller: Caller
    ) -> None:
        assert firebase.identify(id_token(**changes)) == caller

    @pytest.mark.parametrize("role", [..., None, "", "Admin", "device", "owner", ["admin"], {"admin": 1}, True, 1])
    def test_who_has_no_role_is_nobody(self, firebase: FirebaseIdentities, role: object) -> None:
        assert firebase.identify(id_token(role=role)) is None

    @pytest.mark.parametrize(
        "changes",
        [
            {"iss": "https://securetoken.google.com/another"},
            {"iss": f"https://session.firebase.google.com/{PROJECT}"},
            {"iss": ...},
            {"aud": "another"},
            {"aud": [PROJECT, "another"]},
            {"aud": ...},
            {"sub": ""},
            {"sub": ...},
            {"sub": 7},
            {"sub": "x" * 129},
            {"exp": 1},
            {"exp": ...},
            {"exp": "tomorrow"},
            {"iat": ...},
            {"iat": 99_999_999_999},
            {"auth_time": ...},
            {"auth_time": 99_999_999_999},
            {"auth_time": "yesterday"},
            {"nbf": 99_999_999_999},
        ],
        ids=str,
    )
    def test_a_claim_that_is_wrong_or_missing(self, firebase: FirebaseIdentities, changes: dict[str, Any]) -> None:
        assert firebase.identify(id_token(**changes)) is None

    def test_it_ends_when_it_ends(self, firebase: FirebaseIdentities) -> None:
        now = int(time.time())
        assert firebase.identify(id_token(exp=now + 60)) is not None
        assert firebase.identify(id_token(exp=now - 10)) is None

    def test_a_token_that_signs_itself(self, firebase: FirebaseIdentities, keys: KeyServer) -> None:
        """`alg` says how a token wants to be believed; only RS256 by the published key is."""
        assert firebase.identify(id_token()) is not None
        public = key("key-1").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        header = {"kid": "key-1", "typ": "JWT"}
        signed = jwt.get_algorithm_by_name("HS256")
        unsigned = raw_token({**header, "alg": "HS256"}, claims(role="admin")).rpartition(".")[0]
        by_public_key = signed.sign(unsigned.encode(), public)
        hostile = [
            raw_token({**header, "alg": "none"}, claims(role="admin")),
            raw_token({**header, "alg": "None"}, claims(role="admin"), b"x"),
            raw_token({**header, "alg": ["RS256"]}, claims(role="admin")),
            raw_token({**header, "alg": "HS256"}, claims(role="admin"), by_public_key),
            raw_token({**header, "alg": "RS256"}, claims(role="admin"), by_public_key),
            raw_token({**header, "alg": "RS256", "jwk": {}, "jku": keys.url, "crit": ["x"]}, claims(role="admin")),
            id_token("key-2", {"kid": "key-1"}, role="admin"),
            id_token().rpartition(".")[0] + ".",
            _another_payload(id_token(), id_token(role="admin")),
        ]
        assert [firebase.identify(token) for token in hostile] == [None] * len(hostile)

    @pytest.mark.parametrize(
        "header",
        [
            {"alg": "RS256"},
            {"alg": "RS256", "kid": ""},
            {"alg": "RS256", "kid": 1},
            {"alg": "RS256", "kid": ["a"]},
            [],
            1,
        ],
        ids=str,
    )
    def test_a_header_that_names_no_key_fetches_none(
        self, firebase: FirebaseIdentities, keys: KeyServer, header: object
    ) -> None:
        assert firebase.identify(raw_token(header, claims())) is None
        assert keys.asked == 0

    def test_deeply_nested_parts(self, firebase: FirebaseIdentities) -> None:
        deep = "[" * 100_000
        assert firebase.identify(raw_token(deep, deep)) is None
        assert firebase.identify(".".join([_encoded(deep), _encoded(deep), "x"])) is None

    def test_the_keys_are_fetched_once(self, firebase: FirebaseIdentities, keys: KeyServer) -> None:
        for _ in range(20):
            assert firebase.identify(id_token()) is not None
        assert keys.asked == 1

    def test_a_new_key_is_fetched_when_the_first_token_names_it(
        self, firebase: FirebaseIdentities, keys: KeyServer
    ) -> None:
        assert firebase.identify(id_token("key-1")) is not None
        keys.body = published("key-1", "key-2")
        assert firebase.identify(id_token("key-2")) is not None
        keys.body = published("key-2")
        assert firebase.identify(id_token("key-3")) is None
        assert firebase.identify(id_token("key-1")) is None, "a key that was withdrawn"

    def test_names_of_keys_that_somebody_made_up_are_not_fetched_each(self, keys: KeyServer) -> None:
        patient = FirebaseIdentities(PROJECT, keys.url)
        for number in range(20):
            assert patient.identify(id_token("key-2", {"kid": f"made-up-{number}"})) is None
        assert keys.asked == 1

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (500, b""),
            (404, b""),
            (302, b""),
            (200, b""),
            (200, b"<html>"),
            (200, b"[]"),
            (200, b"{}"),
            (200, b'{"keys": []}'),
        ],
    )
    def test_without_keys_nobody_is_turned_away(self, keys: KeyServer, status: int, body: bytes) -> None:
        firebase = FirebaseIdentities(PROJECT, keys.url)
        good, keys.body, keys.status = keys.body, body, status
        with pytest.raises(Retryable):
            firebase.identify(id_token())
        asked_until_now = keys.asked
        with pytest.raises(Retryable):
            firebase.identify(id_token())
        assert keys.asked == asked_until_now, "a moment later nobody waits for the same again"
        keys.body, keys.status = good, 200
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                assert firebase.identify(id_token()) is not None
                return
            except Retryable:
                time.sleep(0.1)
        pytest.fail("it did not recover")

    def test_nobody_listens(self) -> None:
        with pytest.raises(Retryable):
            FirebaseIdentities(PROJECT, "http://127.0.0.1:9/keys").identify(id_token())

    def test_an_outage_when_a_new_key_comes_up_leaves_the_others_known(
        self, firebase: FirebaseIdentities, keys: KeyServer
    ) -> None:
        assert firebase.identify(id_token("key-1")) is not None
        keys.status = 503
        with pytest.raises(Retryable):
            firebase.identify(id_token("key-2"))
        assert firebase.identify(id_token("key-1")) is not None

    def test_many_who_wait_for_keys_that_do_not_come_wait_once(self, keys: KeyServer) -> None:
        firebase = FirebaseIdentities(PROJECT, keys.url)
        keys.status, keys.seconds = 500, 0.5

        def identify(_: int) -> bool:
            with pytest.raises(Retryable):
                firebase.identify(id_token())
            return True

        began = time.monotonic()
        with ThreadPoolExecutor(16) as threads:
            assert all(threads.map(identify, range(16)))
        assert keys.asked == 1
        assert time.monotonic() - began < 4


def _another_payload(token: str, other: str) -> str:
    header, _, signature = token.split(".")
    return ".".join([header, other.split(".")[1], signature])


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
