"""Files and folders that only this user and root can change: checked, made, opened without links.

The rule is that of ssh: the folder, each folder above it and each link on the way to it belong to
this user or to root, and no other user may write them. A folder above may be open to all if it is
sticky, as /tmp is. A group may write if no other account of the machine is a member of it.
Everything here works on the standard library alone, so that a gateway can carry it.
"""

import contextlib
import errno
import fcntl
import grp
import os
import pwd
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

# For the owner alone: most of what is made holds tokens, keys or readings.
PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
# Root can change every file anyway, so what belongs to root is as safe as our own.
ROOT_UID = 0
# Links on the way to a folder; Linux itself follows no more than this.
MAX_LINKS = 40
# Write permission of group and others, which no umask of ours leaves.
FOREIGN_WRITE = stat.S_IWGRP | stat.S_IWOTH
# Our own links to files are refused as well: whose link it is may change between check and use.
LINK_FIX = "remove the link, or name the file that it points to"
# Folders of a state folder whose entries a command opens by name.
STATE_FOLDERS = ("secrets", "logs", "run", "services")


class NotPrivate(PermissionError):
    """Another user could change `path`, or what is found there; `fix` says what to do."""

    def __init__(self, path: Path, problem: str, fix: str) -> None:
        super().__init__(errno.EPERM, problem, str(path))
        self.fix = fix


def restrict_umask() -> None:
    """Remove write permission for other users from what this process and its children will make."""
    os.umask(os.umask(FOREIGN_WRITE) | FOREIGN_WRITE)


def check_folder(path: str | Path) -> Path:
    """The folder without links, or the path as given while it does not exist; raises `NotPrivate`."""
    folder = Path(path).absolute()
    found, status = _walk(folder)
    if status is None:
        return folder
    if not stat.S_ISDIR(status.st_mode):
        raise NotPrivate(folder, "is not a folder", "use another path")
    if _others_may_write(found, status):
        is_sticky = status.st_mode & stat.S_ISVTX
        fix = f"use a folder of your own in {found}" if is_sticky else f"chmod go-w {found}"
        raise NotPrivate(folder, "other users may write it", fix)
    return found


def check_state(path: str | Path) -> None:
    """`check_folder` for a state folder and what a command opens in it; raises `NotPrivate`."""
    folder = check_folder(path)
    for inside in (folder, *(folder / name for name in STATE_FOLDERS)):
        if inside.is_symlink():
            check_folder(inside)
        for entry, status in _entries(inside):
            _check_entry(entry, status, folder)


def make_folder(path: str | Path, mode: int = PRIVATE_FOLDER) -> None:
    """Make a folder and those above it, each of `mode`; raises `NotPrivate` as `check_folder` does."""
    folder = Path(path).absolute()
    check_folder(folder)
    if folder.exists():
        return
    if not folder.parent.exists():
        make_folder(folder.parent, mode)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode)
    check_folder(folder)  # another user may have been faster in a sticky folder


def close_folder(path: str | Path) -> None:
    """`make_folder`, and close one of ours that was open to others."""
    make_folder(path)
    status = os.stat(path)
    if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) != PRIVATE_FOLDER:
        os.chmod(path, PRIVATE_FOLDER)


