"""S3 over TLS through a proxy: a tunnel, whose two ends check and log in as configured."""

import base64
import ssl
from pathlib import Path

import pytest

from spoolsink.errors import ObjectStoreError, OperatorStoreError
from tests.contract.connect_proxy import ConnectProxy
from tests.contract.recording_s3 import RecordingS3, put, upload
from tests.contract.small_s3 import store_of
from tests.servers.certificates import Authority

LOGIN = "sink:a%2Fsecret"
AUTHORIZATION = "Basic " + base64.b64encode(b"sink:a/secret").decode()


def context_of(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("server"))
    return context


async def test_https_goes_through_a_tunnel_and_the_far_end_is_checked(tmp_path: Path) -> None:
    authority, server = Authority(tmp_path), RecordingS3()
    other = Authority(tmp_path, "other")
    async with ConnectProxy().serving() as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        context = context_of(authority)
        changes = {"proxy_url": address, "ca_file": str(authority.file)}
        async with store_of(server.answer, changes=changes, ssl_context=context) as store:
            await put(store, "small")
            await upload(store, "large")
        assert {path.rpartition("/")[2] for path in server.objects} == {"small", "large"}
        # One tunnel for all of it, to the host and port of the endpoint.
        assert [head[0].split(" ")[0] for head in proxy.asked] == ["CONNECT"]
        changes["ca_file"] = str(other.file)
        async with store_of(server.answer, changes=changes, ssl_context=context) as store:
            with pytest.raises(OperatorStoreError, match="certificate verify failed"):
                await put(store)


async def test_a_proxy_that_wants_a_log_in_gets_the_one_of_its_url(tmp_path: Path) -> None:
    authority, server = Authority(tmp_path), RecordingS3()
    changes = {"ca_file": str(authority.file)}
    async with ConnectProxy(AUTHORIZATION).serving() as proxy:
        address = f"127.0.0.1:{proxy.port}"
        context = context_of(authority)
        told = changes | {"proxy_url": f"http://{LOGIN}@{address}"}
        async with store_of(server.answer, changes=told, ssl_context=context) as store:
            await put(store)
        assert len(server.objects) == 1
        told = changes | {"proxy_url": f"http://sink:wrong-password@{address}"}
        async with store_of(server.answer, changes=told, ssl_context=context) as store:
            with pytest.raises(OperatorStoreError, match="it answers 407") as refusal:
                await put(store)
    assert "wrong-password" not in str(refusal.value)


async def test_a_proxy_that_is_away_is_named_and_not_the_store(tmp_path: Path) -> None:
    authority, server = Authority(tmp_path), RecordingS3()
    proxy = ConnectProxy()
    changes = {"ca_file": str(authority.file), "proxy_url": f"http://127.0.0.1:{proxy.port}"}
    async with store_of(server.answer, changes=changes, ssl_context=context_of(authority)) as store:
        with pytest.raises(ObjectStoreError, match=f"(?i)prox.*{proxy.port}"):
            await put(store)
