//! HTTP/1.1 and TLS for the SDK's clients: one pool of connections, built by the first request.
//!
//! hyper, rustls with ring, and the machine's root certificates, as in the SDK's own client; that one links HTTP/2 too, which no
//! call here needs, and parses all root certificates once for each client that is built and again for the first request, each time
//! from the bundle and from the folder beside it.

use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_kinesis::config::http::{HttpRequest, HttpResponse};
use aws_sdk_kinesis::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_sdk_kinesis::error::ConnectorError;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_types::body::SdkBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_native_certs::{CertificateResult, load_certs_from_paths, load_native_certs};
use tracing::warn;

type Pool = Client<HttpsConnector<Tcp>, SdkBody>;

/// Gives up on a TCP connection after `connect`; everything after it is bounded by the SDK's own timeouts.
pub(super) fn http(connect: Duration) -> SharedHttpClient {
    SharedHttpClient::new(Http { connect, pool: Arc::default() })
}

#[derive(Clone, Debug)]
struct Http {
    connect: Duration,
    pool: Arc<OnceLock<Result<Pool, rustls::Error>>>,
}

impl HttpClient for Http {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Http {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let pool = self.pool.get_or_init(|| pool(self.connect)).clone();
        HttpConnectorFuture::new(async move {
            let pool = pool.map_err(|error| ConnectorError::user(error.into()))?;
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let answer = pool.request(request).await.map_err(|error| {
                if is_timeout(&error) {
                    ConnectorError::timeout(error.into())
                } else {
                    ConnectorError::io(error.into())
                }
            })?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

fn pool(connect: Duration) -> Result<Pool, rustls::Error> {
    let mut roots = RootCertStore::empty();
    let found = native_certs();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        // An emulator on plain HTTP needs none.
        warn!("no root certificate was found on this machine: {:?}", found.errors);
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tcp = Tcp::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect));
    let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(https))
}

/// The machine's root certificates. Where Linux has a bundle of them that is all that is read, since its folder holds the same ones
/// again; whoever names others gets those that he names, and no others.
fn native_certs() -> CertificateResult {
    if cfg!(target_os = "linux")
        && !are_named(|variable| std::env::var_os(variable))
        && let Some(bundle) = openssl_probe::probe().cert_file
    {
        let found = load_certs_from_paths(Some(&bundle), None);
        if !found.certs.is_empty() {
            return found;
        }
    }
    load_native_certs()
}

/// Whether somebody says which root certificates to trust, be it a place where there are none.
fn are_named(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().any(|name| variable(name).is_some())
}

fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source())
        .any(|error| error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::TimedOut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_are_named_are_not_passed_over() {
        let set = |name: &'static str, value: &'static str| move |asked: &str| (asked == name).then(|| value.into());
        assert!(!are_named(|_| None));
        assert!(are_named(set("SSL_CERT_DIR", "/one:/two")), "two folders are no path");
        assert!(
            are_named(set("SSL_CERT_FILE", "/no/such/file")),
            "a slip must not trust every public authority instead"
        );
    }
}
