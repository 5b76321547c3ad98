"""What an S3 error means for us: one table, with the reason beside each entry."""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

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
    # Another conditional write on the key is under way: the same call again, later.
    "ConditionalRequestConflict": RetryableStoreError,
    "SlowDown": RetryableStoreError,
    "ServiceUnavailable": RetryableStoreError,
    "InternalError": RetryableStoreError,
    "RequestTimeout": RetryableStoreError,
    # Somebody must make the bucket, grant the right or mend the key; until then nothing is lost.
    "NoSuchBucket": OperatorStoreError,
    "AccessDenied": OperatorStoreError,
    "AllAccessDisabled": OperatorStoreError,
    "InvalidAccessKeyId": OperatorStoreError,
    "SignatureDoesNotMatch": OperatorStoreError,
    "XAdminUserNotFound": OperatorStoreError,
    "ExpiredToken": OperatorStoreError,
    "InvalidToken": OperatorStoreError,
    "TokenRefreshRequired": OperatorStoreError,
    "PermanentRedirect": OperatorStoreError,
    "AuthorizationHeaderMalformed": OperatorStoreError,
    "InvalidBucketName": OperatorStoreError,
    "QuotaExceeded": OperatorStoreError,
    # The host's clock is off by more than S3 tolerates (15 minutes).
    "RequestTimeTooSkewed": OperatorStoreError,
    "KMS.DisabledException": OperatorStoreError,
    "KMS.NotFoundException": OperatorStoreError,
    "KMS.AccessDeniedException": OperatorStoreError,
    "403": OperatorStoreError,
}


def classified(error: Exception, operation: str, bucket: str, key: str) -> ObjectStoreError:
    """Ours for theirs. A code that is not in the table is held and tried again, never dropped."""
    if isinstance(error, ClientError):
        told = error.response.get("Error", {})
        code = str(told.get("Code", "")) or "Unknown"
        meaning = _MEANINGS.get(code, RetryableStoreError)
        return meaning(operation, code, str(told.get("Message", "")), bucket, key)
    kind = type(error).__name__
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return OperatorStoreError(operation, kind, str(error), bucket, key)
    if isinstance(error, TimeoutError):
        return RetryableStoreError(operation, "Deadline", "no answer in time", bucket, key)
    if isinstance(error, BotoCoreError | OSError):
        return RetryableStoreError(operation, kind, str(error), bucket, key)
    raise error
