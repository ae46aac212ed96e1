"""bcrypt hashes of older installations and of administrators."""

import bcrypt


def verify(stored: str, secret: str) -> bool:
    """False for a wrong secret, and for a stored text that is no bcrypt hash."""
    try:
        return bcrypt.checkpw(secret.encode("utf-8"), stored.encode("ascii"))
    except ValueError:
        return False
