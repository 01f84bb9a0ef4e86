"""How we and the brokers trust each other: checked once, told to each client in its own words."""

import ssl

import msgspec

from pipeline.errors import Fatal

PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class Security(msgspec.Struct, frozen=True, kw_only=True):
    """Passwords and certificates of one Kafka.

    protocol: plaintext, ssl, sasl_plaintext or sasl_ssl.
    mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; none: the last one, where SASL is spoken.
    ca_file: PEM; None trusts the system's authorities.
    cert_file, key_file: PEM; our own certificate where the broker asks for one.

    Raises:
        Fatal: they contradict each other.
    """

    protocol: str = "plaintext"
    mechanism: str | None = None
    username: str | None = None
    password: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.protocol not in PROTOCOLS:
            raise Fatal(f"kafka: security is one of {', '.join(PROTOCOLS)}, got {self.protocol!r}")
        if self.protocol.startswith("sasl"):
            if self.mechanism not in {None, *MECHANISMS}:
                raise Fatal(f"kafka: sasl_mechanism is one of {', '.join(MECHANISMS)}, got {self.mechanism!r}")
            if not (self.username and self.password):
                raise Fatal(f"kafka: security {self.protocol} needs a username and a password")
        elif self.username or self.password or self.mechanism:
            raise Fatal(f"kafka: security {self.protocol} takes no username, password or mechanism; use sasl_ssl")
        if self.protocol.endswith("ssl"):
            if self.key_file and not self.cert_file:
                raise Fatal("kafka: key_file needs cert_file")
        elif self.ca_file or self.cert_file or self.key_file:
            raise Fatal(f"kafka: security {self.protocol} uses no certificates; use ssl or sasl_ssl")

    def __repr__(self) -> str:
        return f"Security({self.protocol})"  # never the password

    @property
    def sasl(self) -> tuple[str, str, str] | None:
        """(mechanism, username, password); None where SASL is not spoken."""
        if not (self.username and self.password):
            return None
        return (self.mechanism or MECHANISMS[-1], self.username, self.password)

    def trust(self) -> ssl.SSLContext | None:
        """The certificates, loaded; None where nothing is encrypted. Raises Fatal: a file cannot be used."""
        if not self.protocol.endswith("ssl"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file)
        except FileNotFoundError as exc:
            named = ", ".join(f for f in (self.ca_file, self.cert_file, self.key_file) if f)
            raise Fatal(f"kafka: one of the files {named} does not exist (ca_file, cert_file, key_file)") from exc
        except OSError as exc:  # ssl.SSLError is one
            raise Fatal(f"kafka: ca_file, cert_file or key_file cannot be read as PEM ({exc})") from exc
        return context
