"""What `make_converter` refuses, and that nothing heavy is imported before it is wanted."""

import subprocess
import sys

import pytest

from spoolsink import converters
from spoolsink.converters import make_converter
from spoolsink.converters.avro import AvroConverter
from spoolsink.converters.protobuf import ProtobufConverter
from tests.unit.schema_registries import DictRegistry


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("avro", {"schema_fil": "x"}, "unknown option 'schema_fil'; did you mean 'schema_file'"),
        ("avro", {"schema_file": 5}, "avro: schema_file must be text, not int"),
        ("avro", {"schema_file": "x", "framed": "yes"}, "framed must be true or false, not str"),
        ("avro", {"schema_file": "absent.avsc"}, "schema_file absent.avsc: No such file"),
        ("avro", {}, "avro needs schema_file, or records.schema_registry.url"),
        ("protobuf", {}, "protobuf needs descriptor_file and message, or records.schema_registry"),
        ("protobuf", {"message": "M"}, "descriptor_file and message go together"),
        ("protobuf", {"descriptor_file": "x"}, "descriptor_file and message go together"),
        ("cbor", {"a": 1}, "cbor: unknown option 'a'; it has no options"),
        ("msgpack", {"a": 1}, "msgpack: unknown option 'a'"),
        ("string", {"a": 1}, "string: unknown option 'a'"),
        ("json", {"schema_enable": True}, "did you mean 'schemas_enable'"),
        ("json", {"schemas_enable": "true"}, "schemas_enable must be true or false"),
        ("nonsense", {}, "unknown converter 'nonsense'"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_converter(name, options)


@pytest.mark.parametrize("name", ["avro", "protobuf"])
def test_what_is_not_framed_cannot_name_its_schema(name: str) -> None:
    with pytest.raises(ValueError, match=r"what is not framed needs"):
        make_converter(name, {"framed": False}, DictRegistry({}))


def test_the_registry_is_used_where_no_file_is_named() -> None:
    assert type(make_converter("avro", {}, DictRegistry({}))) is AvroConverter
    assert type(make_converter("protobuf", {}, DictRegistry({}))) is ProtobufConverter


@pytest.mark.parametrize("name", ["avro", "protobuf", "cbor"])
def test_a_missing_extra_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converters, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=rf"needs: pip install 'spoolsink\[{name}\]'"):
        make_converter(name, {})


def test_an_extra_whose_parent_package_is_missing_is_named_too() -> None:
    with pytest.raises(ValueError, match=r"pip install 'spoolsink\[x\]'"):
        converters._need("x", ("absent_package.inner",))


def test_heavy_libraries_are_not_imported_for_json() -> None:
    code = (
        "import sys; from spoolsink.converters import make_converter; make_converter('json', {});"
        "print({'fastavro', 'google.protobuf', 'cbor2', 'aiohttp'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
