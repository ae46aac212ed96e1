"""What every Directory promises: who a device belongs to, unknown is absent, away is said."""

import pytest

from qold.adapters.directory.http import HttpDirectory
from qold.adapters.directory.sqlite import SqliteDirectory
from qold.ports import Contact, Rejected, Unavailable
from tests.support.services import away, impatient, patient

OWNER = Contact("Frigorífico 3", "Ana", "+351911111111", "pt")
STAFF = Contact("", "Qold", "+351922222222", "en")
BLANK = Contact()


class Embedded:
    def __init__(self, tmp_path):
        self.directory = SqliteDirectory(tmp_path / "directory.db")

    def know(self, contacts, staff=None):
        for device_id, contact in contacts.items():
            self.directory.put(device_id, contact)
        if staff:
            self.directory.put_staff(staff)


class QoldApp:
    def __init__(self, stand_in):
        self.stand_in = stand_in
        self.directory = HttpDirectory(patient(stand_in))

    def know(self, contacts, staff=None):
        self.stand_in.handed.contacts.update(contacts)
        self.stand_in.handed.staff = staff


@pytest.fixture(params=["sqlite", "http"])
def site(request, tmp_path, stand_in):
    site = Embedded(tmp_path) if request.param == "sqlite" else QoldApp(stand_in)
    yield site
    site.directory.close()


def test_known_devices_are_found_and_unknown_ones_absent(site):
    site.know({7: OWNER, 8: BLANK})
    assert site.directory.look_up([7, 8, 9]) == {7: OWNER, 8: BLANK}
    assert site.directory.look_up([]) == {}


def test_the_latest_contact_counts(site):
    site.know({7: OWNER})
    assert site.directory.look_up([7]) == {7: OWNER}
    site.know({7: STAFF})
    assert site.directory.look_up({7}) == {7: STAFF}


def test_staff_may_be_nobody(site):
    assert site.directory.staff() is None
    site.know({}, STAFF)
    assert site.directory.staff() == STAFF


def test_it_answers_and_opens_again_after_closing(site):
    site.know({7: OWNER})
    site.directory.ping()
    site.directory.close()
    assert site.directory.look_up([7]) == {7: OWNER}


@pytest.fixture
def book(tmp_path):
    book = SqliteDirectory(tmp_path / "directory.db")
    yield book
    book.close()


def test_many_devices_are_looked_up_at_once(book):
    for device_id in range(1, 1202, 3):
        book.put(device_id, OWNER)
    assert set(book.look_up(range(1, 1202))) == set(range(1, 1202, 3))


def test_contacts_are_listed_in_pages_without_the_staff(book):
    book.put_staff(STAFF)
    for device_id in (30, 2, 11):
        book.put(device_id, OWNER)
    assert book.list() == [(2, OWNER), (11, OWNER), (30, OWNER)]
    assert book.list(after_id=2, limit=1) == [(11, OWNER)]


def test_contacts_outlive_the_process(book, tmp_path):
    book.put(7, OWNER)
    book.put_staff(STAFF)
    again = SqliteDirectory(tmp_path / "directory.db")
    assert (again.look_up([7]), again.staff()) == ({7: OWNER}, STAFF)
    again.close()


@pytest.mark.parametrize(
    "phone",
    [
        "351911111111", "+", "+123456", "+1234567890123456", "+0351911111", "00351911111111",
        "+351 911 111 111", "+351-911", "+35191111111a", "+٣٥١٩١١١١١١", "+351911111111\n",
        " +351911111111", "tel:+351911111111", "+351911111111;DROP TABLE contacts",
    ],
)  # fmt: skip
def test_a_phone_that_is_not_one_is_refused_with_the_way_to_write_it(book, phone):
    with pytest.raises(Rejected, match=r"\+ and 7 to 15 digits such as \+351912345678"):
        book.put(7, Contact("Fridge", "Ana", phone))
    with pytest.raises(Rejected, match="phone"):
        book.put_staff(Contact("", "Qold", phone))
    assert (book.look_up([7]), book.staff()) == ({}, None)