def open_private(path: str | Path, flags: int, mode: int = PRIVATE_FILE) -> int:
    """A descriptor of a file of ours, made with `mode` if `flags` say so; raises `NotPrivate`."""
    file = Path(path)
    try:
        descriptor = os.open(file, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except OSError as exc:
        if exc.errno == errno.ELOOP and file.is_symlink():
            raise NotPrivate(file, "is a symbolic link", LINK_FIX) from exc
        raise
    try:
        _check_file(file, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def check_file(path: str | Path) -> None:
    """Refuse a link, and a file that another user may change; raises `NotPrivate`. None is fine."""
    with contextlib.suppress(FileNotFoundError):
        _check_file(Path(path), os.lstat(path))


def read_private(path: str | Path) -> bytes:
    """What a file of ours holds; raises `NotPrivate`, and `OSError` where there is none."""
    with open(open_private(path, os.O_RDONLY), "rb") as file:
        return file.read()


def write_private(path: str | Path, content: bytes | str, mode: int = PRIVATE_FILE) -> None:
    """Replace a file at once; it has `mode`, whatever the old one had, less the umask."""
    with _draft(Path(path), content, mode) as draft:
        draft.replace(path)


def create_private(path: str | Path, content: bytes | str) -> None:
    """Make a file that is whole and durable as soon as it is there; one that is there stays."""
    draft_of = _draft(Path(path), content, PRIVATE_FILE, is_durable=True)
    with draft_of as draft, contextlib.suppress(FileExistsError):  # the first writer's counts
        os.link(draft, path)


@contextlib.contextmanager
def locked_folder(path: str | Path) -> Iterator[None]:
    """One process and thread at a time, for what is read, changed and written in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _draft(
    file: Path, content: bytes | str, mode: int, *, is_durable: bool = False
) -> Iterator[Path]:
    # A name of its own for each writer: two that write at once must not share a draft.
    draft = file.with_name(f".{file.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    descriptor = open_private(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(descriptor, "wb") as output:
            output.write(content.encode() if isinstance(content, str) else content)
            if is_durable:
                output.flush()
                os.fsync(descriptor)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _walk(path: Path) -> tuple[Path, os.stat_result | None]:
    """Follow `path` name by name; its status is None where it, or a folder above, is missing."""
    here, status = Path("/"), os.lstat("/")
    ahead = list(reversed(path.parts[1:]))
    links = 0
    while ahead:
        if _others_may_write(here, status) and not status.st_mode & stat.S_ISVTX:
            fix = f"chmod go-w {here}, or use a path outside of it"
            raise NotPrivate(path, f"other users may write {here}", fix)
        name = ahead.pop()
        if name == "..":
            here = here.parent
            status = os.lstat(here)
            continue
        entry = here / name
        try:
            found = os.lstat(entry)
        except (FileNotFoundError, NotADirectoryError):
            return path, None
        except PermissionError as exc:
            raise NotPrivate(path, f"{here} cannot be searched", "use another path") from exc
        _check_owner(entry, found, path)
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > MAX_LINKS:
                raise NotPrivate(path, "too many symbolic links", "use another path")
            target = Path(os.readlink(entry))
            ahead.extend(reversed(target.parts[target.is_absolute() :]))
            if target.is_absolute():
                here, status = Path("/"), os.lstat("/")
        else:
            here, status = entry, found
    return here, status


def _entries(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Names in a folder with their status; nothing where it is missing or not ours to read."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    for name in names:
        with contextlib.suppress(FileNotFoundError):  # gone since: a draft, a WAL
            yield folder / name, os.lstat(folder / name)


def _check_entry(entry: Path, status: os.stat_result, folder: Path) -> None:
    _check_owner(entry, status, entry)
    is_content = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    if is_content and _others_may_write(entry, status):
        fix = f"if you trust what is in it: chmod -R go-w {folder}"
        raise NotPrivate(entry, "other users may write it", fix)


def _check_file(file: Path, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise NotPrivate(file, "is a symbolic link", LINK_FIX)
    _check_owner(file, status, file)
    if stat.S_ISREG(status.st_mode) and _others_may_write(file, status):
        raise NotPrivate(file, "other users may write it", f"chmod go-w {file}")


def _check_owner(entry: Path, status: os.stat_result, wanted: Path) -> None:
    if status.st_uid in (os.geteuid(), ROOT_UID):
        return
    owner, ours = _account(status.st_uid), _account(os.geteuid())
    if entry == wanted:
        fix = f"use another path; or, if you trust what is in it: chown -hR {ours} {entry}"
        raise NotPrivate(wanted, f"belongs to {owner}, not to {ours}", fix)
    fix = f"use a path outside of {entry}, or run it as {owner}"
    raise NotPrivate(wanted, f"{entry} belongs to {owner}, not to {ours}", fix)


def _others_may_write(path: Path, status: os.stat_result) -> bool:
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _is_own_group(path, status.st_gid)


def _is_own_group(path: Path, gid: int) -> bool:
    """True when only this user and root are in the group, and no access list adds other users."""
    with contextlib.suppress(OSError):  # a file system without extended attributes
        if "system.posix_acl_access" in os.listxattr(path, follow_symlinks=False):
            return False
    try:
        members = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        members = set()
    accounts = [each for each in pwd.getpwall() if each.pw_gid == gid or each.pw_name in members]
    return all(account.pw_uid in (os.geteuid(), ROOT_UID) for account in accounts)


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
