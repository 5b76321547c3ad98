"""`s3`: bucket, credentials, encryption, and a proxy that may be a store."""

from spoolsink.connect_import.draft import Draft, size
from spoolsink.connect_import.records import simple_name
from spoolsink.connect_import.settings import Settings, is_reference

_DEFAULT_REGION = "us-west-2"
_DEFAULT_PART_BYTES = 26_214_400
_ROLE = "s3.credentials.provider.sts.role"
_DEFAULT_CHAINS = {"DefaultAWSCredentialsProviderChain", "DefaultCredentialsProvider"}
_TAGS = 10
"""Of an object, at most: S3's own limit."""
_STORE_PORTS = {4566, 4572, 9000, 9090, 8333, 7480, 7070, 3900}
"""LocalStack (now and before), MinIO, S3Mock, SeaweedFS, Ceph, versitygw, Garage."""
_STORE_NAMES = ("localstack", "minio", "s3", "ceph", "seaweed", "garage", "moto")


def carry_store(settings: Settings, draft: Draft) -> None:
    """Wrong values end up in `settings.problems`."""
    bucket = settings.text("s3.bucket.name")
    if bucket is None:
        settings.problems.append("s3.bucket.name: required")
    draft.set("s3.bucket", bucket)
    draft.set("s3.region", settings.text("s3.region") or _DEFAULT_REGION)
    url = settings.text("store.url")
    if url is not None:
        known = "://" in url or is_reference(url)
        draft.set("s3.endpoint_url", _without_user(url if known else f"https://{url}"))
    is_virtual = settings.flag("s3.path.style.access.enabled") is False
    draft.set("s3.addressing_style", "virtual" if is_virtual else "path")
    _credentials(settings, draft)
    _proxy(settings, draft)
    draft.set("s3.part_size", size(settings.number("s3.part.size") or _DEFAULT_PART_BYTES))
    draft.set_known("s3.acl", settings.text("s3.acl.canned"))
    _encryption(settings, draft)
    _tags(settings, draft)
    if settings.flag("enable.conditional.writes") is False:
        text = "not carried over: the names of Connect need conditional writes"
        draft.note("s3", "enable.conditional.writes", text)


def _credentials(settings: Settings, draft: Draft) -> None:
    draft.secret("s3.access_key_id", settings, "aws.access.key.id")
    draft.secret("s3.secret_access_key", settings, "aws.secret.access.key")
    option = "s3.credentials.provider.class"
    java_class = settings.text(option)
    name = simple_name(java_class or "")
    if name == "AwsAssumeRoleCredentialsProvider":
        draft.set("s3.assume_role.role_arn", settings.text(f"{_ROLE}.arn"))
        draft.set_known("s3.assume_role.external_id", settings.text(f"{_ROLE}.external.id"))
        draft.set_known("s3.assume_role.session_name", settings.text(f"{_ROLE}.session.name"))
    elif java_class is not None and name not in _DEFAULT_CHAINS:
        draft.note("s3", option, f"{java_class} is not carried over: the default AWS chain is used")


def _proxy(settings: Settings, draft: Draft) -> None:
    url = settings.text("s3.proxy.url")
    user, password = settings.text("s3.proxy.user"), settings.text("s3.proxy.password")
    if url is None:
        return
    if is_reference(url):
        draft.set("s3.proxy_url", url)
        return
    found = settings.split_url("s3.proxy.url", url if "://" in url else f"http://{url}")
    if found is None:
        return
    if _looks_like_store(found.hostname or "", _port(found.netloc)):
        shown = _without_user(f"{found.scheme}://{found.netloc}")
        if "s3.endpoint_url" not in draft.values:
            draft.set("s3.endpoint_url", shown)
        text = f"{shown} looks like a store, so it is the endpoint_url; a proxy is proxy_url"
        draft.note("s3", "s3.proxy.url", text)
        return
    user, password = user or found.username, password or found.password
    netloc = found.netloc.rpartition("@")[2]
    if user is None:
        draft.set("s3.proxy_url", f"{found.scheme}://{netloc}")
        return
    draft.set("s3.proxy_url", f"{found.scheme}://{user}:${{S3_PROXY_PASSWORD}}@{netloc}")
    if password is not None:
        text = "not copied; set S3_PROXY_PASSWORD in the environment (as in a URL: %40 for @)"
        draft.note("s3", "s3.proxy.password", text)


def _without_user(url: str) -> str:
    """Neither a store nor a comment has use for `user:password@`."""
    scheme, mark, rest = url.partition("://")
    netloc, slash, path = rest.partition("/")
    return f"{scheme}{mark}{netloc.rpartition('@')[2]}{slash}{path}"


def _port(netloc: str) -> int:
    digits = netloc.rpartition(":")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def _looks_like_store(host: str, port: int) -> bool:
    labels = host.lower().replace("-", ".").split(".")
    is_named = any(label.startswith(_STORE_NAMES) for label in labels)
    return port in _STORE_PORTS or (is_named and "proxy" not in host.lower())


def _encryption(settings: Settings, draft: Draft) -> None:
    sse, key = settings.text("s3.ssea.name"), settings.text("s3.sse.kms.key.id")
    if sse == "aws:kms" and key is None:
        draft.note("s3", "s3.ssea.name", "Connect sends no aws:kms without a key: left out")
    elif sse in {"AES256", "aws:kms"}:
        draft.set("s3.sse", sse)
        if sse == "aws:kms":
            draft.set("s3.sse_kms_key_id", key)
    elif sse is not None:
        draft.note("s3", "s3.ssea.name", f"{sse} is not carried over: AES256 or aws:kms")
    if key is not None and sse != "aws:kms":
        draft.note("s3", "s3.sse.kms.key.id", "without effect: s3.ssea.name is not aws:kms")


def _tags(settings: Settings, draft: Draft) -> None:
    pairs = settings.words("s3.object.tagging.key.value.pairs")
    is_tagged = settings.flag("s3.object.tagging")
    if is_tagged:
        text = "startOffset, endOffset and recordCount stand in the metadata of each object"
        draft.note("s3", "s3.object.tagging", text)
    if pairs and is_tagged:
        tags = {k: v for k, _, v in (pair.partition(":") for pair in pairs)}
        left_out = [*tags][_TAGS:]
        draft.set("s3.tags", {name: tags[name] for name in tags if name not in left_out})
        if left_out:
            text = f"S3 takes {_TAGS} tags of an object; left out: {', '.join(left_out)}"
            draft.note("s3", "s3.object.tagging.key.value.pairs", text)
    elif pairs:
        text = "without effect in Connect: s3.object.tagging is false"
        draft.note("s3", "s3.object.tagging.key.value.pairs", text)
