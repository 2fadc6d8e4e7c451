//! TLS: whom a server's certificate is checked against, and what we show of ourselves.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::error::{Error, ErrorKind, Result};

/// PEM files that say how to talk to one server.
#[derive(Default)]
pub(crate) struct TlsOptions {
    /// Authorities to trust, instead of the system's.
    pub(crate) certificate: Option<PathBuf>,
    /// The client's own certificate, with those that lead to its authority.
    pub(crate) client_certificate: Option<PathBuf>,
    pub(crate) client_key: Option<PathBuf>,
}

impl TlsOptions {
    /// Rustls' form of it. Where TLS is not `needed`, nothing is read: loading the system's roots takes long.
    ///
    /// Fails with `InvalidConfig`, naming the file.
    pub(super) fn client(&self, needed: bool) -> Result<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(fault)?;
        if !needed {
            let nobody = builder.with_root_certificates(RootCertStore::empty());
            return Ok(nobody.with_no_client_auth());
        }
        let builder = match &self.certificate {
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| at(path, error))?;
                }
                builder.with_root_certificates(roots)
            }
            None => builder.with_platform_verifier().map_err(fault)?,
        };
        match (&self.client_certificate, &self.client_key) {
            (None, None) => Ok(builder.with_no_client_auth()),
            (Some(path), key) => {
                // Both may lie in one file.
                let key_path = key.as_ref().unwrap_or(path);
                let key =
                    PrivateKeyDer::from_pem_file(key_path).map_err(|error| at(key_path, error))?;
                builder
                    .with_client_auth_cert(certificates(path)?, key)
                    .map_err(|error| at(path, error))
            }
            (None, Some(path)) => Err(at(path, "a key without a certificate")),
        }
    }
}

/// The certificates of a file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = |error| at(path, error);
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(read)?
        .collect::<std::result::Result<_, _>>()
        .map_err(read)?;
    match found.is_empty() {
        true => Err(at(path, "holds no certificate")),
        false => Ok(found),
    }
}

fn at(path: &Path, problem: impl Display) -> Error {
    fault(format_args!("{}: {problem}", path.display()))
}

fn fault(problem: impl Display) -> Error {
    Error::new(
        ErrorKind::InvalidConfig,
        format!("TLS cannot be set up: {problem}"),
    )
}
