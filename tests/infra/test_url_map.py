"""The load balancer leads every request to the function that the gateway leads it to.

The planned URL map is evaluated as Google documents it: route rules by priority, the first with a match decides; a
match holds where its path and all its headers do; where no rule holds the path matcher's default service answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from infra import topology
from local.gateway import function_for
from tests.infra.planned import resources

pytestmark = pytest.mark.xdist_group("terraform")

DECLARED = topology.load()
PUBLIC = {name: function for name, function in DECLARED.http_functions().items() if function.public}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.fixture(scope="module")
def url_map(full_plan: dict[str, Any]) -> dict[str, Any]:
    (found,) = [each for each in resources(full_plan, "google_compute_url_map") if each["name"] == "sightline"]
    return found


def led_to(url_map: Mapping[str, Any], method: str, path: str, **headers: str) -> str:
    """The backend's name without its prefix."""
    (matcher,) = url_map["path_matcher"]
    sent = {":method": method, **{name.replace("_", "-"): value for name, value in headers.items()}}
    for rule in sorted(matcher["route_rules"], key=lambda rule: int(rule["priority"])):
        if any(matches(match, path, sent) for match in rule["match_rules"]):
            return _name(rule["service"])
    return _name(matcher["default_service"])


def _name(service: str) -> str:
    return service.rsplit("/", 1)[1].removeprefix("sightline-")


def matches(rule: Mapping[str, Any], path: str, headers: Mapping[str, str]) -> bool:
    return _path_matches(rule, path) and all(_header_matches(header, headers) for header in rule["header_matches"])


def _path_matches(rule: Mapping[str, Any], path: str) -> bool:
    said = [rule[kind] for kind in ("full_path_match", "prefix_match", "path_template_match") if rule.get(kind)]
    assert len(said) == 1, "exactly one of the kinds may be set"
    if rule.get("full_path_match"):
        return bool(path == rule["full_path_match"])
    if rule.get("prefix_match"):
        return path.startswith(rule["prefix_match"])
    template = re.escape(rule["path_template_match"]).replace(r"\*\*", ".*").replace(r"\*", "[^/]+")
    return re.fullmatch(template, path) is not None


