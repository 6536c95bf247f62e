//! The way to AWS: proxies, and whom to trust. AWS is the emulators behind TLS, with a certificate authority of the test's own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Output;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::{Ran, command};
use crate::support::{ACCOUNT, Layer, REGION, file, parts, unique};

/// What AWS is here: the emulators, at one address without TLS and at one with it, and a stream.
struct World {
    _layer: Layer,
    plain: SocketAddr,
    tls: SocketAddr,
    folder: TempDir,
    policy: PathBuf,
    /// The certificate of the authority that signed that of the address with TLS.
    bundle: PathBuf,
    stream: String,
}

impl World {
    async fn start() -> Self {
        let layer = Layer::start(&json!({}));
        let plain = layer.url.trim_start_matches("http://").parse().unwrap();
        let (config, authority) = certificates();
        let tls = https(config, plain).await;
        let folder = tempfile::tempdir().unwrap();
        let (stream, alias) = (unique("network"), format!("alias/{}", unique("network")));
        parts().encrypted(&stream, &parts().key(&alias));
        let policy = format!(
            "version: 1\ndefaults: {{existing: enforce}}\nrules:\n  - {{name: this, match: {{stream: {stream}}}, key: {alias}}}\n  \
             - {{name: rest, exempt: {{reason: of other tests}}}}\n"
        );
        let policy = file(&folder, "policy.yaml", &policy);
        let bundle = file(&folder, "authority.pem", &authority);
        Self { _layer: layer, plain, tls, folder, policy, bundle, stream }
    }

    /// `streamseal explain` of the stream, with these variables and no others but the credentials.
    async fn explain(&self, variables: &[(&str, &str)]) -> Ran {
        self.run(&["explain", &self.stream], variables).await
    }

    async fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        let arguments = [arguments, &["--policy", self.policy.to_str().unwrap()]].concat();
        let home = self.folder.path().to_str().unwrap();
        let variables = [&[("AWS_REGION", REGION), ("HOME", home)], variables].concat();
        let output = tokio::process::Command::from(command(&arguments, &variables)).kill_on_drop(true).output();
        let Output { status, stdout, stderr } = output.await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
    }

    fn bundle(&self) -> &str {
        self.bundle.to_str().unwrap()
    }
}

/// A certificate for AWS's hosts and for loopback, and the PEM of the authority that signed it.
fn certificates() -> (Arc<ServerConfig>, String) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let of_aws = ["*", "*.control-kinesis"].map(|hosts| format!("{hosts}.{REGION}.amazonaws.com"));
    let names = of_aws.into_iter().chain(["127.0.0.1".to_owned()]).collect::<Vec<String>>();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (Arc::new(config), pem)
}

/// Takes connections on loopback and does `serve` with each, all at once.
async fn listen<T>(serve: impl Fn(TcpStream) -> T + Send + 'static) -> SocketAddr
where
    T: Future<Output = Option<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket));
        }
    });
    address
}

/// TLS in front of an address.
async fn https(config: Arc<ServerConfig>, onward: SocketAddr) -> SocketAddr {
    listen(move |socket| {
        let accepted = TlsAcceptor::from(Arc::clone(&config)).accept(socket);
        async move {
            let mut onward = TcpStream::connect(onward).await.ok()?;
            copy_bidirectional(&mut accepted.await.ok()?, &mut onward).await.ok().map(drop)
        }
    })
    .await
}

/// A proxy that reaches the emulators whatever host is asked for, and keeps what it was asked.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start(world: &World) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (plain, tls, keeps) = (world.plain, world.tls, Arc::clone(&asked));
        let address = listen(move |socket| proxied(socket, plain, tls, Arc::clone(&keeps))).await;
        Self { address, asked }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The first lines of what it was asked since it was asked this before; with credentials, these behind them.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn proxied(
    mut socket: TcpStream,
    plain: SocketAddr,
    tls: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let (first, headers) = head.split_once("\r\n").unwrap();
    let credentials = headers.lines().filter(|line| line.to_ascii_lowercase().starts_with("proxy-authorization:"));
    let credentials: Vec<&str> = credentials.filter_map(|line| line.split(' ').next_back()).collect();
    asked.lock().unwrap().push([&[first], credentials.as_slice()].concat().join(" "));
    let (method, target) = first.split_once(' ').unwrap();
    let mut onward = if method == "CONNECT" {
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
        TcpStream::connect(tls).await.ok()?
    } else {
        // One request for each connection: the next one would have to be rewritten too.
        let path = target.strip_prefix("http://").and_then(|target| target.find('/').map(|at| target.split_at(at).1));
        let mut onward = TcpStream::connect(plain).await.ok()?;
        let head = format!("{method} {}\r\nconnection: close\r\n{headers}", path.unwrap());
        onward.write_all(head.as_bytes()).await.ok()?;
        onward
    };
    copy_bidirectional(&mut socket, &mut onward).await.ok().map(drop)
}

