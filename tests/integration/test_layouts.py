"""Where records come to lie: templates of every kind, on the real command line."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from tests.integration.harness import Bench, all_of
from tests.integration.oracle import Expected, Oracle, places_of
from tests.integration.producing import documents, produce

MISSING = "__HIVE_DEFAULT_PARTITION__"


def local(record: Any, zone: str = "UTC") -> datetime:
    return datetime.fromtimestamp(record.timestamp / 1000, ZoneInfo(zone))


def by_country_and_hour(record: Any) -> str:
    country = json.loads(record.value)["user"]["country"]
    shown = {None: MISSING, "a b/c=d": "a b%2Fc%3Dd"}.get(country, country)
    return f"country={shown}/{local(record):dt=%Y-%m-%d/hour=%H}"


def by_key_and_header(record: Any) -> str:
    kind = dict(record.headers)["kind"].decode()
    return f"k={json.loads(record.key)['k']}/kind={kind}/{{fixed}}"


def by_list_item_and_bucket(record: Any) -> str:
    fields = json.loads(record.value)
    at = local(record, "Asia/Kolkata")
    shown = at.replace(minute=at.minute // 20 * 20)
    return f"item={fields['items'][0]['id']}/price={fields['price']}/{shown:%j-%H%M}"


LAYOUTS: dict[str, tuple[dict[str, Any], Callable[[Any], str]]] = {
    "a nested field and the record's time": (
        {"partition": "country={value.user.country}/dt={time:%Y-%m-%d}/hour={time:%H}"},
        by_country_and_hour,
    ),
    "a field of the key, the last of repeated headers, literal braces": (
        {"partition": "k={key.k}/kind={header.kind}/{{fixed}}"},
        by_key_and_header,
    ),
    "a list item, a fraction, and buckets on another clock": (
        {
            "partition": "item={value.items.0.id}/price={value.price}/{time:%j-%H%M}",
            "time_bucket": "20m",
            "timezone": "Asia/Kolkata",
        },
        by_list_item_and_bucket,
    ),
    "nothing at all": ({"partition": ""}, lambda _: ""),
}


async def test_the_defaults_put_each_kafka_partition_into_its_directory(bench: Bench) -> None:
    topic = await bench.topic(partitions=2)
    await produce(bench.kafka.bootstrap_servers, topic, documents(200, partitions=2))
    objects = await Oracle(bench).run(bench.sink({"rotate": {"records": 40}}), 200)
    assert len(objects) == 6
    assert objects[0].key == f"topics/{topic}/partition=0/{topic}+0+0000000000+0000000039.json"


async def test_a_template_of_any_kind_places_every_record(bench: Bench) -> None:
    async def scenario(layout: dict[str, Any], place: Callable[[Any], str]) -> None:
        own = bench.sibling()
        await produce(bench.kafka.bootstrap_servers, await own.topic(), documents(120))
        sink = own.sink({"records": {"key": "json"}, "layout": layout, "rotate": {"records": 50}})
        objects = await Oracle(own, Expected(place)).run(sink, 120)
        assert len({o.number("cut") for o in objects}) == 3

    await all_of(**{name: scenario(*layout) for name, layout in LAYOUTS.items()})


async def test_keys_may_lie_anywhere_and_times_come_from_a_field(bench: Bench) -> None:
    """No prefix, no topic directory; a field of seconds as the clock."""
    topic = await bench.topic()
    await produce(bench.kafka.bootstrap_servers, topic, documents(30))
    layout = {
        "prefix": "",
        "topic_directory": False,
        "partition": "at={time:%S}",
        "time": "value.n",
        "time_unit": "s",
    }
    expected = Expected(lambda r: f"at={json.loads(r.value)['n']:02}", prefix="")
    objects = await Oracle(bench, expected).run(bench.sink({"layout": layout}), 30)
    assert len(objects) == 30


async def test_wallclock_directories_name_the_moment_of_their_cut(bench: Bench) -> None:
    """The present moment's directory changes each second, and ends the cut that stands in it."""
    topic = await bench.topic()
    sink = bench.sink({"layout": {"time": "wallclock", "partition": "at={time:%Y-%m-%dT%H-%M-%S}"}})
    sink.start()
    before = datetime.now(UTC).replace(microsecond=0)
    for number in range(3):
        await produce(bench.kafka.bootstrap_servers, topic, documents(5, start=number * 5))
        await sink.until_metric("cuts_total", number + 1, reason="wallclock")
    oracle = Oracle(bench)
    await oracle.until_committed(sink)
    await sink.stopped()
    objects = oracle.objects()
    await Oracle(bench, Expected(places_of(objects, f"topics/{topic}"))).verify()
    directories = {o.first: o.parts["directory"].rpartition("at=")[2] for o in objects}
    moments = [
        datetime.strptime(directories[first], "%Y-%m-%dT%H-%M-%S").replace(tzinfo=UTC)
        for first in sorted(directories)
    ]
    assert len(moments) >= 3
    assert before <= moments[0]
    assert moments == sorted(set(moments))
    assert moments[-1] <= datetime.now(UTC)


async def test_escaped_values_are_read_back_as_they_were(bench: Bench) -> None:
    """What is escaped in a directory is read back as it was."""
    topic = await bench.topic()
    await produce(bench.kafka.bootstrap_servers, topic, documents(8))
    oracle = Oracle(bench, Expected(lambda r: by_country_and_hour(r).partition("/")[0]))
    await oracle.run(bench.sink({"layout": {"partition": "country={value.user.country}"}}), 8)
    names = {unquote(key.split("/")[2].partition("=")[2]) for key in oracle.object_keys()}
    assert names == {"de", "fr", "a b/c=d", MISSING}