def _header_matches(wanted: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    value = headers.get(wanted["header_name"])
    if value is None:
        return False
    if wanted.get("exact_match"):
        return bool(value == wanted["exact_match"])
    return value.startswith(wanted["prefix_match"])


def paths() -> Iterator[str]:
    """A path of each route, above it, below it, and beside it."""
    for function in DECLARED.http_functions().values():
        for route in function.routes:
            path = route.split(" ", 1)[1]
            for filled in ("x", "a/b", "replay", ""):
                yield path.replace("*", filled)
            bare = path.rstrip("*").rstrip("/")
            yield from (bare or "/", f"{bare}/", f"{bare}x", f"{bare}/x/replay", f"{bare}/x/y/replay", f"/{bare}")
    yield from ("/docs", "/openapi.json", "/redoc", "/favicon.ico", "/.env", "//", "/analysis/é")


PATHS = sorted(set(paths()))


def test_the_default_is_the_function_that_answers_at_the_root(url_map: dict[str, Any]) -> None:
    assert led_to(url_map, "GET", "/nothing-here") == function_for(DECLARED, "GET", "/")


@pytest.mark.parametrize("method", METHODS)
def test_requests_are_led_where_the_gateway_leads_them(url_map: dict[str, Any], method: str) -> None:
    default = led_to(url_map, "GET", "/nothing-here")
    for path in PATHS:
        wanted = function_for(DECLARED, "GET" if method == "HEAD" else method, path)
        assert led_to(url_map, method, path) == (wanted or default), (method, path)


@pytest.mark.parametrize("asked", ["GET", "HEAD", "POST", "PUT", "DELETE"])
def test_a_preflight_is_led_where_the_request_will_go(url_map: dict[str, Any], asked: str) -> None:
    for path in PATHS:
        led = led_to(url_map, "OPTIONS", path, access_control_request_method=asked)
        assert led == led_to(url_map, asked, path), (asked, path)


def test_every_public_function_is_reached_and_no_other(url_map: dict[str, Any]) -> None:
    (matcher,) = url_map["path_matcher"]
    assert {_name(rule["service"]) for rule in matcher["route_rules"]} == {*PUBLIC, "dashboard"}


def test_streams_are_not_routed_without_an_image_of_their_service(example_plan: dict[str, Any]) -> None:
    (found,) = [each for each in resources(example_plan, "google_compute_url_map") if each["name"] == "sightline"]
    assert function_for(DECLARED, "GET", "/stream") == "live"
    assert led_to(found, "GET", "/stream") == function_for(DECLARED, "GET", "/")


def test_no_two_functions_claim_one_request() -> None:
    """Their order in pipeline.yaml would decide, which the URL map does not know."""
    for path in PATHS:
        for method in METHODS:
            alone = {
                name
                for name, function in PUBLIC.items()
                if function_for(DECLARED.model_copy(update={"functions": {name: function}}), method, path)
            }
            assert len(alone) < 2, (method, path, alone)


def test_a_browser_gets_the_page_and_everybody_else_the_answer(url_map: dict[str, Any]) -> None:
    root = function_for(DECLARED, "GET", "/")
    assert led_to(url_map, "GET", "/", accept=BROWSER) == "dashboard"
    assert led_to(url_map, "HEAD", "/", accept=BROWSER) == "dashboard"
    assert led_to(url_map, "GET", "/", accept="application/json") == root
    assert led_to(url_map, "POST", "/", accept=BROWSER) == root
    assert led_to(url_map, "GET", "/incidents", accept=BROWSER) == "incidents"
    assert led_to(url_map, "GET", "/dashboard/app.js") == "dashboard"


def test_the_url_map_keeps_within_googles_limits(url_map: dict[str, Any]) -> None:
    """A map of at most 1 MB, priorities that differ, headers and paths each said in one way."""
    (matcher,) = url_map["path_matcher"]
    priorities = [rule["priority"] for rule in matcher["route_rules"]]
    assert len(set(priorities)) == len(priorities) <= 200
    assert len(json.dumps(url_map)) < 1_000_000
    predicates = sum(
        1 + len(match["header_matches"]) for rule in matcher["route_rules"] for match in rule["match_rules"]
    )
    assert predicates < 1000


def test_files_are_said_to_come_on_the_routes_that_take_them() -> None:
    """The firewall reads the bodies of all others, and would take a picture for an attack."""
    declared = {(name, route) for name, function in PUBLIC.items() for route in function.file_routes}
    taking = {(function_for(DECLARED, *route.split(" ")), route) for route in file_routes()}
    assert declared == taking


def file_routes() -> Iterator[str]:
    """The routes of the code with a limit of their own to what their bodies may hold."""
    for module in sorted((topology.ROOT / "shared" / "web").glob("*.py")):
        text = module.read_text()
        prefix = re.search(r'APIRouter\(prefix="([^"]+)"', text)
        for method, path in re.findall(r'@routes\.(\w+)\("([^"]*)", max_body_size=', text):
            yield f"{method.upper()} {prefix.group(1) if prefix else ''}{path}"


@pytest.fixture(scope="module")
def policy(full_plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The firewall's rules in their order."""
    (found,) = [each for each in resources(full_plan, "google_compute_security_policy") if each["name"] == "sightline"]
    return sorted(found["rule"], key=lambda rule: int(rule["priority"]))


def test_refusals_come_before_rates_and_rates_before_the_default(policy: list[dict[str, Any]]) -> None:
    actions = [rule["action"] for rule in policy]
    assert actions == sorted(actions, key=["deny(403)", "throttle", "allow"].index)
    assert actions.count("throttle") >= 2
    assert actions[-1] == "allow"


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_route_is_limited_to_the_rate_of_its_function(policy: list[dict[str, Any]], name: str) -> None:
    for route in PUBLIC[name].routes:
        path = route.split(" ")[1].replace("*", "x")
        (first, *_) = [rule for rule in policy if rule["action"] == "throttle" and _concerns(rule, path)]
        (options,) = first["rate_limit_options"]
        (threshold,) = options["rate_limit_threshold"]
        assert (threshold["count"], threshold["interval_sec"]) == (PUBLIC[name].requests_per_minute, 60)
        assert (options["exceed_action"], options["enforce_on_key"]) == ("deny(429)", "IP")


@pytest.mark.parametrize("path", sorted({path for path in PATHS if path.isascii()}))
def test_bodies_with_files_are_not_taken_for_attacks(policy: list[dict[str, Any]], path: str) -> None:
    sets = [rule for rule in policy if "evaluatePreconfiguredWaf" in str(rule["match"])]
    takes_files = any(
        function_for(DECLARED, "POST", path) == name and f"POST {path}" in function.file_routes
        for name, function in PUBLIC.items()
    )
    assert len(sets) == 7
    assert len([rule for rule in sets if _concerns(rule, path)]) == (1 if takes_files else 7)


def _concerns(rule: Mapping[str, Any], path: str) -> bool:
    """What its expression says of paths; of addresses and bodies nothing is asked."""
    (match,) = rule["match"]
    if not match["expr"]:
        return True
    found = re.search(r"(!?)request\.path\.matches\('([^']*)'\)", match["expr"][0]["expression"])
    return found is None or (re.search(found[2], path) is None) == (found[1] == "!")
