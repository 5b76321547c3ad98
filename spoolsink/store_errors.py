"""What an S3 error means for us: tables, with the reason beside each entry.

A code or a kind that is in no table is held and tried again, never dropped.
"""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    InvalidProxiesConfigError,
    LoginError,
    NoAuthTokenError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    SSLError,
    SSOError,
    TokenRetrievalError,
    ValidationError,
)
from botocore.parsers import ResponseParserError

from spoolsink.errors import (
    ObjectConflictError,
    ObjectStoreError,
    OperatorStoreError,
    RetryableStoreError,
    UploadGoneError,
)

_MEANINGS: dict[str, type[ObjectStoreError]] = {
    # The conditional write found the key taken, perhaps by our own attempt whose reply was lost.
    "PreconditionFailed": ObjectConflictError,
    "412": ObjectConflictError,
    # Aborted by a life-cycle rule, or completed by an attempt whose reply was lost.
    "NoSuchUpload": UploadGoneError,
    # Another write on the key is under way: the same call again, later.
    "ConditionalRequestConflict": RetryableStoreError,
    "OperationAborted": RetryableStoreError,
    "SlowDown": RetryableStoreError,
    "ServiceUnavailable": RetryableStoreError,
    "InternalError": RetryableStoreError,
    "RequestTimeout": RetryableStoreError,
    # Somebody must make the bucket, grant the right or mend the key; until then nothing is lost.
    "NoSuchBucket": OperatorStoreError,
    "AccessDenied": OperatorStoreError,
    "AllAccessDisabled": OperatorStoreError,
    "AccountProblem": OperatorStoreError,
    "NotSignedUp": OperatorStoreError,
    "InvalidAccessKeyId": OperatorStoreError,
    "SignatureDoesNotMatch": OperatorStoreError,
    "XAdminUserNotFound": OperatorStoreError,
    "ExpiredToken": OperatorStoreError,
    "InvalidToken": OperatorStoreError,
    "TokenRefreshRequired": OperatorStoreError,
    "403": OperatorStoreError,
    # The bucket is in another region, or the region is written wrong.
    "PermanentRedirect": OperatorStoreError,
    "IllegalLocationConstraintException": OperatorStoreError,
    "AuthorizationHeaderMalformed": OperatorStoreError,
    "301": OperatorStoreError,
    # The configuration says what this store does not take.
    "InvalidBucketName": OperatorStoreError,
    "InvalidStorageClass": OperatorStoreError,
    "InvalidTag": OperatorStoreError,
    "InvalidEncryptionAlgorithmError": OperatorStoreError,
    "AccessControlListNotSupported": OperatorStoreError,
    "EntityTooLarge": OperatorStoreError,
    # The store has no room left.
    "QuotaExceeded": OperatorStoreError,
    "XMinioStorageFull": OperatorStoreError,
    # The host's clock is off by more than S3 tolerates (15 minutes).
    "RequestTimeTooSkewed": OperatorStoreError,
}

_OPERATOR_KINDS: tuple[type[Exception], ...] = (
    # No key, half a key, a profile that is not there, a login that ran out.
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    ProfileNotFound,
    ConfigNotFound,
    ConfigParseError,
    NoAuthTokenError,
    TokenRetrievalError,
    SSOError,
    LoginError,
    NoRegionError,
    # A certificate that is not trusted, has run out or is for another host.
    SSLError,
    InvalidProxiesConfigError,
    # A value that the library refuses to send; it names the parameter.
    ParamValidationError,
    ValidationError,
)

_PROXY_REFUSALS = frozenset({401, 403, 407})

_OF_ONE_UPLOAD = frozenset({"UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload"})


def classified(error: Exception, operation: str, bucket: str, key: str) -> ObjectStoreError:
    """Ours for theirs; what is no answer and no failure of S3 is raised as it is (a bug)."""
    if isinstance(error, ClientError):
        return _answered(error, operation, bucket, key)
    kind = type(error).__name__
    if isinstance(error, _OPERATOR_KINDS) or _is_missing_file(error):
        return OperatorStoreError(operation, kind, str(error), bucket, key)
    if isinstance(error, ProxyConnectionError) and _proxy_status(error) in _PROXY_REFUSALS:
        # It answers, and does not let us through.
        return OperatorStoreError(operation, kind, f"{error}{_reason(error)}", bucket, key)
    if isinstance(error, TimeoutError):
        return RetryableStoreError(operation, "Deadline", "no answer in time", bucket, key)
    if isinstance(error, ResponseParserError):
        return RetryableStoreError(operation, "OddAnswer", "not what S3 says", bucket, key)
    if isinstance(error, BotoCoreError | OSError):
        # Connections refused, reset, timed out, through a proxy or not.
        return RetryableStoreError(operation, kind, f"{error}{_reason(error)}", bucket, key)
    raise error


def _answered(error: ClientError, operation: str, bucket: str, key: str) -> ObjectStoreError:
    told = error.response.get("Error", {})
    code = str(told.get("Code", "")) or "Unknown"
    meaning = _MEANINGS.get(code, RetryableStoreError)
    if code.startswith("KMS."):
        # The key of the bucket's encryption: disabled, deleted, refused.
        meaning = OperatorStoreError
    elif code == "404" and operation != "HeadObject":
        # Without a body: HEAD must decide of an upload; elsewhere only the bucket can be missing.
        meaning = UploadGoneError if operation in _OF_ONE_UPLOAD else OperatorStoreError
    return meaning(operation, code, str(told.get("Message", "")), bucket, key)


def _reason(error: Exception) -> str:
    """Refused, no such host, the proxy's answer: the library keeps it apart from its message."""
    status = _proxy_status(error)
    if status is not None:
        return f" (it answers {status})"
    inner = error.kwargs.get("error") if isinstance(error, EndpointConnectionError) else None
    return f" ({inner})" if inner else ""


def _proxy_status(error: Exception) -> int | None:
    """The HTTP status that a proxy answered to CONNECT; its text may hold a password."""
    inner = error.kwargs.get("error") if isinstance(error, ProxyConnectionError) else None
    return getattr(inner, "status", None)


def _is_missing_file(error: Exception) -> bool:
    """A `ca_file` that is not there, which the library reports as a failed request."""
    inner = error.kwargs.get("error") if isinstance(error, HTTPClientError) else error
    return isinstance(inner, FileNotFoundError)
