//! TLS: whom we trust, how we show who we are, and what went wrong in a handshake.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};
use rustls_platform_verifier::Verifier;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};

/// How to check a server's certificate, and which one to show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsOptions {
    /// PEM; certificates that issue trusted ones, besides the system's.
    pub(crate) certificate: Option<PathBuf>,
    /// PEM; our certificate and those between it and its issuer.
    pub(crate) client_certificate: Option<PathBuf>,
    /// PEM; the key of our certificate where it is not in the same file.
    pub(crate) client_key: Option<PathBuf>,
    /// Takes any certificate of the server.
    pub(crate) insecure: bool,
}

/// What tells that a file changed: its time and length; nothing if it cannot be looked at.
pub(super) type Stamp = Option<(Option<SystemTime>, u64)>;

impl TlsOptions {
    pub(crate) fn from_config(config: &Config) -> Self {
        TlsOptions {
            certificate: config.path("tls.certificate"),
            client_certificate: config.path("tls.client_certificate"),
            client_key: config.path("tls.client_key"),
            insecure: config.is_insecure(),
        }
    }

    /// Fails with `InvalidConfig` when an option makes another one pointless. Files are read later, and again when they
    /// change.
    pub(super) fn check(&self) -> Result<()> {
        let problem = match self {
            TlsOptions {
                insecure: true,
                certificate: Some(_),
                ..
            } => "'tls.insecure' checks no certificate, so 'tls.certificate' must not be set",
            TlsOptions {
                client_certificate: None,
                client_key: Some(_),
                ..
            } => "'tls.client_key' needs 'tls.client_certificate'",
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::InvalidConfig, problem))
    }

    /// The state of the files, to be compared with a later one.
    pub(super) fn stamps(&self) -> Vec<Stamp> {
        [
            &self.certificate,
            &self.client_certificate,
            &self.client_key,
        ]
        .into_iter()
        .flatten()
        .map(|path| {
            let data = std::fs::metadata(path).ok()?;
            Some((data.modified().ok(), data.len()))
        })
        .collect()
    }

    /// Reads the files and the system's roots; only where TLS is `needed`, since that takes a while.
    pub(super) fn client_config(&self, needed: bool) -> std::result::Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let explain = |error: rustls::Error| format!("TLS cannot be set up: {error}");
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(explain)?;
        if !needed {
            return Ok(builder
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth());
        }
        let verifier: Arc<dyn ServerCertVerifier> = match (self.insecure, &self.certificate) {
            (true, _) => Arc::new(Anyone(provider)),
            (false, None) => Arc::new(Verifier::new(provider).map_err(explain)?),
            (false, Some(path)) => {
                let roots = certificates(path)?;
                Arc::new(Verifier::new_with_extra_roots(roots, provider).map_err(explain)?)
            }
        };
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let Some(path) = &self.client_certificate else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(path)?;
        let key = private_key(self.client_key.as_ref().unwrap_or(path))?;
        builder.with_client_auth_cert(chain, key).map_err(|error| {
            format!(
                "the client certificate '{}' cannot be used: {error}",
                path.display()
            )
        })
    }
}

fn read(path: &Path) -> std::result::Result<Zeroizing<Vec<u8>>, String> {
    std::fs::read(path)
        .map(Zeroizing::new)
        .map_err(|error| format!("'{}' cannot be read: {error}", path.display()))
}

fn certificates(path: &Path) -> std::result::Result<Vec<CertificateDer<'static>>, String> {
    let found: std::result::Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&read(path)?).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("'{}' holds no certificate in PEM", path.display())),
    }
}

/// Never repeats what the file holds.
fn private_key(path: &Path) -> std::result::Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| match error {
        PemError::NoItemsFound => format!(
            "'{}' holds no private key in PEM, or an encrypted one",
            path.display()
        ),
        _ => format!("'{}' is not PEM", path.display()),
    })
}

/// Takes every certificate, and still checks that the server has its key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What is wrong, for people: the beginning is the same for the same problem.
pub(super) fn explain(error: &rustls::Error) -> String {
    use AlertDescription as Alert;
    use CertificateError as Bad;
    use rustls::Error as Tls;
    let class = match error {
        Tls::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "the server's certificate has expired"
        }
        Tls::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            "the server's certificate is not valid yet"
        }
        Tls::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "the server's certificate is for another host"
        }
        Tls::InvalidCertificate(Bad::UnknownIssuer) => {
            "the issuer of the server's certificate is not trusted"
        }
        Tls::InvalidCertificate(Bad::Revoked) => "the server's certificate was revoked",
        Tls::InvalidCertificate(_) | Tls::NoCertificatesPresented => {
            "the server's certificate is not acceptable"
        }
        Tls::AlertReceived(Alert::CertificateRequired) => {
            "the server requires a client certificate"
        }
        Tls::AlertReceived(
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied,
        ) => "the server does not accept the client certificate",
        Tls::PeerIncompatible(_)
        | Tls::InvalidMessage(_)
        | Tls::AlertReceived(Alert::ProtocolVersion | Alert::InsufficientSecurity) => {
            "the server does not speak TLS 1.2 or 1.3 as this library does"
        }
        // Servers of TLS 1.2 say no more when they miss a client certificate.
        Tls::AlertReceived(Alert::HandshakeFailure) => {
            "the server ended the handshake; it may require a client certificate or another version of TLS"
        }
        _ => "the handshake failed",
    };
    format!("TLS: {class} ({error})")
}
