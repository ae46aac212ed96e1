"""Ack trees as Storm's: a spout tuple is done when every tuple anchored to it is, and fails at once."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Root:
    """A spout tuple in flight; `edges` counts the unfinished tuples of its tree."""

    spout_task: int
    message_id: str | int
    edges: int
    expires_at_ms: int
    is_open: bool


class AckTracker:
    """Follows the roots in flight; a root leaves when it is acked, failed or expired, once.

    Counting edges equals Storm's exclusive-or of edge ids as long as nobody anchors to a tuple
    that is already finished, which the runner refuses as Storm does.
    """

    def __init__(self, timeout_ms: int | None) -> None:
        """`timeout_ms` is counted from the emit of the spout; None never expires."""
        self._timeout_ms = timeout_ms
        self._roots: dict[Root, None] = {}  # in order of emission, so of expiry

    def __len__(self) -> int:
        return len(self._roots)

    def open(self, spout_task: int, message_id: str | int, edges: int, now_ms: int) -> Root:
        """Start a tree that goes to `edges` tasks; it is done if they are none. Time goes forward."""
        expires_at_ms = now_ms + (self._timeout_ms or 0)
        root = Root(spout_task, message_id, edges, expires_at_ms, is_open=edges > 0)
        if root.is_open:
            self._roots[root] = None
        return root

    def anchor(self, roots: Sequence[Root], edges: int) -> tuple[Root, ...]:
        """Add `edges` tuples anchored to each of `roots`; returns those that are still open."""
        still_open = tuple(root for root in roots if root.is_open)
        for root in still_open:
            root.edges += edges
        return still_open

    def ack(self, roots: Sequence[Root]) -> list[Root]:
        """Finish one tuple of each root; returns the roots whose tree is complete."""
        done = []
        for root in roots:
            root.edges -= 1
            if root.is_open and root.edges == 0:
                self._close(root)
                done.append(root)
        return done

    def fail(self, roots: Sequence[Root]) -> list[Root]:
        """Fail the trees; returns the roots that were open."""
        failed = [root for root in roots if root.is_open]
        for root in failed:
            self._close(root)
        return failed

    def expire(self, now_ms: int) -> list[Root]:
        """Close and return the roots whose message timeout has passed, oldest first."""
        expired: list[Root] = []
        if self._timeout_ms is not None:
            for root in self._roots:
                if root.expires_at_ms > now_ms:
                    break
                expired.append(root)
            for root in expired:
                self._close(root)
        return expired

    def next_expiry_ms(self) -> int | None:
        """When the oldest root expires, None if nothing will."""
        if self._timeout_ms is None or not self._roots:
            return None
        return next(iter(self._roots)).expires_at_ms

    def _close(self, root: Root) -> None:
        root.is_open = False
        del self._roots[root]
