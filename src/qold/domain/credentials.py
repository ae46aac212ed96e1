"""Tokens as keyed digests, and the cache that judges them (design: credentials; source 7.3.2).

A stored credential is `blake2b$<key id>$<64 hex>` over `<kind>:<id>:<token>`, or a bcrypt hash
from an older installation.
"""

import hashlib
import hmac
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["device", "gateway"]

_PERSON = b"qold-token"
_SCHEME = "blake2b"
_REFUSED_KEPT = 4

REASONS: Mapping[Kind, tuple[str, str, str]] = {
    "device": ("unknown-device", "bad-device-token", "inactive"),
    "gateway": ("unknown-gateway", "bad-gateway-token", "inactive-gateway"),
}


def is_proven(kind: Kind, reason: str) -> bool:
    """True if the token was right; an inactive id is refused for that only after its token."""
    return reason in ("", REASONS[kind][2])


@dataclass(frozen=True, slots=True)
class Keys:
    """Digest keys by id; `active` signs, the others still verify."""

    active: str
    by_id: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Credential:
    """What the registry holds of one id."""

    auth: str
    active: bool


def token_digest(key: bytes, kind: Kind, identity: int, token: str) -> str:
    """64 hex digits."""
    message = f"{kind}:{identity}:{token}".encode()
    return hashlib.blake2b(message, digest_size=32, key=key, person=_PERSON).hexdigest()


def stored_form(
    keys: Keys, kind: Kind, identity: int, token: str, *, key_id: str | None = None
) -> str:
    """What the registry keeps instead of a token; signed with the active key where none is given."""
    signer = keys.active if key_id is None else key_id
    return f"{_SCHEME}${signer}${token_digest(keys.by_id[signer], kind, identity, token)}"


def key_id_of(stored: str) -> str | None:
    """The key that signed a stored credential, None for a bcrypt hash."""
    scheme, _, rest = stored.partition("$")
    return rest.partition("$")[0] if scheme == _SCHEME else None


@dataclass(slots=True)
class _Entry:
    credential: Credential | None
    expires_at_ms: int
    verified: str = ""
    refused: list[str] = field(default_factory=list)


class CredentialCache:
    """Answers of the registry, kept for a while; bounded, oldest entries leave first.

    `verify_slowly(stored, token)` checks a bcrypt hash; its answers are kept as digests.
    """

    def __init__(
        self,
        kind: Kind,
        keys: Keys,
        verify_slowly: Callable[[str, str], bool],
        *,
        ttl_ms: int = 600_000,
        unknown_ttl_ms: int = 60_000,
        max_entries: int = 200_000,
    ) -> None:
        self._kind: Kind = kind
        self._keys = keys
        self._verify_slowly = verify_slowly
        self._ttl_ms = ttl_ms
        self._unknown_ttl_ms = unknown_ttl_ms
        self._max_entries = max_entries
        self._entries: dict[int, _Entry] = {}
        self.missing_keys: set[str] = set()
        """Ids of keys that a loaded row names and that are not among the keys."""

    def __len__(self) -> int:
        return len(self._entries)

    def missing(self, identities: Iterable[int], *, now_ms: int) -> set[int]:
        """The ids to ask the registry for, before `judge`."""
        entries = self._entries
        return {
            identity
            for identity in identities
            if (entry := entries.get(identity)) is None or entry.expires_at_ms <= now_ms
        }

    def load(self, asked: Collection[int], found: Mapping[int, Credential], *, now_ms: int) -> None:
        """Take the registry's answer for the ids that were asked."""
        for identity in asked:
            credential = found.get(identity)
            ttl_ms = self._ttl_ms if credential else self._unknown_ttl_ms
            self._entries.pop(identity, None)
            self._entries[identity] = _Entry(credential, now_ms + ttl_ms)
            key_id = key_id_of(credential.auth) if credential else None
            if key_id is not None and key_id not in self._keys.by_id:
                self.missing_keys.add(key_id)
        while len(self._entries) > self._max_entries:
            del self._entries[next(iter(self._entries))]

    def use(self, keys: Keys) -> None:
        """Judge with these keys from now on."""
        self._keys = keys
        self.missing_keys -= keys.by_id.keys()

    def forget(self, identity: int) -> None:
        """Ask again at the next use."""
        self._entries.pop(identity, None)

    def judge(self, identity: int, token: str) -> str:
        """Empty when the token is right and the id active, else the reason of refusal.

        An id that was not loaded counts as unknown. A wrong token is told before inactivity.
        """
        unknown, bad_token, inactive = REASONS[self._kind]
        entry = self._entries.get(identity)
        if entry is None or entry.credential is None:
            return unknown
        if not self._is_right(entry, entry.credential, identity, token):
            return bad_token
        return "" if entry.credential.active else inactive

    def digest(self, identity: int, token: str) -> str:
        """What may be shown instead of a token: its stored form.

        Signed with the key of the stored row, so that the two can be compared as text; with the
        active key where the row is unknown or bcrypt, or its key is missing.
        """
        entry = self._entries.get(identity)
        key_id = key_id_of(entry.credential.auth) if entry and entry.credential else None
        return stored_form(
            self._keys,
            self._kind,
            identity,
            token,
            key_id=key_id if key_id in self._keys.by_id else None,
        )

    def _is_right(self, entry: _Entry, credential: Credential, identity: int, token: str) -> bool:
        key_id = key_id_of(credential.auth)
        if key_id is not None and key_id not in self._keys.by_id:
            return False
        digest = self.digest(identity, token)
        if key_id is not None:
            return hmac.compare_digest(digest, credential.auth)
        if hmac.compare_digest(digest, entry.verified):
            return True
        if digest in entry.refused:
            return False
        if self._verify_slowly(credential.auth, token):
            entry.verified = digest
            return True
        entry.refused = [digest, *entry.refused[: _REFUSED_KEPT - 1]]
        return False
