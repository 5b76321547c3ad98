"""Apache Kafka that lets nobody do anything but what a test grants: StandardAuthorizer."""

from functools import cached_property

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.servers.secure_kafka import USER, SecureKafkaServer

_ANSWER_SECONDS = 30.0
# Who needs no log-in (the broker itself, the tests) may do everything.
_AUTHORIZER = """\
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


class AclKafkaServer(SecureKafkaServer):
    """The user of the SCRAM listener has the rights that `grant` gave and `revoke` did not take."""

    def grant(self, kind: str, name: str, *operations: str) -> None:
        """`kind`: GROUP or TOPIC; operations by Kafka's names."""
        found = [self._binding(kind, name, operation) for operation in operations]
        for done in self._admin.create_acls(found).values():
            done.result(_ANSWER_SECONDS)

    def revoke(self, kind: str, name: str) -> None:
        """All of one group's or topic's."""
        wanted = AclBindingFilter(
            ResourceType[kind],
            name,
            ResourcePatternType.LITERAL,
            f"User:{USER}",
            "*",
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        for done in self._admin.delete_acls([wanted]).values():
            assert done.result(_ANSWER_SECONDS), f"{kind} {name}: no right was there"

    def set_password(self, password: str) -> None:
        """Of the user, for SCRAM-SHA-256."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096)
        change = UserScramCredentialUpsertion(USER, info, password.encode())
        for done in self._admin.alter_user_scram_credentials([change]).values():
            done.result(_ANSWER_SECONDS)

    @cached_property
    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})

    def _binding(self, kind: str, name: str, operation: str) -> AclBinding:
        return AclBinding(
            ResourceType[kind],
            name,
            ResourcePatternType.LITERAL,
            f"User:{USER}",
            "*",
            AclOperation[operation],
            AclPermissionType.ALLOW,
        )

    def _properties(self) -> str:
        return super()._properties() + _AUTHORIZER
