//! The connections of every client: the SDK's HTTP client (hyper, rustls with ring), one for all services, built by the first request.
//!
//! What it does not have is added here. After a request on a broken connection, or one that was given up, no idle connection is used
//! any more, since the others are as old: a peer that forgot one while the function was frozen forgot all of them. A read that was lost with
//! its connection is sent once more at once, on a new one. It has no setting to leave HTTP/2 out.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_kinesis::config::http::{HttpRequest, HttpResponse};
use aws_sdk_kinesis::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_sdk_kinesis::error::ConnectorError;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_types::retry::ErrorKind;

use super::errors::causes;
use crate::domain::call::is_read;

/// How connections are made and kept.
#[derive(Clone, Debug)]
pub struct Connections {
    /// Gives up on a connection that does not stand by then, TLS included; everything after it is bounded by the SDK's own timeouts.
    pub connect: Duration,
    /// A connection that nobody used for so long is closed.
    pub idle: Duration,
    /// So many that nobody uses are kept for each host.
    pub idle_max: usize,
    /// Whether HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY are followed.
    pub proxies: bool,
    /// Whom to trust; `None`: the machine's root certificates.
    pub trust: Option<TlsContext>,
}

impl Connections {
    /// The client that has them.
    pub fn client(self) -> SharedHttpClient {
        SharedHttpClient::new(Client { make: Arc::new(self), pool: Arc::default() })
    }

    fn pool(&self) -> SharedHttpConnector {
        if let Some(trust) = &self.trust {
            return self.build(Some(trust.clone()));
        }
        let of_bundle = bundle().and_then(|path| std::fs::read(path).ok()).and_then(|pem| self.of_bundle(pem));
        of_bundle.unwrap_or_else(|| self.build(None))
    }

    /// With the certificates of a bundle of the machine; `None` where it has none, or one that cannot be used: the SDK's client panics on
    /// such a one. To try them all first, as [`trust_in`] does, takes an eighth of a cold start's processor time.
    fn of_bundle(&self, pem: Vec<u8>) -> Option<SharedHttpConnector> {
        let begin = b"-----BEGIN CERTIFICATE-----";
        pem.windows(begin.len()).any(|window| window == begin).then_some(())?;
        let store = TrustStore::empty().with_pem_certificate(pem);
        let trust = TlsContext::builder().with_trust_store(store).build().ok()?;
        catch_unwind(AssertUnwindSafe(|| self.build(Some(trust)))).ok()
    }

    fn build(&self, trust: Option<TlsContext>) -> SharedHttpConnector {
        let settings = HttpConnectorSettings::builder().connect_timeout(self.connect).build();
        let builder: ConnectorBuilder = Connector::builder()
            .connector_settings(settings)
            .pool_idle_timeout(self.idle)
            .pool_max_idle_per_host(self.idle_max);
        let builder = if self.proxies { builder.proxy_config(ProxyConfig::from_env()) } else { builder };
        let builder = builder.tls_provider(Provider::Rustls(CryptoMode::Ring));
        SharedHttpConnector::new(trust.into_iter().fold(builder, ConnectorBuilder::tls_context).build())
    }
}

/// Trusts these certificates in PEM and no others. `Err`: what is wrong with them. Each is tried here, since the SDK's client panics on a
/// bad one.
#[cfg(feature = "cli")]
pub(crate) fn trust_in(pem: Vec<u8>) -> Result<TlsContext, String> {
    use rustls::pki_types::pem::PemObject;

    let mut roots = rustls::RootCertStore::empty();
    for certificate in rustls::pki_types::CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| format!("is not in PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("has a certificate that cannot be used: {error}"))?;
    }
    if roots.is_empty() {
        return Err("has no certificate in PEM".to_owned());
    }
    let store = TrustStore::empty().with_pem_certificate(pem);
    TlsContext::builder().with_trust_store(store).build().map_err(|error| error.to_string())
}

/// The bundle of root certificates that Linux has, unless somebody names others: the SDK's client reads the folder beside it too, which has
/// the same ones again, each in a file.
fn bundle() -> Option<PathBuf> {
    let is_named = are_named(|variable| std::env::var_os(variable));
    if cfg!(target_os = "linux") && !is_named { openssl_probe::probe().cert_file } else { None }
}

/// Whether somebody says which root certificates to trust, be it a place where there are none.
fn are_named(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().any(|name| variable(name).is_some())
}

/// The SDK's client, and how to make the next one.
#[derive(Clone)]
struct Client {
    make: Arc<Connections>,
    pool: Arc<Mutex<Option<Arc<SharedHttpConnector>>>>,
}

impl Client {
    fn pool(&self) -> Arc<SharedHttpConnector> {
        Arc::clone(lock(&self.pool).get_or_insert_with(|| Arc::new(self.make.pool())))
    }

    /// From now on no connection of `pool` is used. What is under way on one goes on.
    fn forget(&self, pool: &Arc<SharedHttpConnector>) {
        lock(&self.pool).take_if(|present| Arc::ptr_eq(present, pool));
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.make.fmt(f)
    }
}

impl HttpClient for Client {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Client {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.clone();
        HttpConnectorFuture::new(async move {
            let again = if reads(&request) { copy(&request) } else { None };
            let answer = client.send(request).await;
            match (&answer, again) {
                (Err(error), Some(again)) if is_broken(error) => client.send(again).await,
                _ => answer,
            }
        })
    }
}

impl Client {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let mut under_way = UnderWay { client: self, pool: self.pool(), is_sound: false };
        let answer = under_way.pool.call(request).await;
        under_way.is_sound = !answer.as_ref().is_err_and(is_broken);
        answer
    }
}

/// A request. Where its connection breaks, or nobody waits for its answer any more, its pool is forgotten.
struct UnderWay<'a> {
    client: &'a Client,
    pool: Arc<SharedHttpConnector>,
    is_sound: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.is_sound {
            self.client.forget(&self.pool);
        }
    }
}

/// Whether a request changes nothing, by the operation that it names (`Kinesis_20131202.ListStreams`).
fn reads(request: &HttpRequest) -> bool {
    match request.headers().get("x-amz-target") {
        Some(target) => target.rsplit('.').next().is_some_and(is_read),
        None => request.method() == "GET",
    }
}

/// The same request once more, signed as it is. A copy has no extensions: the one by which the SDK poisons a connection goes along.
fn copy(request: &HttpRequest) -> Option<HttpRequest> {
    let mut copy = request.try_clone()?;
    if let Some(capture) = request.extension::<CaptureSmithyConnection>() {
        copy.add_extension(capture.clone());
    }
    Some(copy)
}

/// Whether a connection ended before an answer came: reset, closed, or reported by HTTP/2 to go away. One that never stood is not among them.
fn is_broken(error: &ConnectorError) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    if error.as_other() == Some(ErrorKind::TransientError) {
        return true;
    }
    let kind = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    let ended = [BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof];
    error.is_io() && kind.is_none_or(|kind| ended.contains(&kind))
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn a_bundle_that_cannot_be_used_is_left_to_the_sdk() {
        let connections = Connections {
            connect: Duration::from_secs(2),
            idle: Duration::from_secs(15),
            idle_max: 4,
            proxies: false,
            trust: None,
        };
        let bad = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(connections.of_bundle(bad.to_vec()).is_none());
        assert!(connections.of_bundle(b"nothing".to_vec()).is_none());
    }
}