@pytest.mark.parametrize("phone", ["+1234567", "+123456789012345", "+351912345678"])
def test_the_shortest_and_the_longest_phone_are_kept(book, phone):
    book.put(7, Contact(phone=phone))
    assert book.look_up([7])[7].phone == phone


@pytest.mark.parametrize(
    ("contact", "named"),
    [
        (Contact(name="two\nlines"), "name"),
        (Contact(name="x" * 101), "name"),
        (Contact(owner="bell\a"), "owner"),
        (Contact(locale=""), "locale"),
        (Contact(locale="../en"), "locale"),
        (Contact(locale="Portuguese"), "locale"),
    ],
)
def test_what_cannot_stand_in_a_text_is_refused_by_name(book, contact, named):
    with pytest.raises(Rejected, match=named):
        book.put(7, contact)


def test_ids_count_from_one_and_the_staff_need_a_phone(book):
    with pytest.raises(Rejected, match="device_id"):
        book.put(0, OWNER)
    with pytest.raises(Rejected, match="phone"):
        book.put_staff(Contact("", "Qold", ""))


@pytest.mark.parametrize(("way", "how"), away())
def test_a_qold_app_that_is_away_is_unavailable(stand_in, way, how):
    stand_in.handed.contacts[7] = OWNER
    stand_in.handed.staff = STAFF
    directory = HttpDirectory(impatient(stand_in))
    stand_in.behave("qold-app", way, **how)
    with pytest.raises(Unavailable):
        directory.look_up([7])
    with pytest.raises(Unavailable):
        directory.staff()
    stand_in.behave("qold-app", "well")
    assert HttpDirectory(patient(stand_in)).look_up([7]) == {7: OWNER}


@pytest.mark.parametrize("status", [400, 401, 403, 410, 422])
def test_only_404_means_unknown(stand_in, status):
    stand_in.behave("qold-app", "status", status=status)
    with pytest.raises(Unavailable):
        HttpDirectory(patient(stand_in)).look_up([7])


def test_a_closed_port_is_unavailable_until_it_opens(stand_in):
    stand_in.handed.contacts[7] = OWNER
    directory = HttpDirectory(patient(stand_in))
    assert directory.look_up([7]) == {7: OWNER}
    stand_in.stop()
    for call in (directory.staff, directory.ping, lambda: directory.look_up([7])):
        with pytest.raises(Unavailable):
            call()
    stand_in.start()
    assert directory.look_up([7]) == {7: OWNER}


def test_a_slow_qold_app_is_waited_for(stand_in):
    stand_in.handed.contacts.update({7: OWNER, 8: OWNER})
    stand_in.behave("qold-app", "slow")
    assert HttpDirectory(patient(stand_in)).look_up([7, 8]) == {7: OWNER, 8: OWNER}


def test_many_slow_answers_do_not_add_up_beyond_one_call(stand_in):
    stand_in.behave("qold-app", "slow", seconds=0.1)
    with pytest.raises(Unavailable):
        HttpDirectory(impatient(stand_in, connect_s=0.2)).look_up(range(1, 10_000))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("phone", "911 111 111"), ("phone", 351911111111), ("name", "two\nlines"), ("owner", ["Ana"]),
        ("locale", "../../en"), ("phone", None), ("locale", ""),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_used_is_blank_and_the_rest_counts(stand_in, field, value):
    names = ("name", "owner", "phone", "locale")
    given = {name: getattr(OWNER, name) for name in names} | {field: value}
    stand_in.handed.contacts[7] = Contact(**given)
    expected = {name: getattr(OWNER, name) for name in names if name != field}
    assert HttpDirectory(patient(stand_in)).look_up([7]) == {7: Contact(**expected)}


@pytest.mark.parametrize("content", ["[]", "null", "7", '"Ana"', "{", "", "[" * 100_000, "\xff"])
def test_what_is_not_a_json_object_is_unavailable(stand_in, content):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n"
    stand_in.behave("qold-app", "garbage", content=head + content)
    with pytest.raises(Unavailable):
        HttpDirectory(patient(stand_in)).look_up([7])
