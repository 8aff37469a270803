"""A gate without a registry: one system, only its own addresses, and somebody's word for public ones."""

import pytest

from seccheck.adhoc import registry_for
from seccheck.errors import InputError
from seccheck.permission import permission_for
from seccheck.registry import scope_of


def test_it_may_touch_its_own_addresses_alone():
    registry, names = registry_for(["https://10.1.2.3:8443", "https://127.0.0.1:9443"], 3, [], "")
    assert names == {}
    scope = scope_of(registry)
    assert permission_for(scope, "10.1.2.3")
    assert permission_for(scope, "127.0.0.1")
    assert permission_for(scope, "10.1.2.4") is None
    assert permission_for(scope, "8.8.8.8") is None


@pytest.mark.parametrize(
    "url", ["https://8.8.8.8/", "https://[2606:4700::1111]/", "https://64.64.64.64:8443"]
)
def test_a_public_address_needs_somebodys_word(url):
    with pytest.raises(InputError, match="is a public address"):
        registry_for(["https://127.0.0.1/", url], 3, [], "")
    registry, _ = registry_for([url], 3, [], "decision 12 of the owner")
    assert registry.authorisation.approved_by == "decision 12 of the owner"
    assert registry.systems[0].tags == ()


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1", "https://[fd00::1]", "https://192.168.1.1", "https://100.64.0.1"]
)
def test_a_private_address_needs_none_and_is_staging(url):
    (system,) = registry_for([url], 3, [], "")[0].systems
    assert system.targets
    assert system.tags == ("staging",)


def test_a_name_stands_for_what_it_resolves_to():
    registry, names = registry_for(["https://localhost:8443"], 2, [], "")
    assert "127.0.0.1" in names["localhost"].addresses
    assert registry.systems[0].level == 2


def test_a_name_that_resolves_to_nothing_is_left_to_the_scan():
    registry, names = registry_for(["https://nowhere.invalid:8443"], 3, [], "")
    assert names["nowhere.invalid"].addresses == ()
    assert permission_for(scope_of(registry), "10.0.0.1") is None


@pytest.mark.parametrize(
    ("urls", "message"),
    [
        (["htps://127.0.0.1"], "https"),
        (["https://127.0.0.1:99999"], "99999"),
        (["https://127.0.0.1", "https://127.0.0.1"], "once"),
        ([""], "--target"),
    ],
)
def test_a_mistaken_url_is_told_as_any_mistake(urls, message):
    with pytest.raises(InputError, match="--target") as caught:
        registry_for(urls, 3, [], "")
    assert message in str(caught.value)
