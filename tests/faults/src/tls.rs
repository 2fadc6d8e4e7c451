//! Certificates, good and bad, made when the sink starts.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::script::Tls;

/// The sink's authority and what it shows of it.
pub(crate) struct Authority {
    configs: HashMap<Tls, Arc<ServerConfig>>,
    /// The certificate of the authority, as PEM.
    pub(crate) root: String,
    client_certificate: String,
    client_key: String,
}

fn broken(error: impl std::error::Error) -> io::Error {
    io::Error::other(error.to_string())
}

type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn shown(certificate: &rcgen::Certificate, key: &KeyPair) -> Shown {
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    (vec![certificate.der().clone()], key.into())
}

impl Authority {
    pub(crate) fn new() -> io::Result<Self> {
        Self::make().map_err(|error| io::Error::other(format!("certificates: {error}")))
    }

    fn make() -> io::Result<Self> {
        let mut params = CertificateParams::new(Vec::new()).map_err(broken)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().map_err(broken)?;
        let root = CertifiedIssuer::self_signed(params, key).map_err(broken)?;
        let here = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let signed = |params: CertificateParams| -> io::Result<(rcgen::Certificate, KeyPair)> {
            let key = KeyPair::generate().map_err(broken)?;
            let certificate = params.signed_by(&key, &root).map_err(broken)?;
            Ok((certificate, key))
        };
        let good = || CertificateParams::new(here.to_vec()).map_err(broken);
        let mut expired = good()?;
        expired.not_before = date_time_ymd(2001, 1, 1);
        expired.not_after = date_time_ymd(2002, 1, 1);
        let other = CertificateParams::new(vec!["other.invalid".to_owned()]).map_err(broken)?;
        let alone = KeyPair::generate().map_err(broken)?;
        let self_signed = good()?.self_signed(&alone).map_err(broken)?;
        let (client, client_key) = signed(good()?)?;

        let mut configs = HashMap::new();
        for (tls, params) in [
            (Tls::Valid, good()?),
            (Tls::Expired, expired),
            (Tls::WrongHost, other),
        ] {
            let (certificate, key) = signed(params)?;
            configs.insert(tls, config(shown(&certificate, &key), None)?);
        }
        configs.insert(Tls::SelfSigned, config(shown(&self_signed, &alone), None)?);
        let (certificate, key) = signed(good()?)?;
        let of_clients = root.der().clone();
        configs.insert(
            Tls::ClientCert,
            config(shown(&certificate, &key), Some(of_clients))?,
        );
        Ok(Authority {
            configs,
            root: root.pem(),
            client_certificate: client.pem(),
            client_key: client_key.serialize_pem(),
        })
    }

    /// How to serve as told; `None` where no handshake is served.
    pub(crate) fn config(&self, tls: Tls) -> Option<Arc<ServerConfig>> {
        self.configs.get(&tls).cloned()
    }

    /// Writes `ca.pem`, and the client's certificate and key as `client.pem`.
    pub(crate) fn write(&self, directory: &Path) -> io::Result<()> {
        std::fs::write(directory.join("ca.pem"), &self.root)?;
        let both = format!("{}{}", self.client_certificate, self.client_key);
        std::fs::write(directory.join("client.pem"), both)
    }
}

fn config(
    (chain, key): Shown,
    of_clients: Option<CertificateDer<'static>>,
) -> io::Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(broken)?;
    let builder = match of_clients {
        None => builder.with_no_client_auth(),
        Some(root) => {
            let mut roots = RootCertStore::empty();
            roots.add(root).map_err(broken)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(broken)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder.with_single_cert(chain, key).map_err(broken)?;
    Ok(Arc::new(config))
}
