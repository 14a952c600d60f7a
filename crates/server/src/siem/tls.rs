//! By whom receivers are believed.

use std::{path::Path, sync::Arc};

use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// Receivers are believed by the authorities in a file, in PEM, or by those of the system.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match ca_file {
        Some(path) => builder.with_root_certificates(authorities(path)?),
        None => builder
            .with_platform_verifier()
            .map_err(|error| error.to_string())?,
    };
    Ok(Arc::new(builder.with_no_client_auth()))
}

fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let bad = |reason: String| {
        let name = path.display();
        format!("cannot use {name}: {reason}; choose another with --siem-ca-file")
    };
    let mut store = RootCertStore::empty();
    let all = CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))?;
    for one in all {
        let one = one.map_err(|error| bad(error.to_string()))?;
        store.add(one).map_err(|error| bad(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(bad("it holds no certificate in PEM".to_owned()));
    }
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::config;

    #[test]
    fn file_without_authorities_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let said = config(Some(file.path())).expect_err("nothing in it");
        assert!(said.contains("no certificate"), "{said}");
        let said = config(Some("/nowhere/ca.pem".as_ref())).expect_err("not there");
        assert!(said.contains("/nowhere/ca.pem"), "{said}");
    }
}