fn assert_explained(ran: &Ran) {
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("COMPLIANT") || ran.out.contains("complies with its rule"), "{ran:?}");
}

#[tokio::test]
async fn aws_is_reached_through_the_proxy_and_with_the_authority_that_the_variables_name() {
    let world = World::start().await;
    let proxy = Proxy::start(&world).await;
    let with_credentials = format!("http://me:secret@{}", proxy.address);
    for (name, url, credentials) in [
        ("HTTPS_PROXY", proxy.url(), ""),
        ("https_proxy", proxy.url(), ""),
        ("HTTPS_PROXY", with_credentials, " bWU6c2VjcmV0"),
    ] {
        assert_explained(&world.explain(&[(name, &url), ("AWS_CA_BUNDLE", world.bundle())]).await);
        let asked = proxy.asked();
        for host in [format!("{ACCOUNT}.control-kinesis"), "kms".to_owned(), "sts".to_owned()] {
            let tunnel = format!("CONNECT {host}.{REGION}.amazonaws.com:443 HTTP/1.1{credentials}");
            assert!(asked.contains(&tunnel), "{name}: {tunnel} is not in {asked:?}");
        }
    }
}

#[tokio::test]
async fn the_profile_names_the_authority_too_and_the_variable_goes_before_it() {
    let world = World::start().await;
    let text = format!(
        "[profile inside]\nregion = {REGION}\nca_bundle = {}\naws_access_key_id = test\naws_secret_access_key = test\n",
        world.bundle()
    );
    let config = file(&world.folder, "config", &text);
    let endpoint = format!("https://{}", world.tls);
    let variables = [("AWS_CONFIG_FILE", config.to_str().unwrap()), ("AWS_ENDPOINT_URL", endpoint.as_str())];
    assert_explained(&world.run(&["explain", &world.stream, "--profile", "inside"], &variables).await);
    assert_explained(&world.explain(&[&variables[..], &[("AWS_PROFILE", "inside")]].concat()).await);
    let other = file(&world.folder, "other.pem", &certificates().1);
    let both = [&variables[..], &[("AWS_PROFILE", "inside"), ("AWS_CA_BUNDLE", other.to_str().unwrap())]].concat();
    assert_eq!(world.explain(&both).await.code, 1);
}

