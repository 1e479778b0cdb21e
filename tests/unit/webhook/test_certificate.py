"""Key pairs that cannot be served; those that can are served in tests/apiserver/injection_webhook."""

import subprocess
from pathlib import Path

import pytest

from injection_webhook.certificate import ServingCertificate


def test_an_encrypted_key_is_refused_in_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """OpenSSL itself asks for the passphrase: on a terminal it waits for the answer."""
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    new: list[str | Path] = ["-newkey", "rsa:2048", "-passout", "pass:secret", "-keyout", key]
    subprocess.run(["openssl", "req", "-x509", *new, "-subj", "/CN=a", "-out", certificate], check=True, timeout=60)
    served = ServingCertificate(tmp_path)
    served.look()
    served.look()
    assert not served.usable
    assert [record.getMessage() for record in caplog.records] == [
        f"the certificate in {tmp_path} cannot be loaded: tls.key is encrypted: store it without a passphrase; "
        "no pod gets an agent until there is one"
    ]