#[tokio::test]
async fn a_proxy_is_for_its_scheme_and_for_the_hosts_that_no_proxy_does_not_name() {
    let world = World::start().await;
    let proxy = Proxy::start(&world).await;
    let (plain, tls, url) = (format!("http://{}", world.plain), format!("https://{}", world.tls), proxy.url());
    for (endpoint, name, is_proxied) in [
        ("http://aws.test", "HTTP_PROXY", true),
        ("http://aws.test", "http_proxy", true),
        (&plain, "HTTP_PROXY", true),
        (&plain, "HTTPS_PROXY", false),
        (&tls, "HTTPS_PROXY", true),
        (&tls, "HTTP_PROXY", false),
    ] {
        let variables = [("AWS_ENDPOINT_URL", endpoint), (name, &url), ("AWS_CA_BUNDLE", world.bundle())];
        assert_explained(&world.explain(&variables).await);
        let asked = proxy.asked();
        assert_eq!(!asked.is_empty(), is_proxied, "{endpoint} {name}: {asked:?}");
        if !endpoint.ends_with("test") {
            for no_proxy in [("NO_PROXY", "elsewhere,127.0.0.1"), ("no_proxy", "127.0.0.0/8")] {
                assert_explained(&world.explain(&[&variables[..], &[no_proxy]].concat()).await);
                assert_eq!(proxy.asked(), [] as [String; 0], "{endpoint} {name} {no_proxy:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_reported_and_nothing_is_tried_again() {
    let world = World::start().await;
    let endpoint = format!("https://{}", world.tls);
    let stream = format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{}", world.stream);
    let commands =
        [&["explain", &world.stream][..], &["seal", &stream, "--yes"], &["prove", &stream, "--yes"], &["audit"]];
    for (arguments, has_advice) in commands.into_iter().zip([true, true, false, true]) {
        let ran = world.run(arguments, &[("AWS_ENDPOINT_URL", &endpoint)]).await;
        assert_eq!(ran.code, 1, "{arguments:?}: {ran:?}");
        let said = ran.out.clone() + &ran.err;
        assert!(said.contains("the certificate of the endpoint is not trusted"), "{arguments:?}: {ran:?}");
        assert_eq!(said.contains("AWS_CA_BUNDLE"), has_advice, "{arguments:?}: {ran:?}");
    }
}

#[tokio::test]
async fn a_bundle_or_a_proxy_that_cannot_be_used_is_named() {
    let world = World::start().await;
    let plain = format!("http://{}", world.plain);
    let bad = file(&world.folder, "bad.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let empty = file(&world.folder, "empty.pem", "nothing\n");
    for (name, value, why) in [
        ("AWS_CA_BUNDLE", "/no/such/file", "AWS_CA_BUNDLE: /no/such/file: cannot be read"),
        ("AWS_CA_BUNDLE", bad.to_str().unwrap(), "has a certificate that cannot be used"),
        ("AWS_CA_BUNDLE", empty.to_str().unwrap(), "has no certificate in PEM"),
        ("HTTPS_PROXY", "socks5://me:secret@proxy", "HTTPS_PROXY: not a valid HTTP proxy URL"),
    ] {
        let ran = world.explain(&[("AWS_ENDPOINT_URL", &plain), (name, value)]).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains(why) && !ran.err.contains("secret"), "{ran:?}");
    }
}

/// A server that answers each request with these bytes.
async fn answering(answer: &'static str) -> SocketAddr {
    listen(move |mut socket| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.ok()?);
        }
        socket.write_all(answer.as_bytes()).await.ok()
    })
    .await
}

/// The same before anything is asked.
async fn at_once(answer: &'static str) -> SocketAddr {
    listen(move |mut socket| async move {
        socket.write_all(answer.as_bytes()).await.ok()?;
        // Until the other side gives up: what it has not read would be lost otherwise.
        socket.read_to_end(&mut Vec::new()).await.ok().map(drop)
    })
    .await
}

/// Whoever answers instead of AWS answers so the next time too; only a fault of a server may pass.
#[tokio::test]
async fn an_endpoint_that_is_not_aws_is_a_wrong_setting_and_said_in_a_sentence() {
    let world = World::start().await;
    let page = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<html>log in</html>";
    let refused =
        "HTTP/1.1 403 Forbidden\r\ncontent-type: text/html; charset=utf-8\r\nconnection: close\r\n\r\n<html>no</html>";
    let line = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    let broken = "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<html>later</html>";
    for (endpoint, code, why) in [
        (format!("http://{}", answering(page).await), 2, "HTTP 200 with a page that is not of AWS"),
        (format!("http://{}", answering(refused).await), 2, "HTTP 403 with a page that is not of AWS"),
        (format!("http://{}", answering(line).await), 2, "HTTP 400 with a page that is not of AWS"),
        (format!("http://{}", answering(broken).await), 4, "HTTP 502 "),
        (format!("https://{}", at_once(line).await), 2, "the endpoint does not speak TLS"),
        (format!("http://{}", answering("\u{15}\u{3}\u{1}\0\u{2}\u{2}").await), 2, "the endpoint does not speak HTTP"),
    ] {
        for arguments in [&["explain", &world.stream][..], &["audit"], &["check", "--resolve"]] {
            let ran = world.run(arguments, &[("AWS_ENDPOINT_URL", &endpoint), ("AWS_MAX_ATTEMPTS", "1")]).await;
            assert_eq!(ran.code, code, "{endpoint} {arguments:?}: {ran:?}");
            assert!(ran.err.contains(why), "{endpoint} {arguments:?}: {ran:?}");
            assert_eq!(ran.err.matches("error: ").count(), 1, "{ran:?}");
            for word in ["expected", "parse", "corrupt", "eserial", "client error", "xml"] {
                assert!(!ran.err.contains(word), "{word} in {endpoint} {arguments:?}: {ran:?}");
            }
        }
    }
}
